from pathlib import Path

import dagster as dg

from dccd_core.lake.lake import LakeStore
from dccd_pipeline.assets.remembered import read_held, remember_held
from dccd_pipeline.keep.forget import forget_in_dagster
from tests.dccd_pipeline.held import HOURS, TRADES, bars, hold, whole


def test_what_was_removed_on_purpose_is_not_gone(tmp_path: Path) -> None:
    lake = LakeStore(tmp_path)
    hold(lake, HOURS, "2024", bars(whole(HOURS, "2024")))
    store, keys = lake.identity(), ["2024", "2025"]
    with dg.DagsterInstance.ephemeral() as instance:
        remember_held(instance, store, keys, {HOURS: ["2024"]})
        remember_held(instance, store, ["2024-01-01"], {TRADES: ["2024-01-01"]})
        key = dg.AssetKey(HOURS.parts)
        instance.report_runless_asset_event(dg.AssetMaterialization(key, partition="2024"))
        forget_in_dagster(instance, HOURS, store)
        assert read_held(instance, [HOURS], store, keys) == {HOURS: set()}
        assert read_held(instance, [TRADES], store, ["2024-01-01"]) == {TRADES: {"2024-01-01"}}
        assert not instance.has_asset_key(key)
        forget_in_dagster(instance, HOURS, store)
        forget_in_dagster(instance, HOURS, None)
