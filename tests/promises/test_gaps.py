"""Holes: a gap is reported exactly and repaired when the venue mends; what is explained is proven."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dccd_core.domain.timespan import MINUTE, SECOND, TimeRange, Us, parse_time, union
from dccd_core.fetch.paging.page import within
from dccd_core.lake.partition.ledger import Condition
from dccd_core.quality.holes import ASKED_AGAIN, ASKED_AGAIN_AFTER, NO_TRADES
from dccd_core.tables import DataType
from dccd_core.testing.sandbox.faults import Fault, FaultKind
from tests.dccd_core.fetch.world import NOW, TRADES, World, bars, content_hash, same, span

MONTH, DAY = "2024-05", "2024-05-31"
GAP = span("2024-05-30T10:07", "2024-05-30T10:09")
EXAMPLES = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
NUMBER = count()


def withheld(*spans: TimeRange) -> list[Fault]:
    """Bars that the venue leaves out though there were trades."""
    return [Fault(kind=FaultKind.GAPS, path="klines", start=part.start, end=part.end) for part in spans]


def lost(*ids: tuple[int, int]) -> list[Fault]:
    """Trades that the venue leaves out; both ends included."""
    return [Fault(kind=FaultKind.MISSING_TRADES, first_id=first, last_id=last) for first, last in ids]


def day_ids(world: World, key: str = DAY) -> range:
    ids = world.truth(TRADES, key)["trade_id"].cast(int)
    return range(ids[0], ids[-1] + 1)


def time_of(world: World, trade_id: int) -> Us:
    tape = world.market.tape("binance", TRADES.symbol)
    return Us(int(tape.by_id(trade_id, 1).time[0]))


@pytest.mark.parametrize(
    "gaps",
    [
        [GAP],
        [GAP, span("2024-05-30T10:30", "2024-05-30T10:31")],
        [span("2024-05-01", "2024-05-01T00:05")],
        [span("2024-05-31T23:00", "2024-06-01")],
        [span("2024-05-01T16:39", "2024-05-01T16:41")],  # over the border of two pages
        [span("2024-05-03", "2024-05-20")],
        [span("2024-05-01", "2024-06-01")],
    ],
    ids=["inside", "two", "head", "tail", "page", "pages", "all"],
)
def test_bars_that_are_left_out_are_a_gap_until_the_venue_mends(
    tmp_path: Path, gaps: Sequence[TimeRange]
) -> None:
    world = World(tmp_path)
    world.faults(*withheld(*gaps))
    world.fill(bars(), MONTH)
    assert world.condition(bars(), MONTH) is Condition.DEGRADED
    assert world.holes(bars(), MONTH) == [(gap, gap.length // MINUTE, None) for gap in gaps]
    absent = sum(gap.length // MINUTE for gap in gaps)
    assert world.stored(bars(), MONTH).height == world.truth(bars(), MONTH).height - absent

    world.faults()
    mended = world.fill(bars(), MONTH)
    assert mended.rows == absent
    assert world.condition(bars(), MONTH) is Condition.AVAILABLE
    assert same(world.stored(bars(), MONTH), world.truth(bars(), MONTH))
    assert mended.state is not None
    truth = world.truth(bars(), MONTH)
    assert mended.state.content_hash == content_hash(tmp_path / "truth", bars(), MONTH, truth)


@EXAMPLES
@given(pairs=st.lists(st.tuples(st.integers(0, 119), st.integers(1, 30)), max_size=4), seed=st.integers(0, 9))
def test_whatever_bars_are_left_out_exactly_they_are_reported(
    tmp_path: Path, pairs: list[tuple[int, int]], seed: int
) -> None:
    start, now = parse_time("2024-06-01"), parse_time("2024-06-01T02:00:05")
    world = World(tmp_path / str(next(NUMBER)), now, seed=seed)
    spans = [TimeRange(Us(start + a * MINUTE), Us(start + min(a + n, 120) * MINUTE)) for a, n in pairs]
    world.faults(*withheld(*spans), Fault(kind=FaultKind.SHORT_PAGE, probability=0.5))
    world.fill(bars(), "2024-06")
    truth = world.truth(bars(), "2024-06", parse_time("2024-06-01T02:00"))
    gaps = union(spans)
    quiet = [gap for gap in gaps if not within(truth, gap)["trades"].sum()]  # no loss, and so explained
    proofs = [NO_TRADES if gap in quiet else None for gap in gaps]
    holes = [(gap, gap.length // MINUTE, proof) for gap, proof in zip(gaps, proofs, strict=True)]
    assert world.holes(bars(), "2024-06") == holes
    world.faults()
    world.fill(bars(), "2024-06")
    kept = [within(truth, part) for part in TimeRange(start, now).minus(quiet)]
    assert same(world.stored(bars(), "2024-06"), pl.concat(kept))
    assert world.condition(bars(), "2024-06") is Condition.PENDING


def test_a_gap_an_outage_and_quiet_minutes_are_told_apart(tmp_path: Path) -> None:
    world = World(tmp_path, outages=["2024-05-29T04:00/2024-05-29T05:00"])
    world.faults(*withheld(GAP))
    world.fill(bars(), MONTH)
    outage = span("2024-05-29T04:00", "2024-05-29T05:00")
    assert world.holes(bars(), MONTH) == [(outage, 60, NO_TRADES), (GAP, 2, None)]
    assert (
        world.stored(bars(), MONTH).filter(volume=0).height
        == world.truth(bars(), MONTH).filter(volume=0).height
    )


def test_a_gap_that_trades_contradict_stays_a_gap_however_often_the_venue_denies_it(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.faults(*withheld(GAP))
    moments = [Us(NOW + n * ASKED_AGAIN_AFTER) for n in range(3)]
    for moment in moments:
        before = world.requests()
        world.at(moment).fill(bars(), MONTH)
        if moment > NOW:
            assert world.requests() - before == 2, "the gap is asked again, and the trades about it; no more"
        assert world.condition(bars(), MONTH) is Condition.DEGRADED
    state = world.lake.state(bars(), MONTH)
    assert state is not None
    [hole] = state.ledger.holes
    assert (hole.span, hole.asked, hole.proof) == (GAP, (moments[0], moments[-1]), None)


def test_without_a_witness_a_second_answer_a_quarter_of_an_hour_later_explains(tmp_path: Path) -> None:
    world = World(tmp_path)
    ohlc = world.exchange.endpoints[DataType.OHLC]
    world.exchange = replace(world.exchange, endpoints={DataType.OHLC: ohlc})
    world.faults(*withheld(GAP))
    for minutes, proof in [(0, None), (14, None), (15, ASKED_AGAIN)]:
        world.at(Us(NOW + minutes * MINUTE)).fill(bars(), MONTH)
        assert world.holes(bars(), MONTH) == [(GAP, 2, proof)]
    assert world.condition(bars(), MONTH) is Condition.AVAILABLE
    assert world.at(Us(NOW + 60 * MINUTE)).fill(bars(), MONTH).requests == 0


def test_a_failure_while_the_trades_are_asked_leaves_a_gap(tmp_path: Path) -> None:
    world = World(tmp_path, outages=["2024-05-29T04:00/2024-05-29T05:00"])
    world.faults(Fault(kind=FaultKind.STATUS, path="aggTrades", status=400))
    with pytest.raises(Exception, match="aggTrades"):
        world.fill(bars(), MONTH)
    assert world.condition(bars(), MONTH) is Condition.DEGRADED
    assert same(world.stored(bars(), MONTH), world.truth(bars(), MONTH))
    world.faults()
    world.fill(bars(), MONTH)
    assert world.condition(bars(), MONTH) is Condition.AVAILABLE


@pytest.mark.parametrize(
    ("first", "last"), [(2_000, 2_000), (1_998, 2_001), (0, 0), (0, 2_500), (-1, -1), (-800, -1), (0, -1)]
)
def test_lost_trades_are_a_gap_by_id_until_the_venue_mends(tmp_path: Path, first: int, last: int) -> None:
    """In the middle, over page borders, at the head, at the tail, the whole day: counted by id."""
    world = World(tmp_path)
    ids = day_ids(world)
    absent = range(ids[first], ids[last] + 1)
    world.faults(*lost((absent[0], absent[-1])))
    world.fill(TRADES, DAY)
    assert world.condition(TRADES, DAY) is Condition.DEGRADED
    [(gap, missing, proof)] = world.holes(TRADES, DAY)
    whole = span("2024-05-31", "2024-06-01")
    assert missing == len(absent)
    assert proof is None
    assert gap.start == (whole.start if first == 0 else time_of(world, absent[0] - 1))
    assert gap.end == (whole.end if last == -1 else time_of(world, absent[-1] + 1) + 1)
    kept = world.stored(TRADES, DAY)["trade_id"].cast(int).to_list()
    assert kept == [number for number in ids if number not in absent]

    world.faults()
    world.fill(TRADES, DAY)
    assert world.condition(TRADES, DAY) is Condition.AVAILABLE
    assert world.holes(TRADES, DAY) == []
    assert same(world.stored(TRADES, DAY), world.truth(TRADES, DAY))


def test_trades_lost_at_midnight_are_a_gap_of_both_days(tmp_path: Path) -> None:
    """Nobody can say on which side they were: both days ask again, and both are repaired."""
    world = World(tmp_path)
    border = day_ids(world)[-1]
    world.faults(*lost((border - 3, border + 4)))
    for key in (DAY, "2024-06-01"):
        world.fill(TRADES, key)
        assert [(missing, proof) for _, missing, proof in world.holes(TRADES, key)] == [(8, None)]
    world.faults()
    for key in (DAY, "2024-06-01"):
        world.fill(TRADES, key)
        assert same(world.stored(TRADES, key), world.truth(TRADES, key))
        assert world.condition(TRADES, key) is Condition.AVAILABLE


def test_trades_lost_at_the_place_where_we_stopped_are_found_when_we_go_on(tmp_path: Path) -> None:
    first, later = parse_time("2024-06-03T06:00:00"), parse_time("2024-06-03T12:00:00")
    world, key = World(tmp_path, first), "2024-06-03"
    next_id = world.market.tape("binance", TRADES.symbol).count_before(Us(first - 5 * SECOND))
    world.faults(*lost((next_id - 2, next_id + 2)))
    world.fill(TRADES, key)
    assert world.holes(TRADES, key) == [], "nobody can know yet that there should be more"
    world.at(later).fill(TRADES, key)
    [(gap, missing, proof)] = world.holes(TRADES, key)
    assert (missing, proof) == (5, None)
    assert (gap.start, gap.end) == (time_of(world, next_id - 3), time_of(world, next_id + 3) + 1)
    world.faults()
    world.at(later).fill(TRADES, key)
    assert same(world.stored(TRADES, key), world.truth(TRADES, key, Us(later - 5 * SECOND)))
    assert world.holes(TRADES, key) == []


def test_lost_trades_are_explained_when_they_are_lost_again_later_and_stay_noted(tmp_path: Path) -> None:
    start = parse_time("2024-06-03T06:00:00")
    world, key = World(tmp_path, start), "2024-06-03"
    world.fill(TRADES, key)  # today's head
    ids = day_ids(world, key)
    for gap in [(ids[0], ids[0] + 9), (ids[700], ids[709])]:
        folder = tmp_path / str(gap[0])
        world = World(folder, start)
        world.faults(*lost(gap))
        for minutes, proof in [(0, None), (14, None), (15, ASKED_AGAIN), (30, ASKED_AGAIN)]:
            world.at(Us(start + minutes * MINUTE)).fill(TRADES, key)
            assert [(n, p) for _, n, p in world.holes(TRADES, key)] == [(10, proof)]
        assert world.condition(TRADES, key) is Condition.PENDING


@EXAMPLES
@given(pairs=st.lists(st.tuples(st.integers(0, 299), st.integers(1, 40)), max_size=4), seed=st.integers(0, 9))
@example(pairs=[(257, 40), (298, 2)], seed=0)  # one row stands between a hole and the end
@example(pairs=[(0, 2), (3, 40)], seed=0)
def test_whatever_trades_are_lost_exactly_they_are_counted(
    tmp_path: Path, pairs: list[tuple[int, int]], seed: int
) -> None:
    world = World(tmp_path / str(next(NUMBER)), trades_per_day={"BTC/USDT": 300}, seed=seed)
    ids = day_ids(world)
    gone = {ids[n] for a, size in pairs for n in range(a, min(a + size, 300))}
    world.faults(
        *lost(*((ids[a], ids[min(a + size, 300) - 1]) for a, size in pairs)),
        Fault(kind=FaultKind.SHORT_PAGE, probability=0.5),
    )
    world.fill(TRADES, DAY)
    assert sum(missing for _, missing, _ in world.holes(TRADES, DAY)) == len(gone)
    assert world.condition(TRADES, DAY) is (Condition.DEGRADED if gone else Condition.AVAILABLE)
    world.faults()
    world.fill(TRADES, DAY)
    assert same(world.stored(TRADES, DAY), world.truth(TRADES, DAY))
    assert world.condition(TRADES, DAY) is Condition.AVAILABLE
