import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dccd_core.domain.errors import DamagedFile, LakeError
from dccd_core.lake.identity import IDENTITY, ensure_identity
from dccd_core.lake.lake import Lake
from dccd_core.lake.store import Folder
from tests.dccd_pipeline.held import HOURS, bars, hold, whole


def test_a_store_gets_a_name_by_its_first_write_and_keeps_it(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    assert lake.identity() is None
    assert lake.states(HOURS) == {}
    assert not (tmp_path / "lake").exists(), "a reader makes nothing"
    hold(lake, HOURS, "2024", bars(whole(HOURS, "2024")))
    name = lake.identity()
    assert json.loads((tmp_path / "lake" / IDENTITY).read_text()) == {"format": 1, "id": name}
    hold(Lake(tmp_path / "lake"), HOURS, "2023", bars(whole(HOURS, "2023")))
    assert Lake(tmp_path / "lake").identity() == name
    assert Lake(tmp_path / "other").identity() is None


def test_a_store_of_an_older_dccd_gets_one_too(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    hold(lake, HOURS, "2024", bars(whole(HOURS, "2024")))
    (tmp_path / IDENTITY).unlink()
    assert Lake(tmp_path).identity() is None
    hold(Lake(tmp_path), HOURS, "2024", bars(whole(HOURS, "2024")[:-1]))
    assert Lake(tmp_path).identity()


def test_of_many_first_writers_one_wins(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        names = set(pool.map(ensure_identity, [Folder(tmp_path) for _ in range(64)]))
    assert len(names) == 1


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("", DamagedFile, "is not what dccd wrote"),
        ('{"format": 1}', DamagedFile, "is not what dccd wrote"),
        ('{"format": 9, "id": "x"}', LakeError, "which is later -> update dccd"),
    ],
)
def test_what_is_no_name_is_not_taken_for_none(
    tmp_path: Path, text: str, error: type[Exception], said: str
) -> None:
    (tmp_path / IDENTITY).write_text(text)
    with pytest.raises(error, match=said):
        Lake(tmp_path).identity()
