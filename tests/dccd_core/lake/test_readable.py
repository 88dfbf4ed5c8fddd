"""What can be read is read, whatever else cannot."""

from pathlib import Path

import pytest

from dccd_core.domain.errors import LakeError
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.readable import readable
from tests.dccd_pipeline.held import HOURS, MINUTES, bars, hold


def test_one_that_is_damaged_stops_no_other(tmp_path: Path) -> None:
    lake = LakeStore(tmp_path)
    for dataset, key in ((HOURS, "2024"), (MINUTES, "2024-01")):
        hold(lake, dataset, key, bars([]))
    found, damaged = readable(lake.inventory, lake.datasets, lake.states)
    assert ([*found], damaged) == ([HOURS, MINUTES], {})
    Path(lake.path(HOURS, "2024")).write_bytes(b"")
    found, damaged = readable(lake.inventory, lake.datasets, lake.states)
    assert [*found] == [MINUTES]
    assert "cannot be read" in str(damaged[HOURS])


def test_a_lake_that_cannot_be_looked_at_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no lake")
    lake = LakeStore(tmp_path / "file")
    with pytest.raises(LakeError, match="is a file, no folder"):
        readable(lake.inventory, lake.datasets, lake.states)
