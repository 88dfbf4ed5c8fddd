"""One job per ``collect`` entry, called by its name.

Belongs here: selections. Does not: when they run (schedules.py).
See https://docs.dagster.io/guides/build/jobs/asset-jobs
"""

import dagster as dg

from dccd_pipeline.assets.agrees import AGREES, can_agree
from dccd_pipeline.config.collect import Entry
from dccd_pipeline.dagster_compat import UnresolvedAssetJobDefinition
from dccd_pipeline.tags import ENTRY, EXCHANGE


def entry_job(entry: Entry) -> UnresolvedAssetJobDefinition:
    """Return the job that fills the datasets of an entry, whatever they are known to differ in."""
    keys = [dg.AssetKey(dataset.parts) for dataset in entry.datasets]
    apart = [
        dg.AssetCheckKey(key, AGREES) for key, one in zip(keys, entry.datasets, strict=True) if can_agree(one)
    ]
    chosen = dg.AssetSelection.assets(*keys)
    return dg.define_asset_job(
        entry.name,
        selection=chosen - dg.AssetSelection.checks(*apart) if apart else chosen,
        tags={ENTRY: entry.name, EXCHANGE: entry.exchange},
    )
