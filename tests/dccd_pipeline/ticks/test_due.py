"""What a tick leaves alone; what becomes of what it asks for is shown in tests/e2e."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from dccd_core.domain.timespan import parse_time
from dccd_core.lake.lake import LakeStore
from dccd_pipeline.config.read import settings_of
from dccd_pipeline.ticks.due import find
from tests.dccd_core.lake.samples import take_away
from tests.dccd_pipeline.held import hold

NOON = parse_time("2026-11-20T12:00:00")
TRADES = {"symbols": ["BTC/USDT"], "data_type": "trades"}
KRAKEN = {"exchange": "kraken", "symbols": ["BTC/USD"]}


Tick = Callable[..., tuple[str, str]]


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("instance"))) as instance:
        yield instance


@pytest.fixture
def tick(instance: dg.DagsterInstance, tmp_path: Path) -> Tick:
    """Return the first and the last partition that a tick of the last entry asks for."""

    def run(*collect: dict[str, Any], exchanges: dict[str, Any] | None = None) -> tuple[str, str]:
        entry = settings_of({"collect": collect, "exchanges": exchanges or {}}).collect[-1]
        [keys] = find(entry, LakeStore(tmp_path), instance, NOON).due.values()
        return keys[0], keys[-1]

    return run


@pytest.mark.parametrize(
    ("entry", "asked"),
    [
        ({**TRADES, "exchange": "binance", "start": "2026-01-01"}, ("2026-01-01", "2026-11-20")),
        ({**TRADES, "exchange": "okx", "start": "recent"}, ("2026-08-22", "2026-11-20")),
        ({**TRADES, "exchange": "bybit", "start": "recent"}, ("2026-11-19", "2026-11-20")),
        ({**KRAKEN, "data_type": "ohlc", "span": "30m", "start": "recent"}, ("2026-11", "2026-11")),
        ({**KRAKEN, "data_type": "ohlc", "span": "1h", "start": "recent"}, ("2026", "2026")),
        ({**KRAKEN, "data_type": "orderbook"}, ("2026-11-20", "2026-11-20")),
    ],
    ids=str,
)
def test_what_is_out_of_reach_is_not_asked_for(
    tick: Tick, entry: dict[str, Any], asked: tuple[str, str]
) -> None:
    assert tick(entry) == asked


def test_derived_bars_reach_as_far_as_the_trades(tick: Tick) -> None:
    trades = {**KRAKEN, "data_type": "trades", "start": "2024-05-01"}
    bars = {**trades, "data_type": "ohlc", "span": "1m", "derive_from": "trades"}
    assert tick(trades, bars) == ("2024-05", "2026-11")


def test_a_symbol_that_was_delisted_is_not_asked_for_afterwards(tick: Tick) -> None:
    lives = {"binance": {"symbols": {"BTC/USDT": {"listed": "2026-02-01", "delisted": "2026-03-05"}}}}
    entry = {**TRADES, "exchange": "binance", "start": "2026-01-01"}
    assert tick(entry, exchanges=lives) == ("2026-02-01", "2026-03-05")


@pytest.mark.parametrize("remembered", [True, False])
def test_what_only_remotes_hold_is_neither_due_nor_gone(
    instance: dg.DagsterInstance, tmp_path: Path, *, remembered: bool
) -> None:
    """With what Dagster's storage remembers and without it; what merely vanished is gone."""
    lake = LakeStore(tmp_path)
    entry = {**TRADES, "exchange": "binance", "start": "2026-11-17"}
    (made,) = settings_of({"collect": [entry]}).collect
    (dataset,) = made.datasets
    days = ["2026-11-17", "2026-11-18", "2026-11-19"]
    for day in days:
        hold(lake, dataset, day, dataset.data_type.table.empty())
    if remembered:
        assert find(made, lake, instance, NOON).due[dataset] == ["2026-11-20"]
    take_away(lake, days[0], dataset=dataset)
    found = find(made, lake, instance, NOON)
    assert (found.due[dataset], found.gone) == (["2026-11-20"], {})
    Path(lake.path(dataset, days[1])).unlink()
    found = find(made, lake, instance, NOON)
    assert found.gone == {dataset: [days[1]]}
    assert found.due[dataset] == ["2026-11-20"]
