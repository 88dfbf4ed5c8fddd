"""What an import came to, summed up."""

from collections import Counter

from dccd_core.imports.clean import Counts
from dccd_core.imports.oldstore import LeftOut
from dccd_core.imports.quirks import Refusal, Repair
from dccd_core.imports.report import DatasetReport, FileResult, ImportReport


def result(**refused: int) -> FileResult:
    counts = Counts(10, Counter({Repair.UNITS: 2}), Counter(refused))
    return FileResult(counts, taken=7, known=1)


def test_files_add_up_and_those_of_an_earlier_import_are_known() -> None:
    one = DatasetReport("x", 2, trusted=False)
    one.add("a", result(), earlier=False)
    one.add("b", result(), earlier=True)
    assert (one.read, one.taken, one.known, one.earlier) == (20, 7, 9, 1)
    assert one.repaired == {Repair.UNITS: 4}


def test_only_what_every_store_has_may_be_missing() -> None:
    one = DatasetReport("x", 1, trusted=False)
    one.add("a", result(**{Refusal.RUNNING: 1}), earlier=False)
    assert one.whole
    one.add("b", result(**{Refusal.HONG_KONG: 1}), earlier=False)
    assert not one.whole
    damaged = DatasetReport("y", 1, trusted=False)
    damaged.add("a", FileResult(error="torn"), earlier=False)
    assert not damaged.whole
    assert ImportReport("r", dry=False, left_out=(LeftOut("a", "b", harmless=True),)).whole
    assert not ImportReport("r", dry=False, left_out=(LeftOut("a", "b"),)).whole
    assert ImportReport("r", dry=False, datasets=[damaged]).to_builtins()["whole"] is False
