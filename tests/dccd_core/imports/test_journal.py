"""Which files are done is remembered in the lake, and only believed of what is as it was."""

from dataclasses import replace
from pathlib import Path

from dccd_core.domain.timespan import TimeRange, Us
from dccd_core.imports.clean import Counts
from dccd_core.imports.journal import Journal
from dccd_core.imports.oldstore import OldFile
from dccd_core.imports.report import FileResult
from dccd_core.lake.store.folder import Folder

FILE = OldFile(Path("x"), "x", TimeRange(Us(0), Us(1)), 10, Us(5))


def used(folder: Path) -> Folder:
    """A store in which somebody has written."""
    store = Folder(folder)
    with store.scratch():
        return store


def test_a_file_is_done_as_long_as_it_and_its_partitions_are_there(tmp_path: Path) -> None:
    store, root = used(tmp_path / "lake"), tmp_path / "old"
    journal = Journal(store, root)
    result = FileResult(Counts(3), 2, 1, ("2024",))
    journal.note(FILE, result, trusted=False)
    journal.write()
    again = Journal(store, root)
    assert again.done(FILE, ["2024", "2025"], trusted=False) == result
    assert again.done(FILE, ["2025"], trusted=False) is None
    assert again.done(FILE, ["2024"], trusted=True) is None
    assert again.done(replace(FILE, size=11), ["2024"], trusted=False) is None
    assert Journal(store, tmp_path / "other").done(FILE, ["2024"], trusted=False) is None


def test_a_file_that_could_not_be_read_is_tried_again(tmp_path: Path) -> None:
    journal = Journal(Folder(tmp_path), tmp_path / "old")
    journal.note(FILE, FileResult(error="torn"), trusted=False)
    assert journal.done(FILE, [], trusted=False) is None


def test_a_torn_journal_says_nothing(tmp_path: Path) -> None:
    journal = Journal(used(tmp_path), tmp_path / "old")
    journal.note(FILE, FileResult(), trusted=False)
    journal.write()
    (written,) = (tmp_path / ".dccd" / "imports").glob("*.json")
    written.write_bytes(written.read_bytes()[:-4])
    assert Journal(Folder(tmp_path), tmp_path / "old").done(FILE, [], trusted=False) is None
