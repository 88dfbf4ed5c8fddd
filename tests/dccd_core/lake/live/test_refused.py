"""Messages that nobody understood stay as they came, within bounds."""

from pathlib import Path

import pytest

from dccd_core.domain.timespan import Us, parse_time
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.live import refused
from dccd_core.lake.live.refused import MOST_BYTES, Refused

AT = parse_time("2024-06-05T12:00:00.123456789")


def message(frame: bytes, second: int = 0) -> Refused:
    return Refused(Us(AT + second), "wss://x", "no JSON", frame)


@pytest.mark.parametrize("frame", [b'{"a": "\xc3\xa9\\n"}', b"\xff\x00\x01", b"", b"two\nlines"])
def test_they_are_read_as_they_came(tmp_path: Path, frame: bytes) -> None:
    lake, one = LakeStore(tmp_path), message(frame)
    assert lake.refused("x") == []
    file = lake.refuse("x", [one])
    assert file.is_file()
    lake.refuse("x", [message(b"later", 1)])
    assert lake.refused("x") == [one, message(b"later", 1)]
    assert lake.refused("y") == []
    assert lake.segments() == []  # none is taken for a live segment


def test_a_long_one_is_cut(tmp_path: Path) -> None:
    lake = LakeStore(tmp_path)
    lake.refuse("x", [message(b"y" * (MOST_BYTES + 1))])
    assert [len(one.frame) for one in lake.refused("x")] == [MOST_BYTES]
    assert f'"bytes":{MOST_BYTES + 1}' in lake.refuse("x", []).read_text()


def test_the_oldest_make_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refused, "_MOST_FILE", 1_000)
    lake = LakeStore(tmp_path)
    for number in range(100):
        lake.refuse("x", [message(b"y" * 100, number)])
    kept = lake.refused("x")
    assert kept == [message(b"y" * 100, number) for number in range(100 - len(kept), 100)]
    assert sum(file.stat().st_size for file in tmp_path.rglob("*.ndjson")) < 3_000
