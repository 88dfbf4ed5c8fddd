import errno
import fcntl
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pytest
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import DamagedFile, LakeError
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY as ONE_DAY
from dccd_core.domain.timespan import SECOND, TimeRange, Us
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.live import harvest as harvest_module
from dccd_core.lake.live import segments
from dccd_core.lake.live.coverage import BROKE_OFF, Notes
from dccd_core.lake.live.harvest import SealedSegments
from dccd_core.lake.partition.ledger import Asked, Source
from dccd_core.tables import DataType
from tests.dccd_core.lake.samples import (
    DAY,
    SPAN,
    TRADES,
    Witness,
    at,
    began,
    begin,
    ended,
    live,
    notes,
    numbered,
    often,
    record,
    stored,
    trades,
)

NEXT = "2024-02-01"
ETH = Dataset("binance", Symbol("ETH", "USDT"), DataType.TRADES)
GAP = "sequence gap in the order book"


@pytest.fixture
def lake(tmp_path: Path) -> LakeStore:
    return LakeStore(tmp_path)


def reap(lake: LakeStore, most_rows: int = 1_000_000):  # noqa: ANN201 -- a context manager of a SealedSegments
    return lake.harvest("binance", DataType.TRADES, most_rows=most_rows)


def ids(harvest: SealedSegments, dataset: Dataset = TRADES, key: str = DAY) -> list[str]:
    return [name for rows in harvest.rows(dataset, key) for name in rows["trade_id"]]


def seconds(spans: Sequence[TimeRange]) -> list[tuple[int, int]]:
    return [((span.start - SPAN.start) // SECOND, (span.end - SPAN.start) // SECOND) for span in spans]


def losses(harvest: SealedSegments, dataset: Dataset = TRADES, key: str = DAY) -> list[tuple[int, int, str]]:
    return [(*seconds([span])[0], reason) for span, reason in harvest.lost(dataset, key)]


def left(lake: LakeStore) -> list[str]:
    return [info.path for info in lake.segments()]


def fold(lake: LakeStore, *, done: bool = True) -> None:
    """Put everything into its partition."""
    with reap(lake) as harvest:
        for dataset, key in harvest.parts:
            with lake.draft(dataset, key) as draft:
                for rows in harvest.rows(dataset, key):
                    draft.append(rows)
                asked = [Asked(span, Source.STREAM, Us(1), 0, 0) for span in harvest.covered(dataset, key)]
                draft.commit(asked, Witness)
        if done:
            harvest.done()


def test_where_nothing_was_recorded_there_is_nothing_to_fold(lake: LakeStore, tmp_path: Path) -> None:
    with reap(lake) as harvest:
        assert (harvest.parts, harvest.torn, harvest.more) == ([], [], False)
        harvest.done()
    assert not (tmp_path / ".dccd/live").exists()


def test_what_is_sealed_is_told_by_symbol_and_day(lake: LakeStore) -> None:
    with begin(lake) as writer:
        writer.append(
            live(numbered([1, 2])), notes(at(3), [began(0), began(1, "ETH/USDT"), began(2, "DOGE/USDT")])
        )
        writer.append(live(trades([(ONE_DAY, "9", 1.0)])), notes(None, [ended(3, symbol="DOGE/USDT")]))
        writer.append(
            live(numbered([5]), "ETH/USDT"), notes(at(ONE_DAY // SECOND + 60), [ended(9), began(20)])
        )
    doge = Dataset("binance", Symbol("DOGE", "USDT"), DataType.TRADES)
    with reap(lake) as harvest:
        expected = [(TRADES, DAY), (TRADES, NEXT), (doge, DAY), (ETH, DAY), (ETH, NEXT)]
        assert harvest.parts == sorted(expected, key=lambda part: (str(part[0]), part[1]))
        assert ids(harvest) == ["1", "2"]
        assert ids(harvest, TRADES, NEXT) == ["9"]
        assert ids(harvest, ETH) == ["5"]
        assert ids(harvest, ETH, NEXT) == []
        assert [rows.columns for rows in harvest.rows(TRADES, DAY)] == [numbered([1]).columns]
        assert seconds(harvest.covered(TRADES, DAY)) == [(0, 9), (20, ONE_DAY // SECOND)]
        assert seconds(harvest.covered(TRADES, NEXT)) == [(ONE_DAY // SECOND, ONE_DAY // SECOND + 60)]
        assert seconds(harvest.covered(doge, DAY)) == [(2, 3)]


def test_losses_are_told_with_their_reason_within_the_partition(lake: LakeStore) -> None:
    day = ONE_DAY // SECOND
    with begin(lake, start=1) as writer:
        writer.append(pl.DataFrame(), notes(at(5), [began(0)]))
        writer.append(pl.DataFrame(), notes(at(8), [ended(6, GAP), began(7)]))
    with begin(lake, start=2) as writer:
        marks = [began(30), ended(day - 10, "connection lost"), began(day + 10)]
        writer.append(pl.DataFrame(), notes(at(90), marks))
    with reap(lake) as harvest:
        assert losses(harvest) == [(6, 7, GAP), (8, 30, BROKE_OFF), (day - 10, day, "connection lost")]


def test_only_sealed_segments_are_taken_and_removed(lake: LakeStore) -> None:
    record(lake, live(numbered([1])))
    with begin(lake, start=2) as writer:
        writer.append(live(numbered([2])), Notes())
        with reap(lake) as harvest:
            assert ids(harvest) == ["1"]
            harvest.done()
        assert left(lake) == [writer.path]
        assert lake.scan(TRADES).collect()["trade_id"].to_list() == ["2"]
    with reap(lake) as harvest:
        assert ids(harvest) == ["2"]


def test_nothing_is_removed_before_it_is_done(lake: LakeStore) -> None:
    path = record(lake, live(numbered([1])))
    for _ in range(2):
        with reap(lake) as harvest:
            assert ids(harvest) == ["1"]
    assert left(lake) == [path]
    with reap(lake) as harvest:
        harvest.done()
        harvest.done()
    assert left(lake) == []


def test_what_is_taken_cannot_become_a_new_writers_meanwhile(lake: LakeStore) -> None:
    """A writer that has not locked its new file yet looks like a dead one."""
    path = Path(record(lake))
    os.truncate(path, 0)
    with path.open("rb") as file:
        with reap(lake), pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_the_oldest_are_taken_first_up_to_a_number_of_rows(lake: LakeStore) -> None:
    for start in (3, 1, 2):
        record(lake, live(numbered([start, start + 10])), start=start)
    with reap(lake, most_rows=3) as harvest:
        assert (ids(harvest), harvest.more) == (["1", "2", "11", "12"], True)
        harvest.done()
    with reap(lake, most_rows=3) as harvest:
        assert (ids(harvest), harvest.more) == (["3", "13"], False)


def test_nobody_goes_on_for_ever_with_what_has_to_be_kept(lake: LakeStore) -> None:
    for start in range(5):
        record(lake, live(numbered([start])), live(numbered([start]), "ETH/USDT"), start=start)
    rounds, more = 0, True
    while more:
        rounds += 1
        with reap(lake, most_rows=2) as harvest:
            for part in harvest.parts:
                if part == (TRADES, DAY) or rounds > 5:
                    harvest.keep(*part)
            harvest.done()
            more = harvest.more
    assert rounds < 20
    assert lake.scan(TRADES).collect()["trade_id"].to_list() == list("01234")
    assert not lake.holds(ETH)


def test_a_harvest_may_go_from_thread_to_thread(lake: LakeStore) -> None:
    record(lake, live(numbered([1])))
    with ThreadPoolExecutor() as pool:
        harvest = reap(lake)
        assert ids(pool.submit(harvest.__enter__).result()) == ["1"]
        harvest.__exit__(None, None, None)
    with reap(lake) as again:
        assert ids(again) == ["1"]


def test_not_too_many_files_are_taken(lake: LakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harvest_module, "_MOST_SEGMENTS", 2)
    for start in range(3):
        record(lake, start=start)
    with reap(lake) as harvest:
        assert harvest.more
        harvest.done()
    assert len(left(lake)) == 1


def test_one_process_harvests_at_a_time(lake: LakeStore, tmp_path: Path) -> None:
    record(lake, live(numbered([1])))
    with reap(lake), reap(lake) as other:
        assert (other.parts, other.more) == ([], False)
        other.done()
    with FileLock(tmp_path / ".dccd/live/binance/trades/.harvest.lock"), reap(lake) as other:
        assert other.parts == []
    with reap(lake) as harvest:
        assert ids(harvest) == ["1"]


def test_what_is_torn_is_told(lake: LakeStore) -> None:
    path = record(lake, live(numbered([1])), live(numbered([2])))
    os.truncate(path, Path(path).stat().st_size - 3)
    empty = record(lake, start=2)
    os.truncate(empty, 0)
    with reap(lake) as harvest:
        assert ids(harvest) == ["1"]
        [(torn, dropped)] = harvest.torn
        assert torn == path
        assert dropped > 100
        harvest.done()
    assert left(lake) == []


def test_a_file_that_is_no_segment_is_an_error_and_stays(lake: LakeStore) -> None:
    good, bad = record(lake, live(numbered([1]))), record(lake, start=2)
    Path(bad).write_bytes(b"no segment at all")
    with pytest.raises(DamagedFile, match=bad), reap(lake):
        pass
    assert Path(good).exists()
    assert Path(bad).exists()


def test_what_could_not_be_folded_is_kept_with_its_marks(lake: LakeStore) -> None:
    with begin(lake) as writer:
        writer.append(live(numbered([1, 2])), notes(at(5), [began(0), began(0, "ETH/USDT")]))
        marks = [ended(6, GAP), began(8), ended(9, "connection lost")]
        writer.append(live(numbered([3]), "ETH/USDT"), notes(at(9), marks))
        writer.append(pl.DataFrame(), notes(at(20)))
    with begin(lake, start=2) as writer:
        writer.append(live(numbered([2, 31])), notes(at(40), [began(30)]))
    with reap(lake) as harvest:
        before = (ids(harvest), harvest.covered(TRADES, DAY), harvest.lost(TRADES, DAY))
        assert before[0] == ["1", "2", "31"]
        assert losses(harvest) == [(6, 8, GAP), (9, 30, "connection lost")]
        harvest.keep(TRADES, DAY)
        harvest.done()
    assert len(left(lake)) == 1
    assert lake.scan(TRADES).collect()["trade_id"].to_list() == ["1", "2", "31"]
    for _ in range(2):
        with reap(lake) as harvest:
            assert harvest.parts == [(TRADES, DAY)]
            assert (ids(harvest), harvest.covered(TRADES, DAY), harvest.lost(TRADES, DAY)) == before
            harvest.keep(TRADES, DAY)
            harvest.done()


def test_what_is_kept_keeps_when_it_came_and_waits_behind_the_others(lake: LakeStore) -> None:
    record(lake, live(numbered([1])), start=1)
    record(lake, live(numbered([2]), "ETH/USDT"), start=5)
    with reap(lake, most_rows=1) as harvest:
        harvest.keep(TRADES, DAY)
        harvest.done()
    with reap(lake, most_rows=1) as harvest:
        assert harvest.parts == [(ETH, DAY)]
        harvest.done()
    [path] = left(lake)
    with segments.opened(Path(path), harvest._family) as segment:  # pyright: ignore[reportPrivateUsage]
        assert segment
        [rows, _] = [batch.rows for batch in segment.batches()]
    assert_frame_equal(segments.frame(DataType.TRADES, [rows]), live(numbered([1])))


def test_what_cannot_be_kept_removes_nothing(lake: LakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    path = record(lake, live(numbered([1])))

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with reap(lake) as harvest:
        harvest.keep(TRADES, DAY)
        with monkeypatch.context() as patch:
            patch.setattr(segments.os, "fsync", full)
            with pytest.raises(LakeError, match="No space left"):
                harvest.done()
    assert path in left(lake)
    with reap(lake) as harvest:
        assert ids(harvest) == ["1"]


def test_folded_again_after_a_crash_nothing_is_there_twice(lake: LakeStore) -> None:
    record(lake, live(numbered([1, 2])), live(trades([(SECOND, None, 5.0)] * 2)))
    record(lake, live(numbered([2, 3])), start=2)
    fold(lake, done=False)
    before = lake.state(TRADES, DAY)
    fold(lake)
    assert lake.state(TRADES, DAY) == before
    assert stored(lake).height == 5
    assert left(lake) == []


portions = st.lists(st.lists(st.integers(0, 40), max_size=8), max_size=4)


@settings(often, max_examples=25)
@given(connections=st.lists(portions, min_size=1, max_size=4), data=st.data())
def test_the_partition_is_the_same_however_it_was_recorded_and_folded(
    connections: list[list[list[int]]], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    lake = LakeStore(tmp_path_factory.mktemp("lake"))
    for start, each in enumerate(connections):
        record(lake, *(live(numbered(ids)) for ids in each), start=start)
        if data.draw(st.booleans()):
            fold(lake, done=data.draw(st.booleans()))
    wanted = live(numbered(sorted({n for each in connections for ids in each for n in ids}))).drop("symbol")
    assert_frame_equal(lake.scan(TRADES).collect(), wanted)
    fold(lake)
    assert_frame_equal(stored(lake), wanted)
