"""Keeping what the lake holds: copies elsewhere, room here, and nothing lost on the way."""
