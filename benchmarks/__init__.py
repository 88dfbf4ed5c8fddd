"""How fast dccd is: ratios to a raw floor and to its peers, measured in one run. See ``__main__.py``."""
