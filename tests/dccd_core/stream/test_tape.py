from contextlib import closing
from pathlib import Path

import pytest

from dccd_core.domain.errors import ConfigError, DamagedFile
from dccd_core.domain.timespan import SECOND, Us
from dccd_core.stream import tape

ABOUT = tape.About("4.0.0", "binance", tape.Plan("all", ("binance/trades/BTC-USDT",), 10, SECOND), Us(7))
AT = Us(1), Us(2)
ENTRIES: list[tape.Entry] = [
    tape.Planned(*AT, ABOUT.plan),
    tape.Opening(*AT, 1, "wss://x/y"),
    tape.Opened(*AT, 1, Us(3)),
    tape.Refused(*AT, 2, "Throttled", "too many", "wait", 1.5),
    tape.Sent(*AT, 1, b'{"id":1}'),
    tape.Frames(*AT, 1, [b"\x00\xff", b"{}"], [Us(3), Us(4)]),
    tape.Alive(*AT, 1, Us(5)),
    tape.Over(*AT, 1, "1001"),
    tape.Left(*AT, 1),
    tape.Asked(*AT, 1, "/depth", {"limit": "5"}),
    tape.Answered(*AT, 1, 200, {"date": "now"}, b"[]", Us(9)),
    tape.Failed(*AT, 2, "Unavailable", "503", "later"),
    tape.Beat(*AT),
    tape.Stalled(*AT, Us(0)),
    tape.Stopping(*AT),
    tape.Ended(*AT, full=True),
]


def written(folder: Path, *blocks: list[tape.Entry]) -> int:
    """Write blocks of entries; return how many bytes they take."""
    with closing(tape.TapeWriter(folder, ABOUT)) as writer:
        for block in blocks:
            for entry in block:
                writer.add(entry)
            writer.flush()
        return writer.bytes


def test_it_gives_back_what_it_was_given(tmp_path: Path) -> None:
    written(tmp_path, ENTRIES, ENTRIES[:3])
    assert tape.about(tmp_path) == ABOUT
    assert list(tape.entries(tmp_path)) == [*ENTRIES, *ENTRIES[:3]]


def test_what_was_flushed_is_there_while_its_writer_lives(tmp_path: Path) -> None:
    with closing(tape.TapeWriter(tmp_path, ABOUT)) as writer:
        for entry in ENTRIES:
            writer.add(entry)
        writer.flush()
        writer.add(ENTRIES[0])
        assert list(tape.entries(tmp_path)) == ENTRIES
        assert writer.bytes == (tmp_path / tape.TAPE).stat().st_size


def test_what_is_torn_at_its_end_is_left_out_whatever_is_torn(tmp_path: Path) -> None:
    first = written(tmp_path / "one", ENTRIES)
    written(tmp_path / "both", ENTRIES, ENTRIES)
    file = tmp_path / "both" / tape.TAPE
    whole = file.read_bytes()
    for length in range(first, len(whole)):
        file.write_bytes(whole[:length])
        assert list(tape.entries(file.parent)) == ENTRIES
    for place in range(first, len(whole)):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert list(tape.entries(file.parent))[: len(ENTRIES)] == ENTRIES


def test_much_is_written_without_being_told_to(tmp_path: Path) -> None:
    with closing(tape.TapeWriter(tmp_path, ABOUT)) as writer:
        for n in range(100):
            writer.add(tape.Frames(*AT, 1, [bytes(100_000)], [Us(n)]))
        assert 0 < writer.bytes < 1_000_000  # it is compressed


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    with pytest.raises(ConfigError, match="not empty"):
        tape.TapeWriter(tmp_path, ABOUT)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_folder_without_a_capture_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no capture"):
        tape.about(tmp_path)
    (tmp_path / tape.ABOUT).write_text('{"version":1}')
    with pytest.raises(DamagedFile):
        tape.about(tmp_path)
