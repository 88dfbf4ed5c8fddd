"""One job per ``collect`` entry, called by its name.

Belongs here: selections. Does not: when they run (schedules.py).
See https://docs.dagster.io/guides/build/jobs/asset-jobs
"""

import dagster as dg

from dccd_pipeline.config.collect import Entry
from dccd_pipeline.dagster_compat import UnresolvedAssetJobDefinition
from dccd_pipeline.tags import ENTRY, EXCHANGE


def entry_job(entry: Entry) -> UnresolvedAssetJobDefinition:
    keys = [dg.AssetKey(dataset.parts) for dataset in entry.datasets]
    return dg.define_asset_job(
        entry.name,
        selection=dg.AssetSelection.assets(*keys),
        tags={ENTRY: entry.name, EXCHANGE: entry.exchange},
    )
