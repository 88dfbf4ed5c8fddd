from pathlib import Path

import pytest

from dccd_core.domain.errors import ConfigError
from dccd_core.keep.remotes import remote
from dccd_core.keep.remotes.remote import KINDS, Place, kind_of, open_remote, open_remotes


def test_each_kind_of_remote_has_a_module_and_each_module_a_kind() -> None:
    modules = {path.stem for path in Path(remote.__file__).parent.glob("*.py")} - {"__init__", "remote"}
    assert {kind.module for kind in KINDS} == modules


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.module)
def test_a_kind_is_written_as_its_example(kind: remote.Kind) -> None:
    assert kind_of(kind.example.removeprefix("a folder like ")) is kind


@pytest.mark.parametrize("to", ["", "ftp://host/path", "s3://", "S3://bucket", "s3://b?x", "rclone:nas"])
def test_what_is_no_place_is_said_with_what_is(to: str) -> None:
    with pytest.raises(ConfigError, match="is no place for a copy -> write a folder"):
        kind_of(to)
    with pytest.raises(ConfigError):
        open_remote(Place("a", to))


def test_remotes_are_opened_in_their_order(tmp_path: Path) -> None:
    places = [Place("b", str(tmp_path / "1")), Place("a", str(tmp_path / "2"))]
    assert [one.name for one in open_remotes(places)] == ["b", "a"]
