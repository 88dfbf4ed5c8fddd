"""Ticks: runs of schedules that cost what is new."""
