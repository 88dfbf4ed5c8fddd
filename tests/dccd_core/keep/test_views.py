"""How a pin is begun, kept and dropped: links of the very files, and nothing half."""

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from dccd_core.domain.errors import ConfigError, LakeError
from dccd_core.domain.timespan import Us
from dccd_core.keep.views import FolderViews, views_of
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.layout import data_path
from tests.dccd_core.lake.samples import DAY, TRADES, numbered, store

PATH = data_path(TRADES, DAY)
NOW = Us(0)


@pytest.fixture
def views(tmp_path: Path) -> FolderViews:
    lake = LakeStore(tmp_path)
    store(lake, numbered(range(3)))
    views = views_of(lake.store)
    assert isinstance(views, FolderViews)
    return views


def made(views: FolderViews, name: str = "one") -> Path:
    with views.making(name, NOW) as view:
        assert view.hold({PATH: ""}) == []
        view.keep(b"manifest", b"identity")
    return Path(views.store(name).url(""))


def test_a_view_is_the_very_file_and_nobody_writes_into_it(views: FolderViews, tmp_path: Path) -> None:
    pin = made(views)
    assert (pin / PATH).samefile(tmp_path / PATH)
    for name in (PATH, "pin.json", "dccd.json"):
        assert not stat.S_IMODE((pin / name).stat().st_mode) & 0o222, name
    assert views.names() == ["one"]


def test_a_view_that_is_not_kept_leaves_nothing_behind(views: FolderViews, tmp_path: Path) -> None:
    with views.making("one", NOW) as view:
        view.hold({PATH: ""})
    with pytest.raises(KeyboardInterrupt), views.making("one", NOW):
        raise KeyboardInterrupt
    assert views.names() == []
    assert not (tmp_path / "pins").exists()
    assert (tmp_path / PATH).exists()


def test_a_name_is_given_once(views: FolderViews) -> None:
    made(views)
    with pytest.raises(ConfigError, match=r"there is a pin one already.*dccd pin --drop one"):
        made(views)
    assert views.names() == ["one"]


def test_what_is_gone_is_told(views: FolderViews) -> None:
    other = data_path(TRADES, "2024-02-01")
    with views.making("one", NOW) as view:
        assert view.hold({PATH: "", other: ""}) == [other]


def refusing(number: int) -> Callable[..., None]:
    def link(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return link


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.EXDEV, "lies on another file system than .*/pins, and no hard link leads"),
        (errno.EMLINK, "has as many hard links as its file system allows"),
        (errno.EPERM, "no hard link of .* can be made: Operation not permitted"),
        (errno.EOPNOTSUPP, "no hard link of .* can be made"),
        (errno.EIO, "cannot write .*: Input/output error"),
    ],
)
def test_a_file_that_cannot_be_linked_is_one_clear_line(
    views: FolderViews, monkeypatch: pytest.MonkeyPatch, number: int, said: str
) -> None:
    monkeypatch.setattr(os, "link", refusing(number))
    with pytest.raises(LakeError, match=said) as refused:
        made(views)
    assert len(str(refused.value).splitlines()) == 1
    assert views.names() == []


def test_a_partition_that_is_a_link_is_held_as_the_file_that_it_leads_to(
    views: FolderViews, tmp_path: Path
) -> None:
    """A symbolic link in a pin would lead to whatever is there later."""
    other = tmp_path / "elsewhere"
    (tmp_path / PATH).rename(other)
    (tmp_path / PATH).symlink_to(other)
    pin = made(views)
    assert not (pin / PATH).is_symlink()
    assert (pin / PATH).samefile(other)


def test_dropping_leaves_the_lake_and_the_other_pins(views: FolderViews, tmp_path: Path) -> None:
    made(views)
    other = made(views, "two")
    views.drop("one", NOW)
    assert views.names() == ["two"]
    assert (other / PATH).samefile(tmp_path / PATH)
    views.drop("two", NOW)
    assert (tmp_path / PATH).stat().st_nlink == 1
    assert not (tmp_path / "pins").exists()
