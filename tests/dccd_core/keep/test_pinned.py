"""The manifest of a pin is written to be read, and compared; the rest is shown in test_pins.py."""

from pathlib import Path

import msgspec
import pytest

from dccd_core.domain.errors import DamagedFile, LakeError
from dccd_core.domain.timespan import Us
from dccd_core.keep.pinned import FORMAT, Manifest, PinnedFile, pinned_files, read_manifest, readable
from dccd_core.lake.layout import PIN
from dccd_core.lake.store.folder import Folder


def file(path: str) -> PinnedFile:
    return PinnedFile(path, 3, Us(1), Us(2), 100, "a hash", msgspec.Raw(b'{"asked": []}'))


MANIFEST = Manifest(FORMAT, "a lake", Us(5), (Us(0), Us(9)), (file("one"), file("two")))


def test_a_manifest_has_a_line_for_each_file_and_is_read_as_it_was_written(tmp_path: Path) -> None:
    text = readable(MANIFEST)
    assert [b'"path":"one"' in line for line in text.splitlines()] == [False, True, False, False]
    (tmp_path / PIN).write_bytes(text)
    found = read_manifest(Folder(tmp_path))
    assert msgspec.json.encode(found) == msgspec.json.encode(MANIFEST)


def test_what_cannot_be_read_names_the_manifest_and_what_helps(tmp_path: Path) -> None:
    with pytest.raises(DamagedFile, match=rf"{PIN} is gone -> its partitions can be read"):
        read_manifest(Folder(tmp_path))
    (tmp_path / PIN).write_bytes(readable(MANIFEST)[:-5])
    with pytest.raises(DamagedFile, match=rf"{PIN} is not what was written"):
        read_manifest(Folder(tmp_path))
    (tmp_path / PIN).write_bytes(readable(msgspec.structs.replace(MANIFEST, format=FORMAT + 1)))
    with pytest.raises(LakeError, match="update dccd"):
        read_manifest(Folder(tmp_path))


def test_a_file_that_was_to_be_pinned_and_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(LakeError, match="one was removed while it was to be pinned; nothing is pinned"):
        list(pinned_files(Folder(tmp_path / "lake"), Folder(tmp_path / "view"), {"one": "a mark"}))
