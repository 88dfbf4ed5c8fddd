from pathlib import Path

import pytest

from dccd_core.domain.timespan import Us
from dccd_core.keep.copies import Copies, Copy, LastSync, Proof, Trouble, proofs
from dccd_core.lake.layout import StreamKey, quarantine_path
from dccd_core.lake.store.folder import Folder
from tests.dccd_core.keep.scene import FILE
from tests.dccd_core.lake.samples import DAY, TRADED, TRADES

COPY = Copy(10, "ab", "cd", "1-10", "etag", Us(7))


@pytest.fixture
def store(tmp_path: Path) -> Folder:
    (tmp_path / "lake" / ".dccd").mkdir(parents=True)
    return Folder(tmp_path / "lake")


def test_what_is_saved_is_known_to_others(store: Folder) -> None:
    copies = Copies(store, "nas")
    copies.put(FILE, COPY)
    copies.put(quarantine_path(TRADES, DAY), COPY)
    assert Copies(store, "nas").get(FILE) is None
    copies.save()
    again = Copies(store, "nas")
    assert again.get(FILE) == COPY
    assert set(again.known(TRADED)) == {FILE, quarantine_path(TRADES, DAY)}
    assert Copies(store, "other").get(FILE) is None
    again.drop(FILE)
    again.save()
    assert Copies(store, "nas").get(FILE) is None


def test_what_is_no_file_of_a_partition_is_not_kept(store: Folder) -> None:
    copies = Copies(store, "nas")
    copies.put("dccd.json", COPY)
    assert copies.get("dccd.json") is None


@pytest.mark.parametrize("spoil", [b"", b"{}", b'{"format": 1, "crc32": 0}\n{}', b"\xff\xfe"])
def test_what_is_not_whole_is_not_known(store: Folder, tmp_path: Path, spoil: bytes) -> None:
    copies = Copies(store, "nas")
    copies.put(FILE, COPY)
    copies.remember(LastSync("id", Us(1)))
    copies.save()
    for file in (tmp_path / "lake/.dccd/remotes/nas").rglob("*.json"):
        file.write_bytes(spoil)
    again = Copies(store, "nas")
    assert (again.get(FILE), again.last()) == (None, None)


def test_the_last_sync_is_remembered(store: Folder) -> None:
    last = LastSync("id", Us(1), 2, 3, 4, 5, (Trouble(FILE, "why"),), (Trouble(FILE, "fails"),))
    Copies(store, "nas").remember(last)
    assert Copies(store, "nas").last() == last


def test_a_proof_is_of_these_very_rows(store: Folder) -> None:
    for name in ("nas", "cloud"):
        copies = Copies(store, name)
        copies.put(FILE, COPY)
        copies.save()
    assert proofs(store, iter(["nas", "cloud", "none"]), FILE, "cd") == [
        Proof("nas", Us(7)),
        Proof("cloud", Us(7)),
    ]
    assert proofs(store, iter(["nas"]), FILE, "other") == []


def test_families_are_apart(store: Folder, tmp_path: Path) -> None:
    bars = "ohlc/exchange=okx/symbol=BTC-USDT/span=1h/period=2024/data.parquet"
    copies = Copies(store, "nas")
    copies.put(bars, COPY)
    copies.put(FILE, COPY)
    copies.save()
    names = sorted(str(one.relative_to(tmp_path / "lake")) for one in tmp_path.rglob("*.json"))
    assert names == [".dccd/remotes/nas/binance/trades.json", ".dccd/remotes/nas/okx/ohlc-1h.json"]
    assert StreamKey("okx", TRADES.data_type) != TRADED
