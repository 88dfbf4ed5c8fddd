from pathlib import Path

import pytest

from dccd_core.domain.errors import DamagedFile, LakeError
from dccd_core.domain.timespan import SECOND, TimeRange, Us
from dccd_core.keep.remotes.folder import FolderRemote
from dccd_core.keep.sync import sync
from dccd_core.keep.take import take
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.partition.ledger import Hole, Ledger
from tests.dccd_core.keep.scene import FILE, NOW, body, fill, put
from tests.dccd_core.lake.samples import DAY, SPAN, TRADES, asked


@pytest.fixture
def lake(tmp_path: Path) -> LakeStore:
    return LakeStore(tmp_path / "lake")


@pytest.fixture
def remote(tmp_path: Path) -> FolderRemote:
    return FolderRemote("nas", tmp_path / "copy")


def test_row_12_what_the_archive_has_is_brought_back_and_the_conflict_ends(
    lake: LakeStore, remote: FolderRemote
) -> None:
    fill(lake, range(1_000), until=1_000)
    sync(lake, remote, NOW)
    Path(lake.path(TRADES, DAY)).unlink()
    fill(lake, range(990, 1_010))
    assert len(sync(lake, remote, NOW).conflicts) == 1
    state = take(lake, remote, TRADES, DAY)
    assert state.rows == 1_010
    assert state.ledger.covered() == [SPAN]
    assert lake.verify(TRADES, DAY) == state
    assert sync(lake, remote, NOW).well
    assert LakeStore(remote.url("")).states(TRADES)[DAY].rows == 1_010


def test_of_values_those_of_the_remote_are_taken(lake: LakeStore, remote: FolderRemote) -> None:
    fill(lake, range(10), price=1.0)
    sync(lake, remote, NOW)
    Path(lake.path(TRADES, DAY)).unlink()
    fill(lake, range(10), price=2.0)
    take(lake, remote, TRADES, DAY)
    assert lake.scan(TRADES).collect()["price"].to_list() == [1.0 + number for number in range(10)]
    assert sync(lake, remote, NOW).well


def test_what_is_damaged_there_changes_nothing_here(lake: LakeStore, remote: FolderRemote) -> None:
    fill(lake, range(1_000))
    sync(lake, remote, NOW)
    spoilt = bytearray(body(remote, FILE))
    spoilt[200:240] = bytes(40)
    put(remote, FILE, bytes(spoilt))
    before = lake.state(TRADES, DAY)
    with pytest.raises(DamagedFile):
        take(lake, remote, TRADES, DAY)
    assert lake.state(TRADES, DAY) == before


def test_what_is_no_copy_of_this_lake_is_not_taken_from(
    lake: LakeStore, remote: FolderRemote, tmp_path: Path
) -> None:
    fill(lake, range(10))
    other = LakeStore(tmp_path / "other")
    fill(other, range(20))
    sync(other, remote, NOW)
    with pytest.raises(LakeError, match="is a copy of another store"):
        take(lake, remote, TRADES, DAY)


def test_a_hole_is_one_of_both_where_both_asked() -> None:
    from dccd_core.keep.take import _Both  # noqa: PLC0415 # pyright: ignore[reportPrivateUsage]

    def hole(start: int, end: int) -> Hole:
        return Hole(TimeRange(Us(SPAN.start + start * SECOND), Us(SPAN.start + end * SECOND)), 1)

    ours = Ledger((asked(0, 50 * SECOND),), (hole(0, 10), hole(20, 30)))
    theirs = Ledger((asked(0, 100 * SECOND),), (hole(20, 30), hole(40, 45), hole(60, 70)))
    both = Ledger((asked(0, 100 * SECOND),), ours.holes)
    assert _Both(ours, theirs).assess(both).holes == (hole(20, 30), hole(60, 70))
