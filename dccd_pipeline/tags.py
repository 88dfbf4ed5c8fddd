"""What the pipeline writes beside Dagster's own words: names of tags, metadata and stored keys.

Dashboards and scripts hold on to them (tests/promises/pinned.txt), and what is stored is found by them again.
"""

from typing import Final

# Of assets, jobs and runs
EXCHANGE: Final = "dccd/exchange"
DATA_TYPE: Final = "dccd/data_type"
MARKET_TYPE: Final = "dccd/market_type"

# Of runs
CATCH_UP: Final = "dccd/catch_up"
"""A schedule started it: it leaves partitions alone that need nothing."""
WITHIN: Final = "dccd/within"
"""It is to fill a part of its partitions only: two moments in us, ``start/end``."""
PROCESS: Final = "dccd/process"
"""Nobody launched it: the run's id and the process that executes it."""
STREAM: Final = "dccd/stream"
"""The name of the stream that it records."""
REASON: Final = "dccd/reason"
"""Why the supervisor started it."""
STOPPED: Final = "dccd/stopped"
"""dccd itself ended it: the run's id and why. A run that a user ended has none."""

# Of materialisations
PROGRESS: Final = "dccd/progress"
"""The metadata entry that says how far a dataset is (assets/progress.py), as JSON."""

# Keys of what is kept in Dagster's storage; those that end in a slash go on with a name
ALERTS: Final = "dccd/alerts"
GONE: Final = "dccd/gone/"
HELD: Final = "dccd/held/"
FOUND: Final = "dccd/found/"
SHOWN: Final = "dccd/shown/"
BEAT: Final = "dccd/stream/"
WANTED: Final = "dccd/stream-wanted/"
PAUSED: Final = "dccd/stream-paused/"

# Dagster's, which it documents as text
COLUMN_LINEAGE: Final = "dagster/column_lineage"
COLUMN_SCHEMA: Final = "dagster/column_schema"
DATA_VERSION: Final = "dagster/data_version"
PARTITION_ROW_COUNT: Final = "dagster/partition_row_count"
ROW_COUNT: Final = "dagster/row_count"
URI: Final = "dagster/uri"
