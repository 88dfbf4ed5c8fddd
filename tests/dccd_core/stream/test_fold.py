"""What was recorded becomes one table with history: folded once, and what was missed asked for."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import polars as pl
import pytest
from filelock import FileLock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import LakeError
from dccd_core.domain.timespan import DAY, HOUR, MINUTE, SECOND, TimeRange, Us, parse_time
from dccd_core.fetch.tick import Due, Folding, TickReport, tick
from dccd_core.fetch.together import Outcome
from dccd_core.fetch.venue import Venue
from dccd_core.lake import draft as draft_module
from dccd_core.lake.lake import LakeStore, PartitionDraft, State
from dccd_core.lake.live.coverage import Mark, Notes, Piece
from dccd_core.lake.partition.ledger import Condition, Source
from dccd_core.stream.api import StreamHealth
from dccd_core.stream.fold import fill_windows, fold_all, recorded_until
from dccd_core.stream.wanted import Kind
from dccd_core.tables import DataType
from dccd_core.testing.sandbox.faults import Fault, FaultKind
from tests.dccd_core.fetch.world import BTC, TRADES, World, bars, same, truth

DAY_KEY = "2024-06-05"
START = parse_time("2024-06-05T08:00")
BOOK = Dataset("binance", BTC, DataType.ORDERBOOK)


class Told:
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.parts: list[tuple[Dataset, str, int]] = []

    def beat(self, health: StreamHealth) -> None: ...

    def folded(self, dataset: Dataset, key: str, state: State, rows: int) -> None:
        self.parts.append((dataset, key, rows))

    def note(self, text: str, *, wrong: bool) -> None:
        self.notes.append(text)


def live(rows: pl.DataFrame, symbol: str = "BTC/USDT") -> pl.DataFrame:
    return rows.with_columns(symbol=pl.lit(symbol))


def record(world: World, dataset: Dataset, *spans: TimeRange, lost: Sequence[int] = ()) -> None:
    """Write one segment per span with the true rows of it, but for those of ``lost``."""
    for span in spans:
        rows = (
            truth(world.market, dataset, span).with_row_index("n").filter(~pl.col("n").is_in(lost)).drop("n")
        )
        with world.lake.segment(dataset.exchange, dataset.data_type, dataset.span, span.start) as writer:
            marks = [
                Mark("BTC/USDT", span.start, began=True),
                Mark("BTC/USDT", span.end, began=False, reason="x"),
            ]
            writer.append(live(rows), Notes(span.end, marks))


def minutes(first: int, last: int) -> TimeRange:
    return TimeRange(Us(START + first * MINUTE), Us(START + last * MINUTE))


def folded(world: World, *kinds: Kind) -> Told:
    told = Told()

    async def go(venue: Venue) -> None:
        await fold_all(venue, world.lake, kinds or [(DataType.TRADES, None)], told)

    world.with_venue(go)
    return told


def filled(world: World, *datasets: Dataset) -> Told:
    told = Told()

    async def go(venue: Venue) -> None:
        await fill_windows(venue, world.lake, datasets or [TRADES], told)

    world.with_venue(go)
    return told


def test_segments_become_a_partition_and_are_gone(tmp_path: Path) -> None:
    world = World(tmp_path)
    record(world, TRADES, minutes(0, 30), minutes(30, 50))
    told = folded(world)
    rows = world.truth(TRADES, DAY_KEY).filter(
        pl.col("ts").cast(pl.Int64).is_between(START, START + 50 * MINUTE)
    )
    assert same(world.stored(TRADES, DAY_KEY), rows)
    assert told.parts == [(TRADES, DAY_KEY, rows.height)]
    assert world.lake.segments() == []
    state = world.lake.state(TRADES, DAY_KEY)
    assert state
    assert [(asked.span, asked.source, asked.rows) for asked in state.ledger.asked] == [
        (minutes(0, 50), Source.STREAM, rows.height)
    ]


def test_only_the_windows_between_recordings_are_asked_for(tmp_path: Path) -> None:
    world = World(tmp_path)
    record(world, TRADES, minutes(0, 20), minutes(25, 40))
    folded(world)
    before = world.requests()
    told = filled(world)
    assert world.requests() > before
    whole = truth(world.market, TRADES, minutes(0, 40))
    assert same(world.stored(TRADES, DAY_KEY), whole)
    assert told.parts == [(TRADES, DAY_KEY, truth(world.market, TRADES, minutes(20, 25)).height)]
    asked = world.requests()
    filled(world)
    assert world.requests() == asked  # nothing is left to ask
    assert world.condition(TRADES, DAY_KEY) is Condition.DEGRADED  # the morning is for history to fill


def test_a_window_of_days_is_filled_partition_by_partition(tmp_path: Path) -> None:
    world = World(tmp_path)
    early = TimeRange(Us(START - 2 * DAY), Us(START - 2 * DAY + HOUR))
    record(world, TRADES, early, minutes(0, 20))
    folded(world)
    assert sorted(key for _, key, _ in filled(world).parts) == ["2024-06-03", "2024-06-04", "2024-06-05"]
    assert world.condition(TRADES, "2024-06-04") is Condition.AVAILABLE
    assert same(world.stored(TRADES, "2024-06-04"), world.truth(TRADES, "2024-06-04"))


def test_trades_lost_within_a_recording_show_by_their_ids_and_are_asked_for(tmp_path: Path) -> None:
    world = World(tmp_path)
    record(world, TRADES, minutes(0, 20), lost=[5, 6, 30])
    folded(world)
    assert sum(missing for _, missing, _ in world.holes(TRADES, DAY_KEY)) == 3
    filled(world)
    assert world.holes(TRADES, DAY_KEY) == []
    assert same(world.stored(TRADES, DAY_KEY), truth(world.market, TRADES, minutes(0, 20)))


def test_bars_lost_within_a_recording_are_asked_for(tmp_path: Path) -> None:
    world, one = World(tmp_path), bars()
    record(world, one, minutes(0, 20), lost=[3])
    folded(world, (DataType.OHLC, MINUTE))
    assert [missing for _, missing, _ in world.holes(one, "2024-06")] == [1]
    filled(world, one)
    assert same(world.stored(one, "2024-06"), truth(world.market, one, minutes(0, 20)))


def test_a_recording_over_midnight_is_two_partitions(tmp_path: Path) -> None:
    world = World(tmp_path, now=parse_time("2024-06-06T12:00"))
    midnight = parse_time("2024-06-06")
    span = TimeRange(Us(midnight - HOUR), Us(midnight + HOUR))
    record(world, TRADES, span)
    assert [key for _, key, _ in folded(world).parts] == [DAY_KEY, "2024-06-06"]
    both = pl.concat([world.stored(TRADES, DAY_KEY), world.stored(TRADES, "2024-06-06")])
    assert same(both, truth(world.market, TRADES, span))


def test_folding_again_after_a_crash_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path)
    record(world, TRADES, minutes(0, 20))
    with monkeypatch.context() as patch:
        patch.setattr("dccd_core.lake.live.harvest.SealedSegments.done", _crash)
        with pytest.raises(RuntimeError):
            folded(world)
    first = world.stored(TRADES, DAY_KEY)
    assert len(world.lake.segments()) == 1
    folded(world)
    assert same(world.stored(TRADES, DAY_KEY), first)
    assert world.lake.segments() == []


def _crash(_: object) -> None:
    raise RuntimeError


def test_a_part_that_cannot_be_folded_keeps_its_rows_and_stops_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, now=parse_time("2024-06-06T12:00"))
    span = TimeRange(Us(parse_time("2024-06-06") - MINUTE), Us(parse_time("2024-06-06") + MINUTE))
    record(world, TRADES, span)
    draft = LakeStore.draft

    def refusing(lake: LakeStore, dataset: Dataset, key: str) -> AbstractContextManager[PartitionDraft]:
        if key == DAY_KEY:
            raise LakeError("no room")
        return draft(lake, dataset, key)

    with monkeypatch.context() as patch:
        patch.setattr(LakeStore, "draft", refusing)
        told = folded(world)
    assert [key for _, key, _ in told.parts] == ["2024-06-06"]
    assert "2024-06-05: cannot be folded, its rows are kept: no room" in told.notes[0]
    assert same(world.lake.scan(TRADES).collect(), truth(world.market, TRADES, span))
    assert [key for _, key, _ in folded(world).parts] == [DAY_KEY]
    assert same(
        world.stored(TRADES, DAY_KEY),
        truth(world.market, TRADES, TimeRange(span.start, Us(span.start + MINUTE))),
    )


def test_a_failing_dataset_stops_no_other_from_being_filled(tmp_path: Path) -> None:
    world = World(tmp_path)
    record(world, TRADES, minutes(0, 20), minutes(25, 40))
    folded(world)
    record(world, bars(), minutes(0, 5), minutes(7, 9))
    folded(world, (DataType.OHLC, MINUTE))
    world.faults(Fault(kind=FaultKind.STATUS, status=400, path="klines"))
    told = filled(world, bars(), TRADES)
    assert [dataset for dataset, _, _ in told.parts] == [TRADES]
    assert (
        "binance/ohlc/BTC-USDT/1m 2024-06: what was missed cannot be had now: [binance /api/v3/klines"
        in told.notes[0]
    )


def test_a_book_remembers_when_and_why_it_was_not_known(tmp_path: Path) -> None:
    world = World(tmp_path)
    seconds = [Us(START + n * SECOND) for n in (0, 1, 2, 6, 7)]
    rows = pl.concat([world.market.truth_book("binance", BTC, at, 2) for at in seconds])
    with world.lake.segment("binance", DataType.ORDERBOOK, None, START) as writer:
        told = [(0, True, ""), (2, False, "updates are missing"), (6, True, ""), (8, False, "the end")]
        marks = [Mark("BTC/USDT", Us(START + at * SECOND), began, reason) for at, began, reason in told]
        writer.append(live(rows), Notes(marks=marks))
    folded(world, (DataType.ORDERBOOK, None))
    state = world.lake.state(BOOK, DAY_KEY)
    assert state
    assert [(hole.span, hole.missing, hole.reason) for hole in state.ledger.holes] == [
        (TimeRange(seconds[2], seconds[3]), 4, "updates are missing")
    ]
    assert same(world.stored(BOOK, DAY_KEY), rows)
    assert filled(world, BOOK).parts == []  # nobody can be asked for it


def pictures(world: World, *at_s: int) -> pl.DataFrame:
    """Return the true book of these seconds, two levels a side."""
    return pl.concat(
        [world.market.truth_book("binance", BTC, Us(START + n * SECOND), 2) for n in at_s]
        or [world.market.truth_book("binance", BTC, START, 2).clear()]
    )


def tell(world: World, rows: pl.DataFrame, notes: Notes, start: Us, dataset: Dataset = BOOK) -> None:
    with world.lake.segment("binance", dataset.data_type, None, start) as writer:
        writer.append(live(rows) if rows.height else rows, notes)


def drifted(first: int, end: int) -> Notes:
    """Say that the book was wrong from one second on until another."""
    return Notes(
        pieces=[Piece("BTC/USDT", Us(START + first * SECOND), Us(START + end * SECOND), "it drifted")]
    )


@pytest.mark.parametrize("when", ["with it", "later"])
def test_l12_pictures_of_a_time_that_is_withdrawn_are_kept_aside(tmp_path: Path, when: str) -> None:
    """Folded before that is known or not: no wrong picture stays in the partition, nor is any shown."""
    world = World(tmp_path)
    marks = [Mark("BTC/USDT", Us(START + at * SECOND), began=at == 0, reason="") for at in (0, 8)]
    tell(world, pictures(world, *range(8)), Notes(marks=marks), START)
    if when == "later":
        folded(world, (DataType.ORDERBOOK, None))
    tell(world, pictures(world), drifted(2, 5), Us(START + HOUR))
    right = pictures(world, 0, 1, 5, 6, 7)
    assert same(world.lake.scan(BOOK).collect(), right)  # while it is in a segment
    told = folded(world, (DataType.ORDERBOOK, None))
    assert same(world.lake.scan(BOOK).collect(), right)
    assert same(world.stored(BOOK, DAY_KEY), right)
    aside = world.lake.withdrawn(BOOK, DAY_KEY)
    assert same(aside.drop("reason"), pictures(world, 2, 3, 4))
    assert set(aside["reason"]) == {"it drifted"}
    state = world.lake.state(BOOK, DAY_KEY)
    assert state
    first, wrong = state.ledger.lost[0], TimeRange(Us(START + 2 * SECOND), Us(START + 5 * SECOND))
    assert (first.span, first.reason) == (wrong, "it drifted")
    said = f"{BOOK} {DAY_KEY}: 12 rows are taken out of the partition and kept beside it: it drifted"
    assert (told.notes, state.ledger.quarantined) == ([said], 0)  # it is explained: no check is to fail
    assert folded(world, (DataType.ORDERBOOK, None)).notes == []


def test_l12_of_more_than_anybody_looks_at_only_the_first_are_kept_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draft_module, "_MOST_ASIDE", 6)
    world = World(tmp_path)
    tell(world, pictures(world, *range(8)), drifted(0, 8), START)
    told = folded(world, (DataType.ORDERBOOK, None))
    assert world.lake.scan(BOOK).collect().height == 0
    assert world.lake.withdrawn(BOOK, DAY_KEY).height == 6
    assert len(told.notes) == 1


def test_l12_trades_of_a_time_that_is_withdrawn_stay(tmp_path: Path) -> None:
    """They are right, others are missing."""
    world = World(tmp_path)
    record(world, TRADES, minutes(0, 2))
    tell(world, truth(world.market, TRADES, minutes(0, 0)), drifted(10, 50), Us(START + HOUR), TRADES)
    folded(world)
    assert same(world.lake.scan(TRADES).collect(), truth(world.market, TRADES, minutes(0, 2)))
    assert world.lake.withdrawn(TRADES, DAY_KEY).height == 0


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cuts=st.lists(st.integers(0, 60), min_size=2, max_size=8, unique=True).map(sorted),
    overlap=st.integers(0, 3),
    lost=st.lists(st.integers(0, 40), max_size=4),
)
def test_however_it_was_recorded_it_is_one_table(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], overlap: int, lost: list[int]
) -> None:
    """Recordings between every other pair of cuts, longer than that by an overlap, with trades missing."""
    world = World(tmp_path_factory.mktemp("world"))
    for start, end in zip(cuts[::2], cuts[1::2], strict=False):
        record(world, TRADES, minutes(start, end + overlap), lost=lost)
        if start % 2:
            folded(world)
    folded(world)
    filled(world)
    filled(world)  # what is lost right after a window shows by its ids once that is filled
    last = [end for _, end in zip(cuts[::2], cuts[1::2], strict=False)][-1] + overlap
    expected = truth(world.market, TRADES, minutes(cuts[0], last))
    # what is missing at the very start or end of all recordings shows by no id
    ids = world.stored(TRADES, DAY_KEY)["trade_id"].cast(pl.Int64)
    whole = expected.filter(pl.col("trade_id").cast(pl.Int64).is_between(ids.min(), ids.max()))
    assert same(world.stored(TRADES, DAY_KEY), whole)


def ticked(world: World, every: Us | None = None) -> TickReport:
    due, told, folding = [Due(TRADES, DAY_KEY)], list[Outcome](), Folding([TRADES], every)
    return world.with_venue(lambda venue: tick(venue, world.lake, due, world.progress, told.append, folding))


def begun(folder: Path) -> World:
    """A world whose trades of the day are in a file up to the start, as ticks brought them."""
    world = World(folder, now=START)
    ticked(world)
    return world


def test_a_stream_folds_what_ticks_left_and_both_stay_in_the_ledger(tmp_path: Path) -> None:
    world = begun(tmp_path)
    record(world, TRADES, minutes(2, 6))
    ticked(world.at(minutes(0, 10).end), every=Us(DAY))
    before = world.lake.known(TRADES, DAY_KEY)
    told = folded(world)
    assert [part[:2] for part in told.parts] == [(TRADES, DAY_KEY)]
    assert world.lake.segments() == []
    state = world.lake.state(TRADES, DAY_KEY)
    assert state
    assert before
    assert [(one.span, one.source) for one in state.ledger.asked] == [
        (one.span, one.source) for one in before.ledger.asked
    ]
    assert {one.source for one in state.ledger.asked} == {Source.REST, Source.STREAM}
    (covered,) = state.ledger.covered()
    whole = truth(world.market, TRADES, covered)
    assert same(world.stored(TRADES, DAY_KEY).drop("received"), whole.drop("received"))


def test_a_tick_that_folds_leaves_what_is_being_recorded_and_its_claims(tmp_path: Path) -> None:
    world = begun(tmp_path)
    with world.lake.segment(TRADES.exchange, TRADES.data_type, None, START) as writer:
        span = minutes(2, 6)
        begins = Mark("BTC/USDT", span.start, began=True)
        rows = live(truth(world.market, TRADES, span))
        writer.append(rows, Notes(span.end, [begins], {"BTC/USDT": span.end}))
        report = ticked(world.at(minutes(0, 10).end), every=Us(0))
        assert (report.why, [part[1] for part in report.folded]) == ("its time has come", [DAY_KEY])
        (living,) = world.lake.segments()
        assert living.living
        state = world.lake.known(TRADES, DAY_KEY)
        assert state
        assert [one.span for one in state.ledger.asked if one.source is Source.STREAM] == [span]
        (covered,) = state.ledger.covered()
        shown = world.lake.scan(TRADES).collect()
        assert same(shown.drop("received"), truth(world.market, TRADES, covered).drop("received"))
    folded(world)
    after = world.lake.state(TRADES, DAY_KEY)
    assert after
    assert [one.span for one in after.ledger.asked if one.source is Source.STREAM] == [span]


def test_what_a_killed_tick_left_is_folded_by_the_next_one_whose_policy_says_so(tmp_path: Path) -> None:
    world = begun(tmp_path)
    ticked(world.at(minutes(0, 5).end))
    for minute, why, left in ((20, "", 2), (70, "an hour has passed, and 5 % of the rows are new", 0)):
        world.lake = LakeStore(tmp_path / "lake")  # the one before was killed
        report = ticked(world.at(minutes(0, minute).end))
        assert (report.why, len(world.lake.segments())) == (why, left)


def test_a_stream_that_begins_while_another_process_folds_knows_where_it_stopped(tmp_path: Path) -> None:
    world = begun(tmp_path)
    record(world, TRADES, minutes(2, 6), minutes(8, 9))
    with FileLock(tmp_path / "lake/.dccd/live/binance/trades/.harvest.lock"):
        assert folded(world).parts == []
        turn = recorded_until(world.lake, [TRADES], minutes(0, 10).end)[TRADES]
        assert (turn.at, turn.reason) == (minutes(8, 9).end, "x")
        asked = world.at(minutes(0, 30).end).requests()
        filled(world)  # what lies between, though it is in no file yet
        assert world.requests() > asked
    folded(world)
    state = world.lake.state(TRADES, DAY_KEY)
    assert state
    assert not minutes(2, 9).minus(state.ledger.covered())
