"""How fast dccd is: ratios to a raw floor and to its peers, measured in one run by ``python -m benchmarks``."""
