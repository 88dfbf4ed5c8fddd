"""Since when there was anything to be collected: what could never be had is no loss, what could be had is."""

import pytest

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import DAY, HOUR, TimeRange, Us, parse_time
from dccd_core.lake.partition.ledger import DAMAGED, Asked, Ledger, Source
from dccd_core.lake.partition.parquet import State
from dccd_core.quality.coverage import coverage, gaps, wanted_time
from dccd_core.quality.reach import had_since, recorded_since

BARS = Dataset.parse("kraken/ohlc/BTC-USD/1h")
"""The last 720 are shown, the one that is under way among them: 30 days."""
NOW = parse_time("2024-11-30")
YEAR = TimeRange(parse_time("2024-01-01"), NOW)


def days(first: int, last: int) -> TimeRange:
    """Return the time from so many days before ``NOW`` to so many."""
    return TimeRange(Us(NOW - first * DAY), Us(NOW - last * DAY))


def held(
    *asked: TimeRange, source: Source = Source.REST, damaged: tuple[TimeRange, ...] = ()
) -> dict[str, State]:
    ledger = Ledger().lose((span, DAMAGED) for span in damaged)
    for span in asked:
        ledger = ledger.add(Asked(span, source, NOW, 1, 1))
    return {"2024": State("", 1, None, None, 1, "", ledger)}


def test_what_was_never_shown_to_anybody_is_not_wanted() -> None:
    states = held(days(30, 0))
    assert had_since(BARS, states, NOW) == days(30, 0).start
    for wanted in (wanted_time(BARS, states, NOW, YEAR), wanted_time(BARS, states, NOW)):
        assert wanted == days(30, 0)
        assert coverage(states, wanted) == 1.0
        assert gaps(BARS, states, wanted) == []


def test_months_later_it_is_wanted_from_the_first_moment_on_that_was_collected() -> None:
    states, later = held(days(30, -60)), Us(NOW + 60 * DAY)
    assert had_since(BARS, states, later) == days(30, 0).start
    assert wanted_time(BARS, states, later, TimeRange(YEAR.start, later)) == days(30, -60)


@pytest.mark.parametrize(
    ("states", "proven"),
    [
        (held(days(10, 0)), 240 / 719),
        (held(days(60, 50), days(30, 0)), 2 / 3),
        (held(days(20, 0), damaged=(days(30, 20),)), 2 / 3),
        (held(days(15, 0), source=Source.STREAM), 360 / 719),
        (held(), 0.0),
    ],
    ids=["could be had and was not asked for", "lost since", "damaged since", "only recorded", "nothing yet"],
)
def test_what_could_be_had_is_wanted(states: dict[str, State], proven: float) -> None:
    assert coverage(states, wanted_time(BARS, states, NOW, YEAR)) == pytest.approx(proven)


@pytest.mark.parametrize(
    ("dataset", "source"),
    [
        (Dataset.parse("binance/ohlc/BTC-USDT/1h"), Source.REST),
        (Dataset.parse("kraken/trades/BTC-USD"), Source.REST),
        (BARS, Source.DERIVED),
    ],
    ids=["shown for ever", "trades, shown for ever", "built of what is shown for ever"],
)
def test_what_is_shown_for_ever_could_be_had_from_the_beginning_on(dataset: Dataset, source: Source) -> None:
    states = held(days(10, 0), source=source)
    assert had_since(dataset, states, NOW) == 0
    assert wanted_time(dataset, states, NOW, YEAR) == YEAR


def test_of_a_stream_alone_the_first_moment_counts() -> None:
    assert recorded_since(held(days(3, 2), days(1, 0), source=Source.STREAM)) == days(3, 2).start
    assert recorded_since(held(days(3, 2))) == 0


def test_of_a_number_of_trades_it_is_what_was_collected_first() -> None:
    newest = Dataset.parse("bybit/trades/BTC-USDT")
    states = held(TimeRange(Us(NOW - 2 * HOUR), NOW))
    assert had_since(newest, states, NOW) == NOW - 2 * HOUR
