"""What all processes of a machine may spend at one exchange: the shared window, its file, and the waiting."""
