"""The job of a tick: found by entry and exchange, without a plan, and it may be told which symbols."""

import dagster as dg

from dccd_pipeline.config.read import settings_of
from dccd_pipeline.ticks.job import tick_job, tick_op


def test_it_carries_its_entry_and_is_one_op_in_the_pool_of_its_exchange() -> None:
    raw = {"exchange": "binance", "symbols": ["BTC/USDT"], "data_type": "trades", "name": "majors"}
    (entry,) = settings_of({"collect": [{**raw, "start": "2024-01-01"}]}).collect
    job = tick_job(entry)
    assert (job.name, tick_op(entry)) == ("majors_tick", "collect_majors")
    tags = {"dccd/entry": "majors", "dccd/exchange": "binance", "dccd/catch_up": "true"}
    assert job.tags == tags
    (node,) = job.nodes
    assert isinstance(node.definition, dg.OpDefinition)
    assert (node.definition.name, node.definition.pool) == ("collect_majors", "binance")
    assert not job.asset_layer.selected_asset_keys
