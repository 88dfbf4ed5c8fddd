"""What the pipeline writes beside Dagster's own words: names of tags, metadata and stored keys.

Dashboards and scripts hold on to them (tests/promises/pinned.txt), and what is stored is found by them again.
"""

from typing import Final

LOCATION: Final = "dccd_pipeline.definitions"
"""What the code location is called where nobody says otherwise; schedules on or off are kept by it."""

# Of assets, jobs and runs
EXCHANGE: Final = "dccd/exchange"
DATA_TYPE: Final = "dccd/data_type"
MARKET_TYPE: Final = "dccd/market_type"

# Of jobs and runs
ENTRY: Final = "dccd/entry"
"""The name of the ``collect`` entry that it brings up to date."""
CATCH_UP: Final = "dccd/catch_up"
"""It is a tick: it leaves partitions alone that need nothing."""

# Of runs
FAILING: Final = "dccd/failing"
"""How many datasets failed before and were not tried by it: that it succeeds does not make them well."""
WITHIN: Final = "dccd/within"
"""It is to fill a part of its partitions only: two moments in us, ``start/end``."""
PROCESS: Final = "dccd/process"
"""Nobody launched it: the run's id and the process that executes it."""
STREAM: Final = "dccd/stream"
"""The name of the stream that it records."""
REMOTE: Final = "dccd/remote"
"""The name of the remote that it brings up."""
PURGE: Final = "dccd/purge"
"""It makes room."""
REASON: Final = "dccd/reason"
"""Why the supervisor started it."""
STOPPED: Final = "dccd/stopped"
"""dccd itself ended it: the run's id and why. A run that a user ended has none."""

# Keys of what is kept in Dagster's storage; those that end in a slash go on with a name
ALERTS: Final = "dccd/alerts"
WAITING: Final = "dccd/alerts-waiting"
"""Alerts that an address has not taken yet."""
TICKS: Final = "dccd/ticks/"
HELD: Final = "dccd/held/"
FOUND: Final = "dccd/found/"
SHOWN: Final = "dccd/shown/"
STORES: Final = "dccd/stores"
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
