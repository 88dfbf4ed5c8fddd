"""Doubles that ship with the library: for its tests, for demos and for users' dry runs.

The top layer of ``dccd_core``: it may import all of it, and nothing of it imports this.
"""
