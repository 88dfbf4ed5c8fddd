"""The assets. One module per way a dataset comes into being."""
