"""The Dagster layer: names, partitions, schedules, checks and metadata for what dccd_core does."""
