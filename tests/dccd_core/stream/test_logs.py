"""What one connection writes: nothing twice, nothing lost while a disk is full, each segment tells it all."""

import asyncio
from pathlib import Path

import polars as pl
import pytest

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import LakeError
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import HOUR, MINUTE, SECOND, Us, parse_time, union
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.live.coverage import Mark, Notes, Piece
from dccd_core.lake.live.segments import find, opened
from dccd_core.lake.store.opening import live_folder
from dccd_core.net.clock import ManualClock
from dccd_core.stream import tables
from dccd_core.stream.intake import Batch, MisplacedRows
from dccd_core.stream.logs import Logs
from dccd_core.stream.wanted import Kind
from dccd_core.tables import DataType
from tests.dccd_core.stream.pushing import START, Disk
from tests.promises.streams import Told

TRADES: Kind = (DataType.TRADES, None)
A = Dataset("x", Symbol.parse("A/USD"), DataType.TRADES)
IO = Path("/proc/self/io")


def at(second: int) -> Us:
    return Us(START + second * SECOND)


def rows(*seconds: int) -> pl.DataFrame:
    schema = tables.columns(DataType.TRADES)
    columns = {
        "ts": pl.Series([at(second) for second in seconds], dtype=pl.Int64),
        "price": [1.0] * len(seconds),
        "amount": [1.0] * len(seconds),
        "side": ["buy"] * len(seconds),
        "trade_id": [str(second) for second in seconds],
        "symbol": ["A/USD"] * len(seconds),
        "received": [0] * len(seconds),
    }
    missing = [pl.lit(None).alias(name) for name in schema if name not in columns]
    frame = pl.DataFrame(columns).with_columns(missing)
    return frame.select(schema.names()).cast({name: schema[name] for name in schema})


def batch(*seconds: int, reached: int, began: int | None = None, ended: bool = False) -> Batch:
    """Return a batch of A that is complete up to ``reached``."""
    marks = [] if began is None else [Mark("A/USD", at(began), began=True)]
    if ended:
        marks.append(Mark("A/USD", at(reached), began=False, reason="gone"))
    standing = [Mark("A/USD", at(reached), began=not ended, reason="gone" if ended else "")]
    known = {} if ended else {"A/USD": at(reached)}
    return Batch(rows(*seconds), Notes(at(reached), marks, known), standing)


class Desk:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = ManualClock(START)
        self.told = Told()
        self.lake = LakeStore(folder)
        self.logs = self.another()

    def another(self) -> Logs:
        return Logs(self.lake, "x", self.clock, self.told)

    def wait(self, seconds: float) -> None:
        asyncio.run(self.clock.sleep(seconds))

    def put(self, *batches: Batch) -> None:
        self.logs.put((TRADES, one) for one in batches)

    def segments(self) -> int:
        return len(list(find(live_folder(self.folder))))

    def stored(self) -> list[int]:
        """Return the seconds of all rows there are."""
        found: list[int] = []
        for path, family in find(live_folder(self.folder)):
            with opened(path, family) as segment:
                assert segment
                for one in segment.batches():
                    found += [(ts - START) // SECOND for ts in pl.DataFrame(one.rows)["ts"].cast(pl.Int64)]
        return sorted(found)

    def covered(self) -> list[tuple[float, float]]:
        with self.lake.harvest("x", DataType.TRADES) as harvest:
            spans = [span for dataset, key in harvest.parts for span in harvest.covered(dataset, key)]
        return [((one.start - START) / SECOND, (one.end - START) / SECOND) for one in union(spans)]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


class TestWrite:
    def test_rows_and_what_they_prove(self, desk: Desk) -> None:
        desk.put(batch(1, 2, reached=2, began=1), batch(3, reached=3))
        assert desk.logs.unwritten == 3
        desk.logs.write()
        desk.logs.close()
        assert (desk.stored(), desk.covered(), desk.logs.unwritten) == ([1, 2, 3], [(1, 3)], 0)

    def test_that_nothing_came_is_written_now_and_then(self, desk: Desk) -> None:
        desk.put(batch(1, reached=1, began=1))
        desk.put(batch(reached=2))
        desk.logs.write()
        desk.logs.rotate()
        assert desk.covered() == []
        desk.wait(5)
        desk.put(batch(reached=6))
        desk.logs.write()
        desk.logs.close()
        assert desk.covered() == [(1, 6)]

    def test_a_new_segment_says_again_what_stands(self, desk: Desk) -> None:
        desk.put(batch(1, reached=1, began=1), batch(2, reached=2))
        desk.logs.write()
        desk.logs.rotate()
        desk.put(batch(3, reached=3))
        desk.logs.write()
        desk.logs.close()
        assert (desk.segments(), desk.stored(), desk.covered()) == (2, [1, 2, 3], [(1, 3)])

    def test_what_has_ended_does_not_go_on_in_a_new_segment(self, desk: Desk) -> None:
        desk.put(batch(1, 2, reached=2, began=1, ended=True))
        desk.logs.write()
        desk.logs.rotate()
        desk.put(Batch(rows(5), Notes(at(5)), [Mark("A/USD", at(2), began=False, reason="gone")]))
        desk.logs.write()
        desk.logs.close()
        assert (desk.segments(), desk.stored(), desk.covered()) == (2, [1, 2, 5], [(1, 2)])

    def test_it_is_full_after_an_hour(self, desk: Desk) -> None:
        assert not desk.logs.full
        desk.put(batch(1, reached=1, began=1))
        desk.logs.write()
        desk.wait(HOUR / SECOND)
        assert not desk.logs.full
        desk.wait(1)
        assert desk.logs.full
        desk.logs.rotate()
        assert not desk.logs.full


class TestKeep:
    def test_what_was_asked_for_is_covered_too(self, desk: Desk) -> None:
        desk.put(batch(8, 9, reached=9, began=8))
        desk.logs.keep(TRADES, rows(2, 3), Notes(pieces=[Piece("A/USD", at(2), at(5))]))
        desk.logs.write()
        desk.logs.close()
        assert (desk.stored(), desk.covered()) == ([2, 3, 8, 9], [(2, 5), (8, 9)])

    def test_it_leaves_what_stands_as_it_is(self, desk: Desk) -> None:
        desk.put(batch(8, reached=8, began=8))
        desk.logs.write()
        desk.logs.rotate()
        desk.logs.keep(TRADES, rows(2), Notes(pieces=[Piece("A/USD", at(2), at(5))]))
        desk.put(batch(9, reached=9))
        desk.logs.write()
        desk.logs.close()
        assert desk.covered() == [(2, 5), (8, 9)]

    def test_alone_it_proves_no_more_than_it_says(self, desk: Desk) -> None:
        desk.logs.keep(TRADES, rows(2), Notes(pieces=[Piece("A/USD", at(2), at(5))]))
        desk.logs.write()
        desk.logs.close()
        assert (desk.stored(), desk.covered()) == ([2], [(2, 5)])


class TestFullDisk:
    def fail(self, desk: Desk, disk: Disk, logs: Logs | None = None) -> LakeError:
        room, disk.room = disk.room, 0
        with pytest.raises(LakeError) as failed:
            (logs or desk.logs).write()
        disk.room = room
        return failed.value

    def test_what_could_not_be_written_is_kept_and_written_once(self, desk: Desk, disk: Disk) -> None:
        desk.put(batch(1, reached=1, began=1))
        desk.logs.write()
        desk.put(batch(2, 3, reached=3))
        error = self.fail(desk, disk)
        desk.logs.bear(error)
        desk.put(batch(4, reached=4))
        assert desk.logs.unwritten == 3
        assert not [text for text, wrong in desk.told.notes if not wrong]
        desk.logs.write()
        assert desk.logs.recover()
        assert not desk.logs.recover()
        desk.logs.close()
        assert (desk.stored(), desk.covered()) == ([1, 2, 3, 4], [(1, 4)])
        assert [wrong for _, wrong in desk.told.notes] == [True, False]
        assert desk.told.notes[1][0] == "x: what came can be written again"

    def test_what_was_tried_often_is_there_once(self, desk: Desk, disk: Disk) -> None:
        desk.put(batch(1, reached=1, began=1))
        desk.logs.write()
        desk.put(batch(2, reached=2), batch(*range(3, 500), reached=500))
        room, disk.room = disk.room, 2_000
        for _ in range(3):  # one of them may find room, the other does not
            with pytest.raises(LakeError):
                desk.logs.write()
        assert desk.logs.unwritten == 497
        disk.room = room
        desk.logs.write()
        desk.logs.close()
        assert (desk.stored(), desk.covered()) == (list(range(1, 500)), [(1, 500)])

    def test_it_is_told_once_and_borne_for_two_minutes(self, desk: Desk, disk: Disk) -> None:
        desk.put(batch(1, reached=1, began=1))
        error = self.fail(desk, disk)
        desk.logs.bear(error)
        desk.wait(2 * MINUTE / SECOND)
        desk.logs.bear(error)
        assert len(desk.told.notes) == 1
        desk.wait(1)
        with pytest.raises(LakeError):
            desk.logs.bear(error)

    def test_the_next_connection_writes_what_this_one_could_not(self, desk: Desk, disk: Disk) -> None:
        desk.put(batch(1, 2, reached=2, began=1, ended=True))
        desk.logs.bear(self.fail(desk, disk))
        desk.logs.close()
        heir = desk.another()
        heir.inherit(desk.logs)
        heir.put([(TRADES, batch(8, 9, reached=9, began=8))])
        assert heir.unwritten == 4
        heir.write()
        assert heir.recover()
        heir.close()
        assert (desk.stored(), desk.covered()) == ([1, 2, 8, 9], [(1, 2), (8, 9)])

    def test_patience_is_inherited_too(self, desk: Desk, disk: Disk) -> None:
        desk.put(batch(1, reached=1, began=1))
        error = self.fail(desk, disk)
        desk.logs.bear(error)
        desk.wait(90)
        heir = desk.another()
        heir.inherit(desk.logs)
        desk.wait(31)
        with pytest.raises(LakeError):
            heir.bear(error)

    def test_an_heir_that_cannot_write_either_goes_on_being_impatient(self, desk: Desk, disk: Disk) -> None:
        heir = desk.another()
        heir.put([(TRADES, batch(8, reached=8, began=8))])
        error = self.fail(desk, disk, heir)
        heir.bear(error)
        desk.put(batch(1, reached=1, began=1, ended=True))  # not even tried
        heir.inherit(desk.logs)
        desk.wait(121)
        with pytest.raises(LakeError):
            heir.bear(error)

    def test_one_that_left_nothing_changes_nothing(self, desk: Desk) -> None:
        heir = desk.another()
        heir.inherit(desk.logs)
        assert (heir.unwritten, heir.recover()) == (0, False)


@pytest.mark.skipif(not IO.exists(), reason="only Linux counts the bytes that a process writes")
def test_what_is_kept_aside_is_written_once_however_much_there_is(desk: Desk) -> None:
    """A file that was written anew for each batch took 150 times as much."""
    one = rows(86_400).select(DataType.TRADES.table.schema.names())
    before = written()
    for number in range(300):
        misplaced = one.with_columns(trade_id=pl.lit(str(number)), reason=pl.lit("it came before its time"))
        desk.logs.set_aside([MisplacedRows(A, misplaced)], START)
    took = written() - before
    aside = desk.lake.quarantined(A, "2024-06-05")
    assert aside["trade_id"].to_list() == [str(number) for number in range(300)]
    assert took < 10 * len(aside.write_ndjson())  # who runs the tests writes, too, from this process


def written() -> int:
    """Return how many bytes this process has written so far."""
    return int(IO.read_text().partition("wchar: ")[2].split()[0])


def test_rows_before_their_time_are_kept_aside_today(desk: Desk) -> None:
    names = DataType.TRADES.table.schema.names()
    early = rows(86_400).select(names).with_columns(reason=pl.lit("it came before its time"))
    aside = desk.logs.set_aside([MisplacedRows(A, early)], START)
    assert aside == [(A, 1, parse_time("2024-06-06T12:10:00"))]
    assert desk.lake.quarantined(A, "2024-06-05").height == 1
    assert desk.lake.quarantined(A, "2024-06-06").height == 0
