"""Keeping what the lake holds: copies elsewhere, room here, views for ever, and nothing lost on the way."""
