"""How fast dccd is: ratios to a raw floor and to its peers, measured in one run. Run ``python -m benchmarks``."""
