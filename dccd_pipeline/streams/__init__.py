"""Streams: what keeps them running, how they are, and what their runs tell Dagster."""
