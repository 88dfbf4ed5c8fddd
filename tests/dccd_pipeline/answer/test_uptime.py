"""What was recorded lately, and why not all of it."""

from dataclasses import replace

from dccd_core.domain.timespan import DAY, HOUR, TimeRange, Us, parse_time
from dccd_core.lake.lake import State
from dccd_core.lake.partition.ledger import Asked, Ledger, Lost, Source
from dccd_pipeline.answer.uptime import FETCHED, LOOKED_BACK, SETTLES, UNTOLD, uptime
from tests.dccd_pipeline.held import HOURS, state

NOW = parse_time("2024-06-01")


def span(start: int, end: int) -> TimeRange:
    """Return the time between so many hours before now."""
    return TimeRange(Us(NOW - start * HOUR), Us(NOW - end * HOUR))


def held(*asked: tuple[TimeRange, Source], lost: tuple[Lost, ...] = ()) -> dict[str, State]:
    told = tuple(Asked(one, source, NOW, 1, 1) for one, source in asked)
    return {"2024": replace(state(HOURS, "2024"), ledger=Ledger(told, lost=lost))}


def test_what_nobody_recorded_has_no_uptime() -> None:
    assert uptime(HOURS, {}, NOW) is None
    assert uptime(HOURS, held((span(9, 0), Source.REST)), NOW) is None


def test_each_silence_has_a_reason() -> None:
    recorded = [(span(10, 8), Source.STREAM), (span(6, 2), Source.STREAM), (span(8, 7), Source.REST)]
    found = uptime(HOURS, held(*recorded, lost=(Lost(span(7, 6), "cut off"),)), NOW)
    assert found
    assert (found.window, found.share) == (span(10, 0), 0.6)
    assert found.silent[:2] == [(span(8, 7), FETCHED), (span(7, 6), "cut off")]
    (rest,) = found.silent[2:]
    assert rest[0] == span(2, 0)
    assert rest[1] != UNTOLD


def test_it_looks_back_a_month() -> None:
    found = uptime(HOURS, held((TimeRange(Us(NOW - 90 * DAY), NOW), Source.STREAM)), NOW)
    assert found
    assert (found.window.length, found.share, list(found.silent)) == (LOOKED_BACK, 1.0, [])


def test_what_is_not_proven_yet_is_no_silence() -> None:
    almost = TimeRange(Us(NOW - HOUR), Us(NOW - SETTLES + 1))
    found = uptime(HOURS, held((almost, Source.STREAM)), NOW)
    assert found
    assert (found.window, found.share) == (almost, 1.0)
    earlier = uptime(HOURS, held((TimeRange(almost.start, Us(NOW - SETTLES)), Source.STREAM)), NOW)
    assert earlier
    assert (earlier.window.end, len(earlier.silent)) == (NOW, 1)


def test_what_was_recorded_long_ago_only_has_none() -> None:
    long_ago = TimeRange(Us(NOW - 90 * DAY), Us(NOW - 60 * DAY))
    assert uptime(HOURS, held((long_ago, Source.STREAM)), NOW) is None
