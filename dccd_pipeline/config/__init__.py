"""What a human typed, read and checked: ``dccd.yaml``, and what exchanges can do of it."""
