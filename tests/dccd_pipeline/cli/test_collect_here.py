from pathlib import Path

import dagster as dg

from dccd_core.domain.timespan import parse_time
from dccd_core.lake.lake import LakeStore
from dccd_pipeline.cli.collect import chosen_entries
from dccd_pipeline.cli.collect_here import planned_orders, tick_orders
from tests.dccd_pipeline.cli.test_collect import SETTINGS


def test_a_tick_by_hand_asks_for_what_is_behind(tmp_path: Path) -> None:
    now, lake = parse_time("2024-03-15"), LakeStore(tmp_path)
    with dg.DagsterInstance.ephemeral() as instance:
        (order,), _ = tick_orders(chosen_entries(SETTINGS, ["binance", "ETH/USDT"]), lake, instance, now)
        planned = planned_orders(chosen_entries(SETTINGS, []), lake, instance, now)
    assert (order.keys, len(order.datasets)) == (("2024-01", "2024-02", "2024-03"), 1)
    assert order.catch_up
    assert [one.entry.name for one in planned] == ["kraken_trades", "majors", "majors"]
