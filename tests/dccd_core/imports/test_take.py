"""One file at a time: however its rows lie, they are taken a few minutes at a time."""

import random
from pathlib import Path

import pytest

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import Us
from dccd_core.imports.oldstore import open_old
from dccd_core.imports.take import Taker
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.partition.ledger import Source
from dccd_core.lake.store.opening import open_store
from tests.dccd_core.imports.old import NOW, Old, trades

TICKS = Dataset.parse("binance/trades/BTC-USDT")
DAY = 86_400_000_000


@pytest.mark.parametrize("trusted", [False, True])
@pytest.mark.parametrize("shuffled", [False, True])
def test_a_day_in_any_order_becomes_the_same_partition(tmp_path: Path, shuffled: bool, trusted: bool) -> None:  # noqa: FBT001
    count = 3_000
    told = [(n * DAY // count, float(n), str(n)) for n in range(1, count)]
    if shuffled:
        random.Random(7).shuffle(told)
    Old(tmp_path / "old").put("binance/trades/BTC-USDT/2024-01-31.parquet", trades(told))
    lake = LakeStore(tmp_path / "lake")
    (one,) = open_old(tmp_path / "old").datasets
    result = Taker(one, open_store(lake.url), lake, NOW, trusted).take(one.files[0])
    assert (result.taken, result.known, result.error) == (count - 1, 0, None)
    found = lake.scan(TICKS).collect()
    assert found["trade_id"].to_list() == [str(n) for n in range(1, count)]
    assert found["price"].is_sorted()
    state = lake.state(TICKS, "2024-01-31")
    assert state is not None
    assert [asked.source for asked in state.ledger.asked] == ([Source.IMPORT] if trusted else [])
    assert bool(state.ledger.imported) is not trusted
    assert state.ledger.gaps() == ()


def test_files_between_others_are_trusted_to_the_edges_of_their_day(tmp_path: Path) -> None:
    old = Old(tmp_path / "old")
    for day in ("2024-01-30", "2024-01-31", "2024-02-01"):
        old.put(f"binance/trades/BTC-USDT/{day}.parquet", trades([(DAY // 2, 1.0, day[-2:])], day))
    lake = LakeStore(tmp_path / "lake")
    (one,) = open_old(tmp_path / "old").datasets
    for file in one.files:
        Taker(one, open_store(lake.url), lake, NOW, trusted=True).take(file)
    lengths = {key: state.ledger.covered()[0].length for key, state in lake.states(TICKS).items()}
    assert lengths == {"2024-01-30": Us(DAY // 2), "2024-01-31": Us(DAY), "2024-02-01": Us(DAY // 2 + 1)}


def test_an_empty_file_is_no_partition(tmp_path: Path) -> None:
    Old(tmp_path / "old").put("binance/trades/BTC-USDT/2024-01-31.parquet", trades([]))
    lake = LakeStore(tmp_path / "lake")
    (one,) = open_old(tmp_path / "old").datasets
    result = Taker(one, open_store(lake.url), lake, NOW, trusted=True).take(one.files[0])
    assert (result.taken, result.keys, result.error) == (0, (), None)
    assert lake.datasets() == []
