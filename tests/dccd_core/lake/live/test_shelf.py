"""Segments of this machine and of a bucket are one sequence; what ticks append to a bucket is one PUT."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO, cast

import polars as pl
import pytest

from dccd_core.domain.errors import LakeError
from dccd_core.domain.timespan import Us
from dccd_core.lake.live.coverage import Notes
from dccd_core.lake.live.segments import SegmentWriter, frame
from dccd_core.lake.live.shelf import Shelf
from dccd_core.lake.store.folder import Stored
from dccd_core.tables import DataType
from tests.dccd_core.lake.samples import TRADED, live, numbered


class Box:
    """A bucket in memory that counts what it is asked for."""

    def __init__(self) -> None:
        self.held = dict[str, bytes]()
        self.puts = 0

    def names(self, folder: str) -> list[str]:
        return sorted(path for path in self.held if path.startswith(f"{folder}/"))

    def put(self, path: str, body: bytes) -> None:
        self.puts += 1
        self.held[path] = body

    def remove(self, path: str) -> None:
        self.held.pop(path, None)

    @contextmanager
    def open(self, path: str) -> Generator[Stored | None]:
        with TemporaryFile() as file:
            if path in self.held:
                file.write(self.held[path])
                file.seek(0)
            yield Stored(cast("BinaryIO", file)) if path in self.held else None


@pytest.fixture
def box() -> Box:
    return Box()


@pytest.fixture
def shelf(tmp_path: Path, box: Box) -> Shelf:
    return Shelf(tmp_path, box)


def put(shelf: Shelf, at: int, *names: int) -> None:
    with shelf.writer(TRADED, Us(at)) as writer:
        for name in names:
            writer.append(live(numbered([name])), Notes())


def names(shelf: Shelf) -> list[str]:
    return [
        name
        for segment in shelf.each_of(TRADED)
        for batch in segment.batches()
        for name in frame(DataType.TRADES, [batch.rows])["trade_id"]
    ]


def test_what_is_appended_to_a_bucket_is_one_object_and_nothing_here(
    shelf: Shelf, box: Box, tmp_path: Path
) -> None:
    put(shelf, 7, 1, 2)
    assert box.puts == 1
    [path] = box.held
    assert path.startswith(".dccd/live/binance/trades/7-")
    assert list(tmp_path.rglob("*.arrow")) == []
    assert names(shelf) == names(Shelf(tmp_path / "elsewhere", box)) == ["1", "2"]


def test_here_and_there_are_one_sequence(shelf: Shelf, box: Box, tmp_path: Path) -> None:
    put(shelf, 2, 2)
    for at in (1, 3):
        with SegmentWriter(tmp_path, TRADED, Us(at)) as writer:
            writer.append(live(numbered([at])), Notes())
    assert names(shelf) == ["1", "2", "3"]
    assert [info.living for info in shelf.infos()] == [False] * 3
    assert [family for _, family in shelf.find()] == [TRADED] * 3
    shelf.remove([path for path, _ in shelf.find()])
    shelf.remove([path for path, _ in shelf.find()])
    assert (names(shelf), box.held) == ([], {})


def test_what_is_gone_when_it_is_opened_is_passed_over(shelf: Shelf, box: Box) -> None:
    put(shelf, 1, 1)
    [(path, family)] = shelf.find()
    box.held.clear()
    with shelf.opened(path, family) as segment:
        assert segment is None


def test_other_objects_are_no_segments(shelf: Shelf, box: Box) -> None:
    box.held |= {".dccd/live/binance/trades/notes.txt": b"", ".dccd/live/odd/1-2.arrow": b""}
    assert shelf.find() == shelf.find(TRADED) == []


def test_what_could_not_be_appended_is_not_put(shelf: Shelf, box: Box) -> None:
    bad = live(numbered([1])).with_columns(price=pl.lit(None, pl.Float64))
    with pytest.raises(LakeError), shelf.writer(TRADED, Us(1)) as writer:
        writer.append(bad, Notes())
    assert box.held == {}


def test_without_a_bucket_it_is_a_file_here(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    put(shelf, 1, 1)
    assert [path.parent for path, _ in shelf.find()] == [tmp_path / "binance/trades"]
    assert names(shelf) == ["1"]
    shelf.remove([path for path, _ in shelf.find()])
    assert shelf.find() == []
