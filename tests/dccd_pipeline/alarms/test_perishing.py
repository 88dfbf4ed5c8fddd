"""What is told of what an exchange shows for a limited time: before it is lost, and after."""

from pathlib import Path
from typing import Any

import dagster as dg

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import HOUR, TimeRange, Us, parse_time
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.partition.ledger import Asked, Source
from dccd_core.quality.holes import NoCheck
from dccd_pipeline.alarms.look import Look, Memory
from dccd_pipeline.alarms.perishing import perishing
from dccd_pipeline.config.read import settings_of
from dccd_pipeline.config.settings import Settings

BARS = Dataset.parse("kraken/ohlc/BTC-USD/1m")
OTHER = Dataset.parse("kraken/ohlc/ETH-USD/1m")
NOON = parse_time("2026-11-20T12:00")
MIDNIGHT = Us(NOON - 12 * HOUR)
KEY = "deadlines of kraken_ohlc_1m"
ENTRY = {"exchange": "kraken", "symbols": ["BTC/USD"], "data_type": "ohlc", "span": "1m", "start": "recent"}


def at(hour: float) -> Us:
    """Return a moment so many hours after noon, up to when all is proven."""
    return Us(NOON + round(hour * HOUR))


def settings(store: Path, *collect: dict[str, Any]) -> Settings:
    return settings_of({"store": str(store), "collect": list(collect)})


def told(of: Settings, now: Us, memory: Memory) -> dict[str, str | None]:
    with dg.DagsterInstance.ephemeral() as instance:
        return dict(perishing(Look(of, instance, now, memory)))


def hold(lake: LakeStore, until: Us, since: Us = MIDNIGHT, dataset: Dataset = BARS) -> None:
    """Store that all was asked for, from midnight on, and nothing came."""
    asked = Asked(TimeRange(since, until), Source.REST, until, 1, 0)
    with lake.draft(dataset, "2026-11") as draft:
        draft.commit([asked], NoCheck)


def test_a_risk_is_told_until_it_is_over_and_nothing_is_read_before_there_can_be_one(tmp_path: Path) -> None:
    hold(LakeStore(tmp_path), NOON)
    of, memory = settings(tmp_path, ENTRY), dict[str, list[int]]()
    assert told(of, at(1), memory) == {KEY: ""}
    assert memory == {KEY: [at(9)]}
    (tmp_path / "dccd.json").rename(tmp_path / "away")  # who looks now fails
    assert told(of, at(8.9), memory) == {KEY: ""}
    (tmp_path / "away").rename(tmp_path / "dccd.json")
    said = "at risk: what came from 2026-11-20T12:00:00Z on can be had until 2026-11-21T00:00:00Z only"
    assert told(of, at(10), memory) == {KEY: f"kraken_ohlc_1m: {BARS}: {said}, 2 h from now"}
    hold(LakeStore(tmp_path), at(11))
    assert told(of, at(11.1), memory) == {KEY: ""}
    assert memory == {KEY: [at(20)]}


def test_a_loss_is_named_once_when_it_is_over(tmp_path: Path) -> None:
    hold(LakeStore(tmp_path), NOON)
    of, memory = settings(tmp_path, ENTRY), dict[str, list[int]]()
    going_on = told(of, at(14), memory)
    assert list(going_on) == [KEY], "it is still being lost, and that is a risk"
    assert "can be had until 2026-11-21T02:01:00Z only, 1 min from now" in str(going_on[KEY])
    hold(LakeStore(tmp_path), at(16), since=at(4))
    found = told(of, at(16), memory)
    what = "lost: 2026-11-20T12:00:00Z to 2026-11-20T16:00:00Z (4 h)"
    when = "gone between 2026-11-21T00:00:00Z and 2026-11-21T04:00:00Z: never asked for"
    assert found == {KEY: "", "losses of kraken_ohlc_1m": f"kraken_ohlc_1m: {BARS}: {what}, {when}"}
    memory[KEY] = [0]
    assert told(of, at(16.1), memory) == {KEY: ""}, "that was told"


def test_what_is_lost_soonest_is_named_first(tmp_path: Path) -> None:
    lake = LakeStore(tmp_path)
    hold(lake, NOON)
    hold(lake, at(-1), dataset=OTHER)
    both = {**ENTRY, "symbols": ["BTC/USD", "ETH/USD"]}
    said = told(settings(tmp_path, both), at(10), {})[KEY] or ""
    assert said.startswith(f"kraken_ohlc_1m: {OTHER}: at risk")
    assert f"; {BARS}: at risk" in said


def test_what_is_switched_off_is_not_told_of(tmp_path: Path) -> None:
    assert told(settings(tmp_path, {**ENTRY, "enabled": False}), at(10), {}) == {}
