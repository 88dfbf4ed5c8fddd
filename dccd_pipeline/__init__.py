"""The Dagster layer: names, partitions, schedules, checks and metadata for what dccd_core does.

config       what a human typed, read and checked, and what exchanges can do of it
resources    the lake and the exchanges, as Dagster hands them over
runs         what runs need around them: a launcher, stops, alerts and to whom they go
assets       datasets as assets: history, derived bars, checks, schedules
streams      what keeps streams running, how they are, what their runs tell
ticks        what schedules start: a tick of an entry
alarms       what is looked at again and again, so that somebody is told when it is wrong
metrics      what a monitor reads: numbers for Prometheus, and whether all is well
build        all of it put together; definitions.py is what workspace.yaml names
cli          the ``dccd`` command
"""
