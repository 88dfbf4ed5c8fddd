import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dccd_core.lake.store import marks as marks_module
from dccd_core.lake.store.folder import Folder
from dccd_core.lake.store.marks import Ending, changed, mark, marks, named

PATH = "trades/exchange=binance/symbol=BTC-USDT/period=2024-01-31/data.parquet"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / PATH).parent.mkdir(parents=True)
    (tmp_path / PATH).write_bytes(b"12345")
    return tmp_path / PATH


def told(root: Path, folder: str = "trades") -> dict[str, str]:
    return dict(marks(f"{root}", folder))


def test_a_file_that_stays_keeps_its_mark(file: Path, tmp_path: Path) -> None:
    first = told(tmp_path)
    file.read_bytes()
    assert told(tmp_path) == first == {PATH: mark(file.stat())}


def _replaced(file: Path) -> None:
    other = file.with_name("other")
    other.write_bytes(b"54321")
    other.replace(file)


def _written_in_place(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.write(b"54321")


def _moved_away_and_copied(file: Path) -> None:
    kept = file.rename(file.with_name("kept"))
    file.write_bytes(kept.read_bytes())


@pytest.mark.parametrize("change", [_replaced, _written_in_place, _moved_away_and_copied])
def test_another_file_of_the_same_size_and_time_has_another_mark(
    file: Path, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    """As of one that was replaced within the tick of a clock, or by a program that sets times back."""
    before, status = told(tmp_path), file.stat()
    while True:  # what cannot be set is the time of the change: it is another as soon as the clock has ticked
        change(file)
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
        now = file.stat()
        assert (now.st_size, now.st_mtime_ns) == (status.st_size, status.st_mtime_ns)
        if (now.st_ino, now.st_ctime_ns) != (status.st_ino, status.st_ctime_ns):
            break
    assert told(tmp_path) != before


def test_what_grows_or_shrinks_has_another_mark(file: Path, tmp_path: Path) -> None:
    seen = {told(tmp_path)[PATH]}
    for text in (b"123456", b"1234", b""):
        file.write_bytes(text)
        seen.add(told(tmp_path)[PATH])
    assert len(seen) == 4


def test_a_file_is_found_where_a_walk_finds_it(file: Path, tmp_path: Path) -> None:
    """Those of older formats, too: they are known by that. Not what is beside them, or in a linked folder."""
    for path in ("trades/month=2024-01/data.parquet", "trades/data.parquet", "trades/a/b/c/data.parquet"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    (tmp_path / PATH).with_name("_quarantine.ndjson").touch()
    (tmp_path / "trades" / "linked").symlink_to(file.parents[1])
    (file.parents[1] / "period=2024-02-01").mkdir()
    (file.parents[1] / "period=2024-02-02").touch()
    found = told(tmp_path)
    assert sorted(found) == [
        "trades/a/b/c/data.parquet",
        "trades/data.parquet",
        PATH,
        "trades/month=2024-01/data.parquet",
    ]
    assert Folder(tmp_path).find("trades") == sorted(found)


def test_where_there_is_no_file_its_record_is_found(file: Path, tmp_path: Path) -> None:
    record = file.with_name("_held.json")
    record.touch()
    assert list(told(tmp_path)) == [PATH]
    file.unlink()
    assert list(told(tmp_path)) == [PATH.replace("data.parquet", "_held.json")]
    assert Folder(tmp_path).find("trades") == []


def test_a_file_that_comes_back_while_it_is_looked_for_is_found(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked, body = marks_module._mark_of, file.read_bytes()  # pyright: ignore[reportPrivateUsage]
    file.unlink()

    def then_it_is_back(name: str) -> str | None:
        found = looked(name)
        if name.endswith("_held.json"):
            file.write_bytes(body)
        return found

    monkeypatch.setattr(marks_module, "_mark_of", then_it_is_back)
    assert list(told(tmp_path)) == [PATH]


def test_a_link_to_what_is_not_there_is_listed_and_never_known(file: Path, tmp_path: Path) -> None:
    """As of a disk that is not mounted: the partition is not simply gone."""
    file.unlink()
    file.symlink_to(tmp_path / "nowhere")
    assert told(tmp_path) == {PATH: ""}


def test_no_folder_holds_nothing(tmp_path: Path) -> None:
    assert told(tmp_path) == {}


def test_what_is_no_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "trades").touch()
    with pytest.raises(NotADirectoryError):
        told(tmp_path)


def test_the_end_of_a_file_comes_with_the_mark_of_that_very_file(file: Path, tmp_path: Path) -> None:
    status = file.stat()
    ending = Folder(tmp_path).ending(PATH, 2)
    assert ending == Ending(b"45", 5, told(tmp_path)[PATH], max(status.st_mtime_ns, status.st_ctime_ns))
    assert Folder(tmp_path).ending("trades/none", 2) is None


def test_a_time_that_was_set_is_not_when_a_file_changed(file: Path) -> None:
    os.utime(file, ns=(0, 0))
    assert changed(file.stat()) == file.stat().st_ctime_ns


def test_two_files_within_one_tick_of_the_clock_are_told_apart() -> None:
    """While both are there, as a draft and what it replaces, they are two inodes."""

    def status(inode: int) -> os.stat_result:
        times = {"st_mtime_ns": 7, "st_ctime_ns": 7}
        return os.stat_result((0o644, inode, 1, 1, 0, 0, 5, 0, 0, 0), times)

    assert mark(status(1)) == mark(status(1)) != mark(status(2))


def test_files_beside_partitions_are_found_by_their_names(tmp_path: Path) -> None:
    for name in ("a/period=1/x", "a/period=1/y", "a/b/period=2/x", "a/x", "period=3/x/x"):
        (tmp_path / "all" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "all" / name).write_text("")
    found = dict(named(str(tmp_path), "all", ("x", "z")))
    assert sorted(found) == ["all/a/b/period=2/x", "all/a/period=1/x", "all/period=3/x"]
    assert found["all/a/period=1/x"] == mark((tmp_path / "all/a/period=1/x").stat())
    assert dict(named(str(tmp_path), "none", ("x",))) == {}
