"""How one dataset is, by its ledgers; with a lake and an instance: test_gather.py."""

from typing import Any

import pytest

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import HOUR, TimeRange, Us, parse_time
from dccd_core.lake.lake import State
from dccd_core.lake.partition.ledger import Accepted, Asked, Hole, Ledger, Source
from dccd_core.quality.deadline import Safety
from dccd_pipeline.answer.dataset import DatasetStatus, Known, dataset_status
from dccd_pipeline.config.collect import Entry
from dccd_pipeline.config.read import settings_of
from tests.dccd_pipeline.held import BOOKS, HOURS, state

NOW = parse_time("2025-03-01T12:30")
YEAR = TimeRange(parse_time("2024-01-01"), parse_time("2025-01-01"))


def entry_of(**keys: Any) -> Entry:
    bars = {
        "exchange": "binance",
        "symbols": ["BTC/USDT"],
        "data_type": "ohlc",
        "span": "1h",
        "start": "2024-01-01",
    }
    return settings_of({"collect": [{**bars, **keys}]}).collect[0]


def hole(start: str, end: str) -> Hole:
    span = TimeRange(parse_time(start), parse_time(end))
    return Hole(span, span.length // HOUR)


def test_what_has_not_begun_wants_nothing() -> None:
    entry = entry_of(start="2024-06-01")
    told = dataset_status(entry, HOURS, Known({}), parse_time("2024-05-01"), None)
    assert (told.coverage, told.behind, told.wanted) == (None, 0, None)


@pytest.mark.parametrize(
    "name", ["binance/orderbook/BTC-USDT", "bybit/trades/BTC-USDT", "kraken/ohlc/BTC-USDT/1m"]
)
def test_what_has_ended_and_was_never_collected_is_not_promised(name: str) -> None:
    """d446da6: "at risk", and "-> `dccd collect` ..., or let its schedule run": neither brings anything."""
    dataset, now = Dataset.parse(name), parse_time("2026-11-29T22:00")
    asks = {"exchange": dataset.exchange, "symbols": ["BTC/USDT"], "data_type": str(dataset.data_type)}
    asks |= {"span": "1m"} if dataset.span else {}
    asks |= {"start": "2026-01-01"} if dataset.data_type.table.pictures else {}
    raw = {"collect": [{**asks, "end": "2026-11-10"}]}
    (entry,) = settings_of(raw, now=now).collect
    told = dataset_status(entry, dataset, Known({}), now, Us(now + HOUR))
    (said,) = told.problems
    assert said.startswith(
        f"{name}: never collected, and it cannot be: its last day, 2026-11-09, is not shown"
    )
    assert told.deadline is None or told.deadline.safety is not Safety.AT_RISK
    (said,) = dataset_status(entry, dataset, Known({}), parse_time("2026-11-09T22:00"), None).problems[-1:]
    assert said == f"{name}: never collected -> `dccd collect {entry.name}`"


def test_a_gap_at_the_end_is_told_once() -> None:
    states = {"2024": state(HOURS, "2024", hole("2024-12-31T21:00", "2025-01-01"))}
    told = dataset_status(entry_of(end="2025-01-01"), HOURS, Known(states), NOW, None)
    (said,) = told.problems
    assert said.startswith(f"{HOURS}: a gap from 2024-12-31T21:00:00Z to 2025-01-01T00:00:00Z (")
    assert (told.gaps, told.missing, told.longest) == (1, 3, 3 * HOUR)


def test_what_was_skipped_and_never_asked_for_is_a_gap() -> None:
    states = {key: state(HOURS, key) for key in ("2022", "2024")}
    told = dataset_status(entry_of(start="2022-01-01", end="2025-01-01"), HOURS, Known(states), NOW, None)
    assert (told.gaps, told.missing) == (1, None)
    assert "a gap from 2023-01-01T00:00:00Z to 2024-01-01T00:00:00Z (never asked for)" in told.problems[0]
    assert told.coverage == pytest.approx(2 / 3, abs=0.01)
    accepted = [Accepted(TimeRange(parse_time("2023-01-01"), YEAR.start), "not wanted")]
    told = dataset_status(
        entry_of(start="2022-01-01", end="2025-01-01"), HOURS, Known(states, accepted=accepted), NOW, None
    )
    assert told.well, told.problems
    assert told.coverage == 1.0


def test_rows_in_quarantine_are_a_problem() -> None:
    states = {"2024": state(HOURS, "2024", quarantined=3)}
    told = dataset_status(entry_of(end="2025-01-01"), HOURS, Known(states), NOW, None)
    assert told.problems == (f"{HOURS}: 3 rows in quarantine -> `dccd quarantine {HOURS}` shows them",)


BARS = Dataset.parse("kraken/ohlc/BTC-USD/1m")
"""Shown for twelve hours."""


def perishing(*hours: tuple[int, int], now: int) -> DatasetStatus:
    """Judge bars of which these hours of a day were asked for, at one of them."""
    day = parse_time("2025-03-01")
    ledger = Ledger()
    for start, end in hours:
        span = TimeRange(Us(day + start * HOUR), Us(day + end * HOUR))
        ledger = ledger.add(Asked(span, Source.REST, span.end, 1, 60))
    states = {"2025-03": State("", 60, None, None, 1, "hash", ledger)}
    raw = {"exchange": "kraken", "symbols": ["BTC/USD"], "data_type": "ohlc", "span": "1m", "start": "recent"}
    at = Us(day + now * HOUR)
    return dataset_status(settings_of({"collect": [raw]}, now=at).collect[0], BARS, Known(states), at, None)


def test_what_is_about_to_be_lost_says_until_when() -> None:
    safe = perishing((0, 12), now=13)
    assert safe.deadline
    assert safe.deadline.safety is Safety.SAFE
    told = perishing((0, 12), now=22)
    said = "at risk: what came from 2025-03-01T12:00:00Z on can be had until 2025-03-02T00:00:00Z only, 2 h"
    assert told.problems[0] == f"{BARS}: {said} from now -> `dccd collect kraken_ohlc_1m`"


def test_what_nobody_could_have_collected_is_no_gap_and_what_is_lost_since_is_one() -> None:
    whole = perishing((28, 40), now=40)
    assert (whole.problems, whole.gaps, whole.gap_ppm_days) == ((), 0, {})
    assert whole.coverage == pytest.approx(1, abs=5e-3)
    lost = perishing((0, 12), (15, 40), now=40)
    assert lost.coverage == pytest.approx(37 / 40, abs=1e-3)
    assert lost.gap_ppm_days == {"2025-03-01": 125_000.0}


def test_what_is_lost_is_named_once_with_what_helps() -> None:
    told = perishing((0, 12), (15, 40), now=40)
    (said,) = told.problems
    assert said.startswith(f"{BARS}: lost: 2025-03-01T12:00:00Z to 2025-03-01T15:00:00Z (3 h), gone between")
    assert said.endswith("never asked for -> take it from elsewhere, or write it under `accepted:`")
    assert told.gaps == 1


def test_pictures_promise_no_moment() -> None:
    entry = entry_of(data_type="orderbook", span=None, start="recent")
    told = dataset_status(entry, BOOKS, Known({}), NOW, None)
    assert told.coverage is None
