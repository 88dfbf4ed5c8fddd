from pathlib import Path

import polars as pl
import pytest

from dccd_core.domain.errors import LakeError
from dccd_core.domain.timespan import DAY as ONE_DAY
from dccd_core.domain.timespan import Us
from dccd_core.keep.forget import forget, what_there_is
from dccd_core.keep.purge import Rules
from dccd_core.lake.lake import LakeStore
from tests.dccd_core.keep.shelf import ShelfRemote
from tests.dccd_core.keep.test_purge import DAYS, filled, purged
from tests.dccd_core.lake.samples import BARS, TRADES, Witness, live, numbered, record


@pytest.fixture
def lake(tmp_path: Path) -> LakeStore:
    """Four days, two of them elsewhere; one with quarantine; and another dataset."""
    lake, backup = LakeStore(tmp_path / "lake"), ShelfRemote()
    for key in DAYS:
        filled(lake, key)
    lake.quarantine(TRADES, DAYS[3], numbered([2]).with_columns(reason=pl.lit("bad")))
    backup.copy_all(lake)
    purged(lake, backup, rules=Rules(older_than=Us(8 * ONE_DAY)))
    with lake.draft(BARS, "2024-01") as draft:
        draft.commit([], Witness)
    return lake


def test_what_there_is_is_said_first(lake: LakeStore) -> None:
    held = what_there_is(lake, TRADES)
    here = sum(state.bytes for state in lake.states(TRADES).values() if not state.elsewhere)
    assert (held.keys, held.rows, held.bytes) == (tuple(DAYS), 20, here)
    assert (held.elsewhere, held.remotes) == (2, ("backup",))


def test_files_records_and_what_lies_beside_them_go_and_nothing_else(lake: LakeStore) -> None:
    assert forget(lake, TRADES) == 4
    assert lake.datasets() == [BARS]
    assert not [path for path in (Path(lake.url) / "trades").rglob("*") if path.is_file()]
    assert forget(lake, TRADES) == 0


def test_what_is_damaged_may_be_forgotten_too(lake: LakeStore) -> None:
    Path(lake.path(TRADES, DAYS[3])).write_bytes(b"no Parquet")
    assert what_there_is(lake, TRADES).keys == tuple(DAYS)
    assert forget(lake, TRADES) == 4


def test_rows_in_the_tail_would_come_back(lake: LakeStore) -> None:
    record(lake, live(numbered([7])))
    with pytest.raises(LakeError, match=r"rows of it are in the tail.*fold"):
        what_there_is(lake, TRADES)
