"""Ops: what is no asset because it never ends."""
