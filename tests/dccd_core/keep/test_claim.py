import json
from pathlib import Path

import pytest

from dccd_core.domain.errors import DamagedFile, LakeError
from dccd_core.keep.claim import check, claim
from dccd_core.keep.remotes.folder import FolderRemote
from dccd_core.lake.store.identity import IDENTITY
from tests.dccd_core.keep.scene import body, put


@pytest.fixture
def remote(tmp_path: Path) -> FolderRemote:
    return FolderRemote("nas", tmp_path / "copy")


def test_an_empty_place_becomes_a_copy_and_stays_one(remote: FolderRemote) -> None:
    made = claim(remote, "us", None)
    assert json.loads(body(remote, IDENTITY)) == {"format": 2, "id": made, "copy_of": "us"}
    assert claim(remote, "us", None) == made == check(remote, "us")


def test_who_only_checks_makes_none(remote: FolderRemote) -> None:
    with pytest.raises(LakeError, match="is no copy of this store -> `dccd sync nas` makes it one"):
        check(remote, "us")
    assert remote.found(IDENTITY) is None


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"format": 2, "id": "x", "copy_of": "them"}, "is a copy of another store, them"),
        ({"format": 2, "id": "x"}, "is a store of its own, x"),
        ({"format": 2, "id": "us"}, "is this store itself"),
        ({"format": 3, "id": "x", "copy_of": "us"}, "has format 3, not 2"),
    ],
)
def test_what_is_no_copy_of_ours_is_refused(remote: FolderRemote, told: dict[str, object], said: str) -> None:
    put(remote, IDENTITY, json.dumps(told).encode())
    for act in (lambda: claim(remote, "us", None), lambda: check(remote, "us")):
        with pytest.raises(LakeError, match=said):
            act()


def test_what_cannot_be_read_is_damage(remote: FolderRemote) -> None:
    put(remote, IDENTITY, b"{")
    with pytest.raises(DamagedFile, match="is not what dccd wrote"):
        claim(remote, "us", None)
