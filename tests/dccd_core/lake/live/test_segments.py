import errno
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from dccd_core.domain.errors import ConfigError, DamagedFile, LakeError
from dccd_core.domain.timespan import MINUTE, Us
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.layout import StreamKey
from dccd_core.lake.live import segments
from dccd_core.lake.live.coverage import Notes, Piece
from dccd_core.lake.live.segments import SegmentInfo, SegmentWriter, frame, opened
from dccd_core.lake.live.shelf import Shelf
from dccd_core.tables import DataType
from tests.dccd_core.lake.samples import (
    SPAN,
    TRADED,
    at,
    began,
    begin,
    ended,
    live,
    notes,
    numbered,
    often,
    record,
)

Known = tuple[list[str], Notes]
PORTIONS: list[tuple[pl.DataFrame, Notes]] = [
    (live(numbered(range(3))), Notes(marks=(began(0),))),
    (pl.DataFrame(), notes(at(5), ())),
    (
        live(numbered(range(4, 300))),
        notes(at(7), (ended(6, "connection lost"), began(9, "ETH/USDT:USDT"))),
    ),
    (live(numbered([301]), "ETH/USDT:USDT"), Notes(pieces=(Piece("BTC/USDT", at(1), at(2), "it drifted"),))),
]


@pytest.fixture
def lake(tmp_path: Path) -> LakeStore:
    return LakeStore(tmp_path)


@pytest.fixture
def writer(lake: LakeStore) -> Iterator[SegmentWriter]:
    with begin(lake) as writer:
        yield writer


def read(path: str, family: StreamKey = TRADED) -> tuple[list[Known], int]:
    """What is whole, batch by batch, and how many bytes are torn."""
    with opened(Path(path), family) as segment:
        assert segment
        found = [(names(batch.rows), batch.notes) for batch in segment.batches()]
        return found, segment.torn


def names(rows: pa.RecordBatch) -> list[str]:
    return frame(DataType.TRADES, [rows])["trade_id"].to_list()


def known(portions: Sequence[tuple[pl.DataFrame, Notes]]) -> list[Known]:
    return [(rows["trade_id"].to_list() if rows.height else [], said) for rows, said in portions]


def fill(writer: SegmentWriter) -> list[int]:
    """Append all portions; return how long the file is after each, and before the first."""
    ends = [writer.bytes]
    for rows, said in PORTIONS:
        writer.append(rows, said)
        ends.append(writer.bytes)
    return ends


def test_what_is_appended_is_there_at_once_and_as_it_was(writer: SegmentWriter) -> None:
    for n, (rows, said) in enumerate(PORTIONS):
        writer.append(rows, said)
        assert read(writer.path) == (known(PORTIONS[: n + 1]), 0)
    assert writer.bytes == Path(writer.path).stat().st_size
    assert writer.rows == 300
    with opened(Path(writer.path), TRADED) as segment:
        assert segment
        rows = frame(DataType.TRADES, [batch.rows for batch in segment.batches()])
    assert_frame_equal(rows, pl.concat(rows for rows, _ in PORTIONS if rows.height))


@pytest.mark.parametrize("data_type", DataType)
def test_every_table_comes_back_as_it_was(lake: LakeStore, data_type: DataType) -> None:
    table = data_type.table
    row: dict[str, object] = {name: 1 if name in table.required else None for name in table.schema}
    if isinstance(side := table.schema.get("side"), pl.Enum):
        row["side"] = side.categories[0]
    rows = live(pl.DataFrame([row | {"ts": SPAN.start}], schema=table.schema))
    span = MINUTE if data_type is DataType.OHLC else None
    with lake.segment("okx", data_type, span, Us(1)) as writer:
        mixed = rows.with_columns(pl.col("symbol").cast(pl.Categorical)).select(rows.columns[::-1])
        writer.append(mixed, Notes())
    with opened(Path(writer.path), StreamKey("okx", data_type, span)) as segment:
        assert segment
        assert_frame_equal(frame(data_type, [batch.rows for batch in segment.batches()]), rows)


def test_other_tools_read_a_segment(lake: LakeStore) -> None:
    path = record(lake, live(numbered([1, 2])))
    table = pa.ipc.open_stream(Path(path).read_bytes()).read_all()
    assert table.column("symbol").to_pylist() == ["BTC/USDT"] * 2
    assert table.column("side").to_pylist() == ["buy"] * 2


def test_segments_are_listed_with_what_is_known_of_them(lake: LakeStore, tmp_path: Path) -> None:
    assert lake.segments() == []
    later, sooner = begin(lake, start=10), begin(lake, start=9)
    bars = lake.segment("okx", DataType.OHLC, MINUTE, Us(3))
    sooner.close()
    (tmp_path / ".dccd/live/okx/notes").mkdir()
    (tmp_path / ".dccd/live/okx/ohlc-1m/notes.txt").touch()
    assert Path(bars.path).parent == tmp_path / ".dccd/live/okx/ohlc-1m"
    infos = [
        SegmentInfo(sooner.path, "binance", DataType.TRADES, None, living=False, bytes=sooner.bytes),
        SegmentInfo(later.path, "binance", DataType.TRADES, None, living=True, bytes=later.bytes),
        SegmentInfo(bars.path, "okx", DataType.OHLC, MINUTE, living=True, bytes=bars.bytes),
    ]
    assert lake.segments() == infos
    assert lake.segments("okx") == lake.segments(span=MINUTE) == infos[2:]
    assert lake.segments("binance", DataType.TRADES) == infos[:2]
    assert lake.segments("binance", DataType.OHLC) == []
    later.close()
    bars.close()
    assert not any(info.living for info in lake.segments())


def test_they_lie_where_the_lake_is_told(
    tmp_path: Path,
) -> None:
    with begin(LakeStore(tmp_path / "lake", live=tmp_path / "elsewhere")) as writer:
        assert Path(writer.path).parent == tmp_path / "elsewhere/binance/trades"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes, list[int]]:
    """A segment that was closed, its bytes, and where each batch ends."""
    writer = begin(LakeStore(tmp_path_factory.mktemp("lake")))
    ends = fill(writer)
    writer.close()
    return Path(writer.path), Path(writer.path).read_bytes(), ends


def surviving(ends: list[int], good: int) -> tuple[int, int]:
    """How many batches lie within the first ``good`` bytes, and where the last of them ends."""
    batches = sum(end <= good for end in ends) - 1
    return max(batches, 0), ends[batches] if batches >= 0 else 0


@often
@given(place=st.integers(0, 1_000_000), at_an_end=st.booleans(), zeros=st.sampled_from([0, 0, 1, 7, 4096]))
def test_whatever_is_cut_off_all_batches_before_it_are_there(
    whole: tuple[Path, bytes, list[int]], *, place: int, at_an_end: bool, zeros: int
) -> None:
    path, content, ends = whole
    good = ends[place % len(ends)] if at_an_end else place % (len(content) + 1)
    cut = content[:good] + bytes(zeros)
    path.write_bytes(cut)
    while good < len(cut) and content[good : good + 1] == b"\0":  # a batch may end in zeros
        good += 1
    batches, end = surviving(ends, good)
    if good >= ends[0] or not zeros or good == 0:
        assert read(str(path)) == (known(PORTIONS[:batches]), len(cut) - end)


@often
@given(where=st.integers(0, 1_000_000), bits=st.integers(1, 255))
def test_whatever_byte_is_wrong_all_batches_before_it_are_there(
    whole: tuple[Path, bytes, list[int]], where: int, bits: int
) -> None:
    path, content, ends = whole
    place = ends[0] + where % (len(content) - ends[0])
    wrong = bytearray(content)
    wrong[place] ^= bits
    path.write_bytes(wrong)
    batches, end = surviving(ends, place)
    assert read(str(path)) == (known(PORTIONS[:batches]), len(content) - end)


def test_what_is_on_its_way_is_not_torn(writer: SegmentWriter) -> None:
    fill(writer)
    with Path(writer.path).open("ab") as file:
        file.write(b"half a batch")
    assert read(writer.path) == (known(PORTIONS), 0)
    writer.close()
    assert read(writer.path) == (known(PORTIONS), 12)


@pytest.mark.parametrize("size", [0, 3, 8, 300, -1])
def test_a_writer_that_died_at_once_left_nothing(lake: LakeStore, size: int) -> None:
    path = Path(record(lake))
    path.write_bytes(path.read_bytes()[:size])
    assert read(str(path)) == ([], path.stat().st_size)


def test_a_header_of_zeros_is_what_a_power_loss_leaves(lake: LakeStore) -> None:
    path = Path(record(lake))
    path.write_bytes(bytes(path.stat().st_size))
    assert read(str(path))[0] == []


@pytest.mark.parametrize("content", [b"garbage, and more of it", b"\xff" * 400, bytes(100_000)])
def test_a_file_that_is_no_segment_is_an_error_that_names_it(lake: LakeStore, content: bytes) -> None:
    path = Path(record(lake))
    path.write_bytes(content)
    with pytest.raises(DamagedFile, match=rf"{path} is no live segment.*move it away"):
        read(str(path))


def test_a_segment_in_the_wrong_place_is_an_error(lake: LakeStore) -> None:
    path = record(lake, live(numbered([1])))
    with pytest.raises(DamagedFile, match=r"is a live segment of something else"):
        read(path, StreamKey("kraken", DataType.TRADES))


def test_those_who_read_do_not_take_one_another_for_the_writer(lake: LakeStore) -> None:
    path = Path(record(lake))
    with opened(path, TRADED) as one, opened(path, TRADED) as other:
        assert one
        assert other
        assert not one.info.living
        assert not other.info.living


def test_a_segment_that_is_gone_is_none(tmp_path: Path) -> None:
    with opened(tmp_path / "gone", TRADED) as segment:
        assert segment is None


def test_a_segment_that_cannot_be_opened_is_an_error(lake: LakeStore, tmp_path: Path) -> None:
    (tmp_path / ".dccd/live/binance").mkdir(parents=True)
    (tmp_path / ".dccd/live/binance/trades").touch()
    with pytest.raises(LakeError, match=r"cannot read .*binance/trades: Not a directory"):
        lake.segments()
    with pytest.raises(LakeError, match=r"cannot write .*binance/trades"):
        begin(lake)


class Disk:
    """Takes ``room`` more bytes and then refuses, or says that it could not sync."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.room: int | None = None
        self.sick = False
        disk = self

        class File(segments.FileIO):
            def write(self, data: memoryview, /) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
                if disk.room is None:
                    return super().write(data)
                if disk.room == 0:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                written = super().write(data[: disk.room])
                disk.room -= written
                return written

        def fsync(handle: int, sync: Callable[[int], None] = os.fsync) -> None:
            if disk.sick:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            sync(handle)

        monkeypatch.setattr(segments, "FileIO", File)
        monkeypatch.setattr(segments.os, "fsync", fsync)


@pytest.mark.parametrize("room", [0, 1, 500, None])
def test_what_could_not_be_written_can_be_written_again(
    lake: LakeStore, monkeypatch: pytest.MonkeyPatch, room: int | None
) -> None:
    disk = Disk(monkeypatch)
    writer = begin(lake)
    fill(writer)
    more = (live(numbered(range(400, 500))), notes(at(99), (began(98),)))
    disk.room, disk.sick = room, room is None
    for _ in range(2):
        with pytest.raises(LakeError, match=r"cannot write .*\.arrow.*what was stored before is untouched"):
            writer.append(*more)
    disk.room, disk.sick = None, False
    assert writer.rows == 300
    writer.append(*more)
    writer.append(pl.DataFrame(), notes(at(100)))
    writer.close()
    assert read(writer.path) == ([*known([*PORTIONS, more]), ([], notes(at(100), ()))], 0)
    assert writer.bytes == Path(writer.path).stat().st_size


def test_what_could_not_be_written_leaves_nothing_behind(
    lake: LakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    writer = begin(lake)
    fill(writer)
    disk.room = 100
    with pytest.raises(LakeError):
        writer.append(*PORTIONS[0])
    writer.close()
    writer.close()
    assert read(writer.path) == (known(PORTIONS), 0)
    disk.room = 100
    with pytest.raises(LakeError):
        begin(lake)
    assert [info.path for info in lake.segments()] == [writer.path]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (numbered([1]), "another table"),
        (live(numbered([1])).drop("side"), "another table"),
        (live(numbered([1])).with_columns(pl.col("ts").dt.cast_time_unit("ms")), "another table"),
        (live(numbered([1])).with_columns(price=pl.lit(None, pl.Float64)), "nulls"),
        (live(numbered([1])).with_columns(symbol=pl.lit(None, pl.String)), "nulls"),
    ],
)
def test_rows_that_do_not_belong_are_refused(writer: SegmentWriter, rows: pl.DataFrame, message: str) -> None:
    with pytest.raises(LakeError, match=message):
        writer.append(rows, notes(at(1)))
    assert read(writer.path) == ([], 0)


def test_a_symbol_that_is_none_is_refused(writer: SegmentWriter) -> None:
    with pytest.raises(ConfigError, match="BTCUSDT"):
        writer.append(live(numbered([1]), "BTCUSDT"), Notes())
    with pytest.raises(ConfigError, match="BTCUSDT"):
        writer.append(pl.DataFrame(), Notes(marks=[began(1, "BTCUSDT")]))
    assert read(writer.path) == ([], 0)


def test_a_new_file_that_was_taken_for_a_dead_one_is_given_up(
    lake: LakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else may lock it, or remove it, before its writer has locked it."""
    flock, calls = segments.fcntl.flock, list[int]()

    def meddle(file: segments.FileIO, how: int) -> None:
        calls.append(how)
        if len(calls) == 1:
            raise BlockingIOError
        if len(calls) == 2:
            Path(str(file.name)).unlink()
        flock(file, how)

    monkeypatch.setattr(segments.fcntl, "flock", meddle)
    writer = begin(lake)
    monkeypatch.undo()
    assert len(calls) == 3
    writer.append(*PORTIONS[0])
    writer.close()
    assert [info.path for info in lake.segments()] == [writer.path]


def test_segments_that_come_and_go_while_they_are_read_are_not_missed(lake: LakeStore) -> None:
    record(lake, live(numbered([1])), start=1)
    gone = record(lake, live(numbered([2])), start=2)
    root = Path(gone).parents[2]
    found: list[str] = []
    for segment in Shelf(root).each_of(TRADED):
        found += [name for batch in segment.batches() for name in names(batch.rows)]
        if len(found) == 1:
            record(lake, live(numbered([3])), start=0)
            Path(gone).unlink()
    assert found == ["1", "3"]
