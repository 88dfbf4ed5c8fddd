"""What Dagster's storage knows of a dataset that was removed on purpose goes with it: it is over, not gone.

Belongs here: Dagster's memory. Does not: files (dccd_core.keep.forget).
"""

import dagster as dg

from dccd_core.domain.dataset import Dataset
from dccd_pipeline.assets.remembered import forget_held


def forget_in_dagster(instance: dg.DagsterInstance, dataset: Dataset, store: str | None) -> None:
    """Forget which partitions there were, what was found in them, and that they were materialised."""
    forget_held(instance, dataset, store)
    key = dg.AssetKey(dataset.parts)
    if instance.has_asset_key(key):
        instance.wipe_assets([key])
