"""Live: what venues push, recorded as it comes and made one with history."""
