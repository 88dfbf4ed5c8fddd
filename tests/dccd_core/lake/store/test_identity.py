import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dccd_core.domain.errors import DamagedFile, LakeError
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.store.folder import Folder
from dccd_core.lake.store.identity import IDENTITY, ensure_identity
from tests.dccd_pipeline.held import HOURS, bars, hold, whole


def test_a_store_gets_a_name_by_its_first_write_and_keeps_it(tmp_path: Path) -> None:
    lake = LakeStore(tmp_path / "lake")
    assert lake.identity() is None
    assert lake.states(HOURS) == {}
    assert not (tmp_path / "lake").exists(), "a reader makes nothing"
    hold(lake, HOURS, "2024", bars(whole(HOURS, "2024")))
    name = lake.identity()
    assert json.loads((tmp_path / "lake" / IDENTITY).read_text()) == {"format": 2, "id": name}
    hold(LakeStore(tmp_path / "lake"), HOURS, "2023", bars(whole(HOURS, "2023")))
    assert LakeStore(tmp_path / "lake").identity() == name
    assert LakeStore(tmp_path / "other").identity() is None


def test_files_without_a_name_beside_them_are_of_an_older_format(tmp_path: Path) -> None:
    """Readers and writers say so; nothing of it is taken for an empty store."""
    old = tmp_path / "ohlc" / "exchange=okx" / "symbol=BTC-USDT" / "span=1h" / "year=2024" / "data.parquet"
    old.parent.mkdir(parents=True)
    old.write_bytes(b"PAR1")
    said = r"data\.parquet: there is no dccd\.json in its store, as of a format before 2 -> "
    with pytest.raises(LakeError, match=said):
        LakeStore(tmp_path).datasets()
    with pytest.raises(LakeError, match=said):
        LakeStore(tmp_path).states(HOURS)
    with pytest.raises(LakeError, match=said):
        LakeStore(tmp_path).scan(HOURS)
    with pytest.raises(LakeError, match=said):
        hold(LakeStore(tmp_path), HOURS, "2024", bars(whole(HOURS, "2024")))


def test_of_many_first_writers_one_wins(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        names = set(pool.map(ensure_identity, [Folder(tmp_path) for _ in range(64)]))
    assert len(names) == 1


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("", DamagedFile, "is not what dccd wrote"),
        ('{"format": 2}', DamagedFile, "is not what dccd wrote"),
        ('{"format": 1, "id": "x"}', LakeError, "format 1, which is older than 2 -> "),
        ('{"format": 9, "id": "x"}', LakeError, "format 9, which is later than 2 -> "),
    ],
)
def test_what_is_no_name_is_not_taken_for_none(
    tmp_path: Path, text: str, error: type[Exception], said: str
) -> None:
    (tmp_path / IDENTITY).write_text(text)
    with pytest.raises(error, match=said):
        LakeStore(tmp_path).identity()
