"""A tick costs what is new: it lies beside the partition until writing is worth it, and counts as stored."""

import asyncio
import os
import re
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import msgspec
import polars as pl
import pytest
from filelock import FileLock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dccd_core.adapter.contract import Request, Response
from dccd_core.domain.dataset import Dataset, partition_span
from dccd_core.domain.errors import DccdError, LakeError
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, HOUR, MINUTE, TimeRange, Us, parse_time
from dccd_core.fetch.fill import Filled
from dccd_core.fetch.fold import fold_tail, materialise
from dccd_core.fetch.tick import Due, Folding, TickReport, tick
from dccd_core.fetch.together import Outcome
from dccd_core.fetch.venue import Venue
from dccd_core.lake.lake import LakeStore, PartitionDraft, State
from dccd_core.lake.live.coverage import Mark, Notes
from dccd_core.lake.live.segments import SegmentWriter
from dccd_core.lake.partition.ledger import Condition, Ledger, Source
from dccd_core.quality.holes import NoCheck
from dccd_core.tables import DataType
from dccd_core.testing.sandbox.faults import Fault, FaultKind
from tests.dccd_core.fetch.world import BTC, TRADES, World, alike, bars, same, truth

DAY_KEY, MONTH = "2024-06-05", "2024-06"
START = parse_time("2024-06-05T08:00")
ETH = Symbol("ETH", "USDT")
NEVER = Us(1_000 * DAY)
FIVE = 5 * MINUTE


def at(minutes: int) -> Us:
    return Us(START + minutes * MINUTE)


@dataclass(slots=True)
class Ticked(TickReport):
    """What a tick came to, and what it told on the way."""

    outcomes: list[Outcome] = field(default_factory=list[Outcome])


def ticked(world: World, *due: Due | Dataset, every: Us | None = NEVER) -> Ticked:
    jobs = [one if isinstance(one, Due) else Due(one, MONTH if one.span else DAY_KEY) for one in due]
    folding, told = Folding([one.dataset for one in jobs], every), list[Outcome]()
    report = world.with_venue(
        lambda venue: tick(venue, world.lake, jobs, world.progress, told.append, folding)
    )
    return Ticked(**{one.name: getattr(report, one.name) for one in fields(report)}, outcomes=told)


def begun(folder: Path, *datasets: Dataset, minutes: int = 0) -> World:
    """A world in which each dataset has a file, filled at a moment."""
    world = World(folder, now=at(minutes))
    ticked(world, *datasets)
    return world


def known(world: World, dataset: Dataset) -> State:
    state = world.lake.known(dataset, MONTH if dataset.span else DAY_KEY)
    assert state is not None
    return state


def rows(world: World, dataset: Dataset) -> pl.DataFrame:
    return world.lake.scan(dataset).collect()


def expected(world: World, dataset: Dataset) -> pl.DataFrame:
    """What is true and final by now of the partition, as far as it is claimed."""
    [covered] = known(world, dataset).ledger.covered()
    return truth(world.market, dataset, covered)


def file_of(world: World, dataset: Dataset) -> bytes:
    return Path(world.lake.path(dataset, MONTH if dataset.span else DAY_KEY)).read_bytes()


def folded(world: World, dataset: Dataset) -> list[str]:
    done = world.with_venue(lambda venue: fold_tail(venue, world.lake, dataset))
    assert all("torn off, and dropped" in note for note in done.notes)
    return [key for _, key, _ in done.parts]


def by_hand(world: World, dataset: Dataset) -> Filled:
    key = MONTH if dataset.span else DAY_KEY
    return world.with_venue(lambda venue: materialise(venue, world.lake, dataset, key, world.progress))


@pytest.mark.parametrize("dataset", [bars(), TRADES], ids=str)
def test_what_is_new_lies_beside_the_file_and_counts_as_stored(tmp_path: Path, dataset: Dataset) -> None:
    world = begun(tmp_path, dataset)
    before, footer = file_of(world, dataset), world.lake.state(dataset, MONTH if dataset.span else DAY_KEY)
    for n in range(1, 4):
        report = ticked(world.at(at(5 * n)), dataset)
        [outcome] = report.outcomes
        assert isinstance(outcome.result, Filled)
        assert outcome.result.state == known(world, dataset)
        assert (report.rows, outcome.result.rows) == (outcome.result.rows, report.rows)
        assert report.bytes > 0
        assert same(rows(world, dataset), expected(world, dataset))
        [covered] = known(world, dataset).ledger.covered()
        assert covered.end >= at(5 * n) - 2 * MINUTE
        assert len(world.lake.segments()) == n
    assert file_of(world, dataset) == before
    assert world.lake.state(dataset, MONTH if dataset.span else DAY_KEY) == footer
    assert known(world, dataset).unfolded == rows(world, dataset).height - known(world, dataset).rows


def test_a_tick_asks_only_for_what_is_new(tmp_path: Path) -> None:
    world = begun(tmp_path, bars())
    before = world.requests()
    for n in range(1, 4):
        ticked(world.at(at(5 * n)), bars())
        assert world.requests() == before + n
    ticked(world, bars())
    assert world.requests() == before + 3
    assert len(world.lake.segments()) == 3


def test_all_symbols_are_one_file_and_one_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = bars(), bars(symbol=ETH)
    world = begun(tmp_path, *both)
    written: list[int] = []
    append = SegmentWriter.append

    def counted(writer: SegmentWriter, frame: pl.DataFrame, notes: Notes) -> None:
        written.append(frame.height)
        append(writer, frame, notes)

    monkeypatch.setattr(SegmentWriter, "append", counted)
    ticked(world.at(at(5)), *both)
    assert written == [10]
    assert len(world.lake.segments()) == 1
    for dataset in both:
        assert same(rows(world, dataset), expected(world, dataset))


@pytest.mark.parametrize("dataset", [bars(), TRADES], ids=str)
def test_folded_it_is_what_a_fill_would_have_stored(tmp_path: Path, dataset: Dataset) -> None:
    world, other = begun(tmp_path / "a", dataset), World(tmp_path / "b", now=at(15))
    for n in range(1, 4):
        ticked(world.at(at(5 * n)), dataset)
    before = known(world, dataset)
    key = MONTH if dataset.span else DAY_KEY
    assert folded(world, dataset) == [key]
    assert world.lake.segments() == []
    other.fill(dataset, key)
    one, two = world.lake.state(dataset, key), other.lake.state(dataset, key)
    assert one
    assert two
    assert (one.content_hash, one.ledger.covered(), one.ledger.holes) == (
        two.content_hash,
        two.ledger.covered(),
        two.ledger.holes,
    )
    assert (before.ledger, before.rows + before.unfolded) == (one.ledger, one.rows)
    assert known(world, dataset) == one


def test_where_there_is_no_file_it_is_written_at_once(tmp_path: Path) -> None:
    world = World(tmp_path, now=at(0))
    report = ticked(world, bars())
    assert (report.rows, world.lake.segments()) == (0, [])
    assert same(world.stored(bars(), MONTH), expected(world, bars()))


def leave_out(world: World, *missing: Us) -> None:
    """Let the venue's answers lack these bars."""

    def alter(request: Request, response: Response) -> Response:
        if not request.path.endswith("klines"):
            return response
        bars_told = msgspec.json.decode(response.body)
        return replace(
            response, body=msgspec.json.encode([b for b in bars_told if b[0] * 1_000 not in missing])
        )

    world.alter = alter


def gaps(state: State | None) -> list[tuple[Us, int, str | None]]:
    assert state
    return [(hole.span.start, len(hole.asked), hole.proof) for hole in state.ledger.holes]


def test_what_was_imported_is_never_seen_beside_the_answer_of_its_time(tmp_path: Path) -> None:
    """Trades without ids, as dccd 3 kept Kraken's, are told apart from none: they make way at once."""
    world = World(tmp_path, now=at(5))
    part = TimeRange(at(0), at(3))
    nameless = truth(world.market, TRADES, part).with_columns(trade_id=pl.lit(None, pl.String))
    with world.lake.draft(TRADES, DAY_KEY) as draft:
        draft.yield_to_stored(fill_gaps=False)
        draft.append(nameless)
        draft.commit([], Imported)
    assert rows(world, TRADES).height == nameless.height > 0
    assert ticked(world, TRADES).why == "what was imported makes way"
    assert same(rows(world, TRADES), expected(world, TRADES))


class Imported(NoCheck):
    """Knows all of the day as imported."""

    def assess(self, ledger: Ledger) -> Ledger:
        return ledger.take_over([partition_span(TRADES.grain, DAY_KEY)])


def test_what_an_answer_lacks_is_known_and_asked_again_until_that_proves_it(tmp_path: Path) -> None:
    world, one = World(tmp_path, now=at(0)), bars()
    ticked(world, one)
    leave_out(world, at(3))
    ticked(world.at(at(6)), one)
    assert gaps(known(world, one))[0][:2] == (at(3), 1)
    assert gaps(world.lake.state(one, MONTH)) == []
    ticked(world.at(at(8)), one)
    assert gaps(known(world, one))[0][:2] == (at(3), 2)
    world.alter = lambda _, response: response
    ticked(world.at(at(10)), one)
    assert gaps(known(world, one)) == []
    assert same(rows(world, one), expected(world, one))
    folded(world, one)
    assert gaps(world.lake.state(one, MONTH)) == []


def test_one_failing_dataset_stops_no_other(tmp_path: Path) -> None:
    both = bars(), bars(symbol=ETH)
    world = begun(tmp_path, *both)
    world.faults(Fault(kind=FaultKind.STATUS, status=400, path="klines", symbol="ETHUSDT"))
    report = ticked(world.at(at(5)), *both)
    results = {outcome.dataset: outcome.result for outcome in report.outcomes}
    assert isinstance(results[both[0]], Filled)
    assert isinstance(results[both[1]], DccdError)
    assert same(rows(world, both[0]), expected(world, both[0]))
    assert known(world, both[1]) == world.lake.state(both[1], MONTH)


def test_what_came_before_an_error_is_appended(tmp_path: Path) -> None:
    world = begun(tmp_path, TRADES)

    def alter(request: Request, response: Response) -> Response:
        starts = re.findall(rb'"T":(\d+)', response.body)
        late = len(starts) > 10 and int(starts[0]) * 1_000 > at(60)
        return replace(response, body=b"{") if late else response

    world.alter = alter
    report = ticked(world.at(at(240)), TRADES)
    world.alter = lambda _, response: response
    [outcome] = report.outcomes
    assert isinstance(outcome.result, DccdError)
    assert report.rows > 0
    assert same(rows(world, TRADES), expected(world, TRADES))
    ticked(world, TRADES)
    assert known(world, TRADES).ledger.covered()[0].end > at(230)
    assert same(rows(world, TRADES), expected(world, TRADES))


def test_what_came_before_it_was_cancelled_is_appended(tmp_path: Path) -> None:
    world = begun(tmp_path, TRADES)
    before = rows(world, TRADES).height
    world.at(at(240))

    async def go(venue: Venue) -> None:
        pages, told = 0, list[Outcome]()

        def progress(_: Dataset, __: str, ___: int, ____: Us) -> None:
            nonlocal pages
            pages += 1
            if pages == 3:
                task.cancel()

        task = asyncio.ensure_future(tick(venue, world.lake, [Due(TRADES, DAY_KEY)], progress, told.append))
        with pytest.raises(asyncio.CancelledError):
            await task

    world.with_venue(go)
    assert rows(world, TRADES).height > before
    assert same(rows(world, TRADES), expected(world, TRADES))


def test_what_cannot_be_appended_is_told_and_claimed_by_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = begun(tmp_path, bars())
    before = known(world, bars())

    def full(*_: object) -> None:
        raise LakeError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(SegmentWriter, "append", full)
        with pytest.raises(LakeError, match="no room"):
            ticked(world.at(at(5)), bars())
    assert known(world, bars()) == before
    ticked(world, bars())
    assert same(rows(world, bars()), expected(world, bars()))


def test_more_than_fits_into_memory_is_appended_in_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dccd_core.fetch.tick._MOST_HELD", 3)
    both = bars(), bars(symbol=ETH)
    world = begun(tmp_path, *both)
    ticked(world.at(at(5)), *both)
    assert len(world.lake.segments()) == 2
    for dataset in both:
        assert same(rows(world, dataset), expected(world, dataset))


def recorded(world: World, dataset: Dataset, span: TimeRange) -> None:
    """Have a stream record the true rows of a span."""
    with world.lake.segment(dataset.exchange, dataset.data_type, dataset.span, span.start) as writer:
        begins, ends = Mark("BTC/USDT", span.start, began=True), Mark("BTC/USDT", span.end, began=False)
        live = truth(world.market, dataset, span).with_columns(symbol=pl.lit("BTC/USDT"))
        writer.append(live, Notes(span.end, [begins, ends]))


def sources(state: State) -> list[tuple[TimeRange, Source]]:
    return [(asked.span, asked.source) for asked in state.ledger.asked]


@pytest.mark.parametrize("dataset", [bars(), TRADES], ids=str)
def test_a_stream_and_a_tick_on_one_dataset_are_both_in_the_ledger(tmp_path: Path, dataset: Dataset) -> None:
    world = begun(tmp_path, dataset)
    [first] = known(world, dataset).ledger.covered()
    recorded(world, dataset, TimeRange(at(2), at(6)))
    ticked(world.at(at(10)), dataset)
    state = known(world, dataset)
    assert len(state.ledger.covered()) == 1
    assert [asked.span for asked in state.ledger.asked if asked.source is Source.STREAM] == [
        TimeRange(at(2), at(6))
    ]
    whole = truth(world.market, dataset, TimeRange(first.start, state.ledger.covered()[0].end))
    assert alike(rows(world, dataset), whole)
    folded(world, dataset)
    key = MONTH if dataset.span else DAY_KEY
    after = world.lake.state(dataset, key)
    assert after
    assert alike(world.stored(dataset, key), whole)
    assert [(a.span, a.source) for a in after.ledger.asked] == [
        (a.span, a.source) for a in state.ledger.asked
    ]


def test_a_tick_leaves_alone_what_another_folds_and_a_hand_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = begun(tmp_path, bars())
    ticked(world.at(at(5)), bars())
    lock = FileLock(tmp_path / "lake/.dccd/live/binance/ohlc-1m/.harvest.lock")
    monkeypatch.setattr("dccd_core.lake.live.harvest._PATIENCE_S", 0.01)
    with lock:
        report = ticked(world.at(at(10)), bars(), every=Us(0))
        assert (report.why, report.taken, report.folded) == ("its time has come", True, [])
        with pytest.raises(LakeError, match="another process has kept its lock"):
            by_hand(world, bars())
    report = ticked(world.at(at(15)), bars(), every=Us(0))
    assert ([key for _, key, _ in report.folded], report.taken) == ([MONTH], False)
    assert world.lake.segments() == []
    assert same(world.stored(bars(), MONTH), expected(world, bars()))


def test_a_hand_takes_what_the_tail_has_and_who_folds_later_finds_it_known(tmp_path: Path) -> None:
    both = bars(), bars(symbol=ETH)
    world = begun(tmp_path, *both)
    ticked(world.at(at(5)), *both)
    asked = world.requests()
    filled = by_hand(world.at(at(8)), both[0])
    assert world.requests() == asked + 1  # only for what the tail has not
    assert same(world.stored(both[0], MONTH), expected(world, both[0]))
    assert known(world, both[0]) == filled.state
    assert known(world, both[0]).unfolded == 0
    before = file_of(world, both[0])
    assert len(world.lake.segments()) == 1
    assert folded(world, both[0]) == [MONTH]
    assert file_of(world, both[0]) == before
    assert same(world.stored(both[1], MONTH), expected(world, both[1]))
    assert world.lake.segments() == []


@pytest.mark.parametrize("when", ["before the commit", "before the removal"])
def test_folding_again_after_a_crash_counts_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    world = begun(tmp_path, bars())
    for n in (1, 2):
        ticked(world.at(at(5 * n)), bars())
    expected_state = known(world, bars())

    def crash(*_: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as patch:
        if when == "before the commit":
            patch.setattr(PartitionDraft, "commit", crash)
        else:
            patch.setattr("dccd_core.lake.live.harvest.SealedSegments.done", crash)
        with pytest.raises(RuntimeError):
            folded(world, bars())
    assert len(world.lake.segments()) == 2
    assert same(rows(world, bars()), expected(world, bars()))
    assert known(world, bars()).ledger == expected_state.ledger
    folded(world, bars())
    state = world.lake.state(bars(), MONTH)
    assert state
    assert (state.ledger, state.rows) == (expected_state.ledger, expected_state.rows + 10)
    assert world.lake.segments() == []


def test_the_next_month_begins_with_a_file_and_the_last_one_is_folded(tmp_path: Path) -> None:
    end = parse_time("2024-07-01")
    world = World(tmp_path, now=Us(end - HOUR))
    jobs = [Due(bars(), MONTH), Due(bars(), "2024-07")]
    ticked(world, jobs[0])
    report = ticked(world.at(Us(end + 5 * MINUTE)), *jobs, every=None)
    assert (report.why, [key for _, key, _ in report.folded]) == ("a partition has ended", [MONTH])
    assert world.condition(bars(), MONTH) is Condition.AVAILABLE
    assert world.condition(bars(), "2024-07") is Condition.PENDING
    assert same(world.stored(bars(), MONTH), world.truth(bars(), MONTH))
    assert world.lake.segments() == []


def test_pictures_are_appended_too(tmp_path: Path) -> None:
    book = Dataset("binance", BTC, DataType.ORDERBOOK)
    world = World(tmp_path, now=at(0))
    due = Due(book, DAY_KEY, depth=2)
    for n in range(3):
        ticked(world.at(at(n)), due)
    shown = pl.concat([world.market.truth_book("binance", BTC, at(n), 2) for n in range(3)])
    assert alike(rows(world, book), shown)
    assert len(world.lake.segments()) == 2
    folded(world, book)
    assert alike(world.stored(book, DAY_KEY), shown)


def test_what_an_append_writes_does_not_depend_on_what_is_stored(tmp_path: Path) -> None:
    """And is no more than three times the new rows."""
    written: list[int] = []
    for name, start in (("small", "2024-06-05T07:50"), ("large", "2024-06-01")):
        world = World(tmp_path / name, now=at(0))
        ticked(world, Due(bars(), MONTH, within=TimeRange(parse_time(start), at(0))))
        small = world.lake.state(bars(), MONTH)
        assert small
        report = ticked(world.at(at(60)), Due(bars(), MONTH, within=TimeRange(at(-1), at(60))))
        assert report.rows >= 58
        written.append(report.bytes)
        fresh = rows(world, bars()).tail(report.rows).with_columns(symbol=pl.lit("BTC/USDT"))
        assert report.bytes <= 3 * fresh.to_arrow().nbytes
    assert abs(written[0] - written[1]) < 64


STEPS = st.lists(
    st.sampled_from(["tick", "tick", "tick", "fold", "hand", "stream", "crash", "torn", "miss"]), max_size=10
)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, dataset=st.sampled_from([bars(), TRADES]))
def test_whatever_happens_in_whatever_order_it_is_one_table_andclaims_only_what_is_there(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str], dataset: Dataset
) -> None:
    """``crash``: a fold dies before it removes segments; ``torn``: a tick dies in its append."""
    world = begun(tmp_path_factory.mktemp("world"), dataset)
    key, now = MONTH if dataset.span else DAY_KEY, 0
    for step in steps:
        now += 5
        world.at(at(now))
        before = known(world, dataset)
        _do(world, dataset, step, now)
        held = known(world, dataset)
        for asked in before.ledger.covered():
            assert not asked.minus(held.ledger.covered())  # what was claimed stays claimed
        claims_only_what_is_there(world, dataset, held)
    ticked(world.at(at(now + 5)), dataset)
    folded(world, dataset)
    state = world.lake.state(dataset, key)
    assert state
    assert alike(world.stored(dataset, key), expected(world, dataset))
    assert (state.ledger.gaps(), world.lake.segments()) == ((), [])
    assert known(world, dataset) == state


def claims_only_what_is_there(world: World, dataset: Dataset, state: State) -> None:
    there = rows(world, dataset)
    times = there["ts"].cast(pl.Int64)
    gone = [hole.span for hole in state.ledger.gaps()]
    for span in state.ledger.covered():
        for part in span.minus(gone):
            inside = there.filter(times.is_between(part.start, part.end, closed="left"))
            assert alike(inside, truth(world.market, dataset, part))


def _do(world: World, dataset: Dataset, step: str, now: int) -> None:
    ways = {
        "tick": lambda: ticked(world, dataset),
        "fold": lambda: folded(world, dataset),
        "hand": lambda: by_hand(world, dataset),
        "stream": lambda: recorded(world, dataset, TimeRange(at(now - 4), at(now - 2))),
        "crash": lambda: _crashed(world, dataset),
        "torn": lambda: _torn(world, dataset),
        "miss": lambda: _missed(world, dataset, at(now - 3)),
    }
    ways[step]()


def _crashed(world: World, dataset: Dataset) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dccd_core.lake.live.harvest.SealedSegments.done", _die)
        with pytest.raises(RuntimeError):
            folded(world, dataset)


def _torn(world: World, dataset: Dataset) -> None:
    before = {info.path for info in world.lake.segments()}
    ticked(world, dataset)
    for path in {info.path for info in world.lake.segments()} - before:
        os.truncate(path, Path(path).stat().st_size // 2)  # what a tick leaves that was killed in it
    world.lake = LakeStore(world.folder / "lake")  # it was another process


def _missed(world: World, dataset: Dataset, bar: Us) -> None:
    if truth(world.market, TRADES, TimeRange(bar, Us(bar + MINUTE))).height:  # else it would be proven
        leave_out(world, bar)
    ticked(world, dataset)
    world.alter = lambda _, response: response


def _die(*_: object) -> None:
    raise RuntimeError
