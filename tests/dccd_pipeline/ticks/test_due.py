"""What a tick leaves alone; what becomes of what it asks for is shown in tests/e2e."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from dccd_core.domain.dataset import Dataset, partition_key, partition_keys, partition_span
from dccd_core.domain.timespan import DAY, MINUTE, TimeRange, Us, parse_time
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.partition.ledger import Asked, Source
from dccd_core.quality.deadline import Deadline
from dccd_core.quality.holes import NoCheck
from dccd_pipeline.assets.progress import Progress, behind
from dccd_pipeline.config.read import settings_of
from dccd_pipeline.ticks.due import find, hurried
from tests.dccd_core.lake.samples import take_away
from tests.dccd_pipeline.held import bars as held_bars
from tests.dccd_pipeline.held import hold, whole

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


BEHIND = {"BTC-USDT": "2026-10-01", "BTC-USDT_USDT": "2026-09-01", "ETH-USDT": "2026-10-20"}


def hold_days(lake: LakeStore, dataset: Dataset, last: str) -> None:
    """Hold the days of trades from the first one that the venue shows up to ``last``."""
    for key in partition_keys(dataset.grain, TimeRange(parse_time("2026-08-22"), parse_time(last))):
        asked = Asked(partition_span(dataset.grain, key), Source.REST, NOON, 1, 1)
        with lake.draft(dataset, key) as draft:
            draft.commit([asked], NoCheck)


def test_what_is_lost_soonest_is_asked_for_first(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    symbols = ["BTC/USDT", "BTC/USDT:USDT", "ETH/USDT"]
    entry = settings_of(
        {"collect": [{**TRADES, "exchange": "okx", "symbols": symbols, "start": "recent"}]}
    ).collect[0]
    lake = LakeStore(tmp_path)
    for slug, last in BEHIND.items():
        hold_days(lake, Dataset.parse(f"okx/trades/{slug}"), last)
    found = find(entry, lake, instance, NOON)
    jobs = [(dataset.symbol.slug, key) for dataset, key in found.jobs()]
    assert jobs[0] == ("BTC-USDT_USDT", "2026-09-01")
    assert jobs.index(("BTC-USDT", "2026-10-01")) < jobs.index(("ETH-USDT", "2026-10-20"))
    assert jobs == sorted(jobs, key=lambda job: job[1])
    assert found.nearest == parse_time("2026-09-01") + 90 * DAY
    assert {dataset.symbol.slug for dataset in found.at_risk} == {"BTC-USDT_USDT"}


def test_what_perishes_goes_before_what_stays(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    """157d310: the trades of May first, those of the future that are gone tomorrow last."""
    entry = {**TRADES, "exchange": "binance", "symbols": ["BTC/USDT", "BTC/USDT:USDT"], "start": "recent"}
    made = settings_of({"collect": [entry]}).collect[0]
    jobs = find(made, LakeStore(tmp_path), instance, NOON).jobs()
    kinds = [dataset.symbol.market_type for dataset, _ in jobs]
    assert kinds == sorted(kinds), "linear before spot"
    assert kinds[0] == "linear"


@pytest.mark.parametrize("risky", [True, False])
def test_a_gap_does_not_wait_while_it_is_about_to_be_lost(*, risky: bool) -> None:
    lost = NOON if risky else Us(NOON + 90 * DAY)
    known = Deadline(NOON, Us(90 * DAY), exact=True, since=Us(lost - 90 * DAY), at=lost, due=True)
    dataset = Dataset.parse("okx/trades/BTC-USDT")
    key = partition_key(dataset.grain, Us(lost - 90 * DAY))
    waits = Progress(frozenset(), {key: Us(NOON + DAY)})
    assert behind(hurried(waits, dataset, known), [key], NOON) == ([key] if risky else [])
    assert behind(hurried(waits, dataset, None), [key], NOON) == []


def test_what_is_new_does_not_wait_for_a_gap_that_rests(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    """157d310: an open partition with a fresh gap was left alone for a quarter of an hour."""
    bars = {**TRADES, "exchange": "binance", "data_type": "ohlc", "span": "1m", "start": "2026-11-01"}
    entry, lake = settings_of({"collect": [bars]}).collect[0], LakeStore(tmp_path)
    [dataset] = entry.datasets
    opens = [at for at in whole(dataset, "2026-11") if at < NOON and at != parse_time("2026-11-19")]
    hold(lake, dataset, "2026-11", held_bars(opens), until=NOON, at=NOON)
    early = find(entry, lake, instance, Us(NOON + MINUTE))
    assert early.jobs() == [], "all that is final is there, and the gap may wait"
    soon = find(entry, lake, instance, Us(NOON + 5 * MINUTE))
    assert soon.jobs() == [(dataset, "2026-11")]
    assert soon.resting == {(dataset, "2026-11")}
    later = find(entry, lake, instance, Us(NOON + 16 * MINUTE))
    assert later.jobs() == [(dataset, "2026-11")]
    assert later.resting == set(), "by then the gap is asked for, too"
