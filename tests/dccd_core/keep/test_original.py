import json
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import pytest

from dccd_core.domain.errors import LakeError
from dccd_core.keep.original import Holders, Original, sha256_of, why_no_copy
from dccd_core.lake.store.identity import IDENTITY
from tests.dccd_core.keep.shelf import ShelfRemote

BODY = bytes(range(256)) * 9_000


def original(folder: Path) -> Original:
    (folder / "file").write_bytes(BODY)
    with (folder / "file").open("rb") as file:
        return Original.of("file", file)


def test_a_file_of_several_blocks_is_hashed_whole_from_its_beginning() -> None:
    file = BytesIO(BODY)
    file.seek(1_000)
    assert sha256_of(file) == sha256(BODY).hexdigest()
    assert file.tell() == 0


def test_a_copy_is_a_file_with_the_same_bytes(tmp_path: Path) -> None:
    file = original(tmp_path)
    assert why_no_copy(ShelfRemote(files={"file": BODY}), file) == ""
    assert why_no_copy(ShelfRemote(), file) == "not there"
    said = "another file is there, of 2,303,999 bytes instead of 2,304,000"
    assert why_no_copy(ShelfRemote(files={"file": BODY[1:]}), file) == said
    other = BODY[:-1] + b"x"
    assert "another SHA-256" in why_no_copy(ShelfRemote(files={"file": other}), file)
    with pytest.raises(LakeError, match="backup does not answer -> see to it"):
        why_no_copy(ShelfRemote(away=True), file)


def shelf(name: str, files: dict[str, bytes]) -> ShelfRemote:
    told = {"format": 2, "id": f"of {name}", "copy_of": "us"}
    return ShelfRemote(name, {IDENTITY: json.dumps(told).encode(), **files})


def test_no_more_are_asked_than_are_wanted(tmp_path: Path) -> None:
    holding = [shelf(name, {"file": BODY}) for name in ("a", "b", "c")]
    file = original(tmp_path)
    assert Holders([shelf("empty", {}), *holding], "us").copies_of(file, 2) == (
        ["a", "b"],
        ["empty: not there"],
    )
    assert holding[2].asked == []
    assert Holders(holding, "us").copies_of(file, 4) == (["a", "b", "c"], [])
