"""Frames <-> disk: partitions whole or not at all, each with the ledger of what was asked for it."""
