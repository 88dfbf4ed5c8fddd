"""A store that never changes is read as it is, and refuses every write."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest

from dccd_core.domain.errors import LakeError
from dccd_core.lake.store.fixed import Fixed
from dccd_core.lake.store.folder import Folder, Stored
from dccd_core.lake.store.identity import IDENTITY, ensure_identity, new_pin_identity, pin_of, usable

PATH = "trades/exchange=binance/symbol=BTC-USDT/period=2024-01-31/data.parquet"


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    (tmp_path / PATH).parent.mkdir(parents=True)
    (tmp_path / PATH).write_bytes(b"0123456789")
    return Folder(tmp_path)


def test_it_is_read_as_the_store_that_it_is(folder: Folder) -> None:
    fixed = Fixed(folder)
    assert fixed.url(PATH) == folder.url(PATH)
    assert fixed.find("trades") == [PATH]
    assert fixed.marks("trades") == folder.marks("trades")
    assert fixed.named("trades", ("data.parquet",)) == folder.named("trades", ("data.parquet",))
    assert fixed.first("trades/exchange=binance/symbol=BTC-USDT") == PATH
    assert fixed.tail(PATH, 3) == (b"789", 10)
    assert fixed.ending(PATH, 3) == folder.ending(PATH, 3)
    assert fixed.objects() is None
    assert fixed.links(PATH) == 1
    with fixed.open(PATH) as stored:
        assert stored
        assert stored.file.read() == b"0123456789"


WRITES: dict[str, Callable[[Fixed], object]] = {
    "locked": lambda fixed: fixed.locked(PATH),
    "scratch": lambda fixed: fixed.scratch(),
    "draft": lambda fixed: fixed.draft(PATH),
    "append": lambda fixed: fixed.append(PATH, b"line\n"),
    "swap": lambda fixed: fixed.swap(BytesIO(b""), PATH, None),
    "hold": lambda fixed: fixed.hold(PATH, Stored(BytesIO()), PATH, b""),
    "remove": lambda fixed: fixed.remove(PATH),
}


@pytest.mark.parametrize("name", WRITES)
def test_every_write_is_refused(folder: Folder, tmp_path: Path, name: str) -> None:
    with pytest.raises(LakeError, match="the store is a pin, which never changes; nothing was stored"):
        WRITES[name](Fixed(folder))
    assert [path.name for path in tmp_path.iterdir()] == ["trades"]


def test_it_keeps_no_memo(folder: Folder) -> None:
    with Fixed(folder).memo(".dccd/manifest/one.json") as memo:
        assert memo is None


def test_a_store_is_fixed_when_it_says_that_it_is_a_pin(tmp_path: Path) -> None:
    store = Folder(tmp_path)
    assert usable(store) == (store, None)
    name = ensure_identity(store)
    assert usable(store) == (store, name)
    assert pin_of(store) is None
    (tmp_path / IDENTITY).write_bytes(new_pin_identity(name))
    found, own = usable(store)
    assert isinstance(found, Fixed)
    assert own not in (None, name)
    assert pin_of(store) == name
