"""Copies of the lake elsewhere, and room here, as assets, jobs and schedules."""
