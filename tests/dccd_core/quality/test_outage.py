"""A venue was away when all of its symbols are empty at once; one quiet market is no outage."""

from dataclasses import replace

import pytest

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import HOUR, MINUTE, TimeRange, Us, parse_time
from dccd_core.lake.partition.ledger import ACCEPTED, VENUE_OUTAGE, Asked, Hole, Ledger, Source
from dccd_core.lake.partition.parquet import State
from dccd_core.quality.holes import AFTER_END, ASKED_AGAIN, BEFORE_LISTING, NO_TRADES, BarCheck, Evidence
from dccd_core.quality.outage import named, silences, without
from tests.dccd_pipeline.held import bars

START = parse_time("2024-05-01")
NOW = parse_time("2024-05-02")
BTC, ETH, SOL = (Dataset.parse(f"binance/ohlc/{base}-USDT/1m") for base in ("BTC", "ETH", "SOL"))


def at(start: float, end: float) -> TimeRange:
    """Hours of the day."""
    return TimeRange(Us(START + int(start * 60) * MINUTE), Us(START + int(end * 60) * MINUTE))


def hole(start: float, end: float, proof: str | None = ASKED_AGAIN, **more: object) -> Hole:
    span = at(start, end)
    return replace(Hole(span, span.length // MINUTE, (NOW,), proof), **more)  # type: ignore[arg-type]


def day(*holes: Hole, rows: int | None = None) -> dict[str, State]:
    """A day that was asked for; as many bars as there can be, unless it is said."""
    whole = 24 * 60 - sum(one.missing for one in holes)
    ledger = Ledger((Asked(at(0, 24), Source.REST, NOW, 1, 1),), holes)
    return {"2024-05": State("", whole if rows is None else rows, None, None, 1, "hash", ledger)}


def test_what_two_symbols_lack_at_once_is_an_outage_for_just_that_time() -> None:
    held = {BTC: day(hole(10, 12)), ETH: day(hole(10.5, 12.5)), SOL: day()}
    assert silences(held) == [at(10.5, 12)]
    assert silences({BTC: day(hole(10, 12), hole(14, 15)), ETH: day(hole(10, 12), hole(16, 17))}) == [
        at(10, 12)
    ]


def test_one_quiet_symbol_is_no_outage_whatever_its_spans() -> None:
    hours = Dataset.parse("binance/ohlc/BTC-USDT/1h")
    assert silences({BTC: day(hole(10, 12)), ETH: day()}) == []
    assert silences({BTC: day(hole(10, 12))}) == []
    of_hours = {"2024": replace(day()["2024-05"], ledger=Ledger(holes=(Hole(at(10, 12), 2, (NOW,)),)))}
    assert silences({BTC: day(hole(10, 12)), hours: of_hours}) == []


@pytest.mark.parametrize("proof", [None, ASKED_AGAIN, NO_TRADES, f"{ACCEPTED}so it was"])
def test_however_the_emptiness_is_proven(proof: str | None) -> None:
    assert silences({BTC: day(hole(10, 12, proof)), ETH: day(hole(10, 12))}) == [at(10, 12)]


@pytest.mark.parametrize(
    "other",
    [
        hole(10, 12, BEFORE_LISTING),
        hole(10, 12, AFTER_END),
        hole(10, 12, None, asked=()),
        hole(10, 12, None, refused=3),
    ],
)
def test_what_was_not_there_or_never_asked_or_refused_proves_none(other: Hole) -> None:
    assert silences({BTC: day(hole(10, 12)), ETH: day(other)}) == []


def test_two_thin_markets_may_be_quiet_by_chance() -> None:
    thin = day(hole(10, 12, NO_TRADES), rows=600)
    assert silences({BTC: thin, ETH: thin}) == []
    assert silences({BTC: thin, ETH: day(hole(10, 12)), SOL: day(hole(10, 12))}) == [at(10, 12)]


def test_where_something_was_traded_it_was_not_away() -> None:
    span = at(10, 12)
    assert without(span, [], MINUTE) == [span]
    traded = [Us(span.start + 30 * MINUTE + 1), Us(span.start + 30 * MINUTE + 2)]
    assert without(span, traded, MINUTE) == [
        TimeRange(span.start, Us(span.start + 30 * MINUTE)),
        TimeRange(Us(span.start + 31 * MINUTE), span.end),
    ]


def test_the_hole_says_so_and_what_is_proven_stays_proven() -> None:
    ledger = Ledger(holes=(hole(2, 3, BEFORE_LISTING), hole(10, 12, NO_TRADES), hole(14, 15, None)))
    assert named(ledger, [at(2, 3), at(10.5, 12), at(14, 15)], MINUTE).holes == (
        hole(2, 3, BEFORE_LISTING),
        hole(10, 10.5, NO_TRADES),
        hole(10.5, 12, NO_TRADES, reason=VENUE_OUTAGE),
        hole(14, 15, None, reason=VENUE_OUTAGE),
    )
    assert named(ledger, [], MINUTE) == ledger


def test_only_whole_bars_of_it_are_named() -> None:
    hours = Ledger(holes=(Hole(at(10, 13), 3, (NOW,)),))
    assert [(one.span, one.reason) for one in named(hours, [at(10.5, 12.5)], HOUR).holes] == [
        (at(10, 11), None),
        (at(11, 12), VENUE_OUTAGE),
        (at(12, 13), None),
    ]
    assert named(hours, [at(10.5, 11.5)], HOUR) == hours


def test_the_name_outlives_the_next_time_that_the_partition_is_written() -> None:
    (state,) = day(hole(10, 10.5, NO_TRADES), hole(10.5, 12, NO_TRADES), hole(14, 15, None)).values()
    ledger = named(state.ledger, [at(10.5, 12), at(14, 15)], MINUTE)
    lived = at(0, 24).minus(one.span for one in ledger.holes)
    opens = [moment for part in lived for moment in range(part.start, part.end, MINUTE)]
    check = BarCheck(MINUTE, Evidence(Us(NOW + HOUR), [at(14, 15)]))
    check.see(bars(opens))
    told = [(one.span, one.proof, one.reason) for one in check.assess(ledger).holes]
    assert told == [
        (at(10, 10.5), NO_TRADES, None),
        (at(10.5, 12), NO_TRADES, VENUE_OUTAGE),
        (at(14, 15), ASKED_AGAIN, VENUE_OUTAGE),
    ]
