from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from dccd_core.domain.dataset import partition_span
from dccd_core.domain.errors import DamagedFile, LakeError
from dccd_core.keep.restore import Restorer
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.layout import data_path, held_path
from tests.dccd_core.keep.shelf import ShelfRemote
from tests.dccd_core.keep.test_purge import DAYS, filled, purged, rows_of
from tests.dccd_core.lake.samples import BARS, DAY, SPAN, TRADES, numbered, store

PATH = data_path(TRADES, DAY)


@pytest.fixture
def lake(tmp_path: Path) -> LakeStore:
    lake = LakeStore(tmp_path / "lake")
    for key in DAYS:
        filled(lake, key)
    return lake


@pytest.fixture
def backup(lake: LakeStore) -> ShelfRemote:
    """It alone holds all four days."""
    backup = ShelfRemote()
    backup.copy_all(lake)
    assert len(purged(lake, backup).gone) == 4
    return backup


class Lines(list[str]):
    def restorer(
        self, lake: LakeStore, *remotes: ShelfRemote, keep_free: int = 0, free: int | None = None
    ) -> Restorer:
        return Restorer(lake, lambda: remotes, keep_free, lambda: free, self.append)


def test_a_read_of_one_day_brings_back_one_and_says_so(lake: LakeStore, backup: ShelfRemote) -> None:
    said, size = Lines(), len(backup.files[PATH])
    lake.bring = said.restorer(lake, backup)
    backup.asked.clear()
    assert_frame_equal(lake.scan(TRADES, SPAN).collect(), rows_of(DAY))
    assert backup.asked == [PATH]
    assert said == [f"binance/trades/BTC-USDT: brings back 2024-01-31 from backup: {size:,} bytes"]
    assert lake.elsewhere(TRADES) == DAYS[1:]
    assert Path(lake.path(TRADES, DAY)).read_bytes() == backup.files[PATH]


def test_all_that_a_read_needs_is_brought_back_in_one_line(lake: LakeStore, backup: ShelfRemote) -> None:
    said = Lines()
    lake.bring = said.restorer(lake, backup)
    assert_frame_equal(lake.scan(TRADES).collect(), pl.concat([rows_of(key) for key in DAYS]))
    assert len(said) == 1
    assert f"brings back {', '.join(DAYS)} from backup" in said[0]


def test_a_part_of_a_dataset_is_restored(lake: LakeStore, backup: ShelfRemote) -> None:
    said = Lines()
    restorer = said.restorer(lake, backup)
    assert restorer.restore(TRADES, partition_span(TRADES.grain, DAYS[2])) == [DAYS[2]]
    assert lake.elsewhere(TRADES) == [DAYS[0], DAYS[1], DAYS[3]]
    assert restorer.restore(TRADES) == [DAYS[0], DAYS[1], DAYS[3]]
    assert restorer.restore(TRADES) == []
    assert len(said) == 2


def test_a_remote_that_is_gone_is_named_with_what_to_do(lake: LakeStore, backup: ShelfRemote) -> None:
    backup.away = True
    restorer = Lines().restorer(lake, backup)
    said = rf"{DAY}: cannot be brought back: backup: backup does not answer.*-> see that a remote is there"
    with pytest.raises(LakeError, match=said):
        restorer.restore(TRADES, SPAN)
    with pytest.raises(LakeError, match="backup: not among the remotes of the configuration"):
        Lines().restorer(lake).restore(TRADES, SPAN)
    assert lake.elsewhere(TRADES) == DAYS


@pytest.mark.parametrize("kind", ["lost", "cut", "damaged", "empty"])
def test_what_is_not_what_was_taken_away_is_refused_and_another_remote_asked(
    lake: LakeStore, backup: ShelfRemote, kind: str
) -> None:
    whole = backup.files[PATH]
    nas = ShelfRemote("nas", dict(backup.files))
    if kind == "lost":
        del backup.files[PATH]
    else:
        backup.files[PATH] = {"cut": whole[:-9], "damaged": whole[:-1] + b"x", "empty": b""}[kind]
    with pytest.raises(LakeError, match=rf"{DAY}: cannot be brought back: backup: "):
        Lines().restorer(lake, backup).restore(TRADES, SPAN)
    assert not Path(lake.path(TRADES, DAY)).exists()
    Lines().restorer(lake, backup, nas).restore(TRADES, SPAN)
    assert Path(lake.path(TRADES, DAY)).read_bytes() == whole


def test_room_that_is_to_stay_free_stays_free(lake: LakeStore, backup: ShelfRemote) -> None:
    size = len(backup.files[PATH])
    said = Lines()
    with pytest.raises(LakeError, match=rf"takes {size:,} bytes; {size + 9:,} are free, of which 10 are"):
        said.restorer(lake, backup, keep_free=10, free=size + 9).restore(TRADES, SPAN)
    assert (said, lake.elsewhere(TRADES)) == ([], DAYS)
    said.restorer(lake, backup, keep_free=10, free=size + 10).restore(TRADES, SPAN)
    assert lake.elsewhere(TRADES) == DAYS[1:]


def test_a_damaged_record_is_mended_from_a_remote_whose_file_proves_itself(
    lake: LakeStore, backup: ShelfRemote
) -> None:
    record = Path(lake.url) / held_path(TRADES, DAY)
    record.write_bytes(b"{")
    with pytest.raises(DamagedFile, match="dccd restore"):
        lake.states(TRADES)
    Lines().restorer(lake, backup).restore(TRADES, SPAN)
    assert lake.verify(TRADES, DAY)
    assert not record.exists()


def test_what_merely_vanished_comes_back_from_a_remote_whose_file_proves_itself(
    lake: LakeStore, backup: ShelfRemote
) -> None:
    restorer = Lines().restorer(lake, ShelfRemote("away", away=True), backup)
    restorer.restore(TRADES)
    before = lake.states(TRADES)
    for key in DAYS[:2]:
        Path(lake.path(TRADES, key)).unlink()
    backup.files[data_path(BARS, "2024-01")] = b"another dataset"
    assert restorer.restore(TRADES, SPAN) == DAYS[:1]
    assert restorer.restore(TRADES) == DAYS[1:2]
    assert lake.states(TRADES) == before
    assert lake.datasets() == [TRADES]


def test_what_another_dataset_holds_is_never_put_in_its_place(lake: LakeStore, backup: ShelfRemote) -> None:
    (Path(lake.url) / held_path(TRADES, DAY)).write_bytes(b"{")
    backup.files[PATH] = backup.files[data_path(TRADES, DAYS[1])]
    with pytest.raises(LakeError, match=rf"what it holds holds .*{DAYS[1]}, not"):
        Lines().restorer(lake, backup).restore(TRADES, SPAN)


def test_late_rows_bring_it_back_and_are_united_with_it(lake: LakeStore, backup: ShelfRemote) -> None:
    lake.bring = Lines().restorer(lake, backup)
    assert store(lake, numbered([100])).rows == 6
    assert lake.elsewhere(TRADES) == DAYS[1:]
