import os
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import ConfigError, DamagedFile, LakeError
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY as ONE_DAY
from dccd_core.domain.timespan import SECOND
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.partition.ledger import Condition, Hole, Ledger, condition
from dccd_core.lake.store.identity import IDENTITY
from dccd_core.tables import DataType
from tests.dccd_core.lake.samples import (
    BARS,
    BOOKS,
    DAY,
    MONTH,
    SPAN,
    TRADES,
    Witness,
    asked,
    many,
    numbered,
    often,
    store,
    stored,
    trades,
)


@pytest.fixture
def lake(tmp_path: Path) -> LakeStore:
    return LakeStore(tmp_path / "lake")


def files(folder: Path) -> list[str]:
    """Everything below ``folder`` that is neither a lock nor the store's name."""
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(str(path) for path in paths if ".dccd" not in path.parts and path.name != IDENTITY)


def test_what_is_committed_is_there(lake: LakeStore, tmp_path: Path) -> None:
    state = store(lake, numbered([1, 2, 3]))
    assert_frame_equal(stored(lake), numbered([1, 2, 3]))
    assert (state.rows, state.path) == (3, lake.path(TRADES, DAY))
    assert state == lake.state(TRADES, DAY) == lake.verify(TRADES, DAY) == lake.states(TRADES)[DAY]
    assert state.bytes == Path(state.path).stat().st_size
    data = "lake/trades/exchange=binance/symbol=BTC-USDT/period=2024-01-31/data.parquet"
    assert files(tmp_path) == [data]


def test_nothing_is_there_before(lake: LakeStore) -> None:
    assert lake.state(TRADES, DAY) is None
    assert lake.verify(TRADES, DAY) is None
    assert (lake.states(TRADES), lake.datasets(), list(lake.chunks(TRADES, DAY))) == ({}, [], [])


def test_a_draft_that_is_not_committed_leaves_nothing_behind(lake: LakeStore, tmp_path: Path) -> None:
    with lake.draft(TRADES, DAY) as draft:
        draft.append(many(0, 200_000))
        assert files(tmp_path) == []
    assert files(tmp_path) == []
    assert not (tmp_path / "lake" / "trades").exists()


def test_an_error_on_the_way_leaves_what_was_there(lake: LakeStore, tmp_path: Path) -> None:
    before = store(lake, numbered([1]))

    def fail_under_way() -> None:
        with lake.draft(TRADES, DAY) as draft:
            draft.append(numbered([2]))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_under_way()
    assert lake.state(TRADES, DAY) == before
    assert len(files(tmp_path)) == 1


def test_quarantine_is_no_parquet_file(lake: LakeStore, tmp_path: Path) -> None:
    store(lake, numbered([1]))
    lake.quarantine(TRADES, DAY, numbered([2]).with_columns(reason=pl.lit("bad")))
    assert len(files(tmp_path)) == 2
    assert [path.name for path in tmp_path.rglob("*.parquet")] == ["data.parquet"]


def test_an_empty_answer_is_remembered(lake: LakeStore) -> None:
    state = store(lake, trades([]))
    assert (state.rows, condition(state.ledger, SPAN)) == (0, Condition.AVAILABLE)


def test_the_ledger_grows_with_every_commit(lake: LakeStore) -> None:
    with lake.draft(TRADES, DAY) as draft:
        draft.commit([asked(0, 10, at=1, rows=4), asked(20, 30, at=1)], Witness)
    with lake.draft(TRADES, DAY) as draft:
        state = draft.commit([asked(10, 20, at=2)], Witness)
    assert [(each.span.start - SPAN.start, each.span.end - SPAN.start) for each in state.ledger.asked] == [
        (0, 30)
    ]
    assert (state.ledger.requests, state.ledger.asked[0].at) == (3, 2)


class Finder(Witness):
    def assess(self, ledger: Ledger) -> Ledger:
        missing = 3 - sum(rows.height for rows in self.seen)
        return Ledger(ledger.asked, (Hole(SPAN, missing),) if missing else (), ledger.quarantined)


def test_the_judge_sees_all_rows_of_the_partition_as_they_are_stored(lake: LakeStore) -> None:
    store(lake, many(3 * 100_000, 300_000))
    witness = Witness()
    with lake.draft(TRADES, DAY) as draft:
        draft.append(many(0, 300_000))
        draft.commit([asked()], lambda: witness)
    assert_frame_equal(pl.concat(witness.seen), stored(lake))
    assert stored(lake).height == 600_000


def test_the_judges_verdict_is_what_is_kept(lake: LakeStore) -> None:
    with lake.draft(TRADES, DAY) as draft:
        draft.append(numbered([1, 2]))
        assert draft.commit([asked()], Finder).ledger.holes == (Hole(SPAN, 1),)
    with lake.draft(TRADES, DAY) as draft:
        draft.append(numbered([3]))
        assert draft.commit([asked()], Finder).ledger.holes == ()


def test_a_fresh_row_takes_the_place_of_the_stored_one(lake: LakeStore) -> None:
    store(lake, trades([(SECOND, "1", 5.0)]))
    store(lake, trades([(SECOND, "1", 6.0), (2 * SECOND, "2", 7.0)]))
    assert stored(lake)["price"].to_list() == [6.0, 7.0]


def test_nothing_new_leaves_the_file_untouched(lake: LakeStore) -> None:
    before = store(lake, numbered([1, 2]))
    inode = os.stat(before.path).st_ino  # noqa: PTH116
    with lake.draft(TRADES, DAY) as draft:
        draft.append(numbered([1]))
        assert draft.commit([], Witness) == before
    assert os.stat(before.path).st_ino == inode  # noqa: PTH116
    store(lake, numbered([3]))
    assert os.stat(before.path).st_ino != inode  # noqa: PTH116


portions = st.lists(st.lists(st.integers(0, 60), max_size=12), min_size=1, max_size=4)


@settings(often, max_examples=20)
@given(portions=portions, data=st.data())
def test_the_same_rows_in_whatever_portions_and_order(
    portions: list[list[int]], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Promise 7: twice, in another order, or in other portions gives the same rows."""
    one, other = (LakeStore(tmp_path_factory.mktemp("lake")) for _ in range(2))
    for portion in data.draw(st.permutations(portions + portions[:1])):
        store(one, numbered(sorted(portion)))
    expected = store(other, numbered(sorted({number for portion in portions for number in portion})))
    state = one.state(TRADES, DAY)
    assert state is not None
    assert state.content_hash == expected.content_hash
    assert_frame_equal(stored(one), stored(other))


def cases(rows: Sequence[tuple[int, str]]) -> pl.DataFrame:
    return trades((at, name, 1.0) for at, name in rows)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (cases([(-1, "1")]), "not of this partition"),
        (cases([(0, "1"), (ONE_DAY, "2")]), "2024-02-01T00:00:00Z is not of this partition"),
        (cases([(5, "1"), (4, "2")]), "order of time"),
        (cases([(1, "1")]).with_columns(price=pl.lit(None, pl.Float64)), "nulls"),
        (cases([(1, "1")]).drop("side"), "another table"),
        (cases([(1, "1")]).with_columns(pl.col("ts").dt.cast_time_unit("ms")), "another table"),
    ],
)
def test_rows_that_do_not_belong_are_refused(lake: LakeStore, rows: pl.DataFrame, message: str) -> None:
    with lake.draft(TRADES, DAY) as draft:
        draft.append(numbered([0]).clear())
        with pytest.raises(LakeError, match=message):
            draft.append(rows)
        draft.append(cases([(7, "3")]))
        assert draft.commit([asked()], Witness).rows == 1


def test_rows_must_not_go_back_between_portions(lake: LakeStore) -> None:
    with lake.draft(TRADES, DAY) as draft:
        draft.append(numbered([5]))
        draft.append(numbered([5, 6]))
        with pytest.raises(LakeError, match="order of time"):
            draft.append(numbered([4]))


def test_a_committed_draft_takes_no_more_rows(lake: LakeStore) -> None:
    with lake.draft(TRADES, DAY) as draft:
        draft.commit([asked()], Witness)
        with pytest.raises(LakeError, match="committed already"):
            draft.append(numbered([1]))


class Sick(Witness):
    def assess(self, ledger: Ledger) -> Ledger:
        raise ZeroDivisionError


def test_a_draft_outlives_a_judge_that_fails(lake: LakeStore) -> None:
    with lake.draft(TRADES, DAY) as draft:
        draft.append(numbered([1, 2]))
        with pytest.raises(ZeroDivisionError):
            draft.commit([asked()], Sick)
        assert lake.state(TRADES, DAY) is None
        draft.append(numbered([3]))
        assert draft.commit([asked()], Witness).rows == 3
    assert_frame_equal(stored(lake), numbered([1, 2, 3]))


def test_bars_and_books_are_kept_alike(lake: LakeStore) -> None:
    schema = DataType.OHLC.table.schema
    bar = pl.DataFrame([dict.fromkeys(schema, 1.0) | {"ts": SPAN.start, "trades": None}], schema=schema)
    book = pl.DataFrame(
        {
            "ts": SPAN.start,
            "side": ["bid", "ask"],
            "level": 0,
            "price": [1.0, 2.0],
            "amount": 1.0,
            "received": None,
        },
        schema=DataType.ORDERBOOK.table.schema,
    )
    store(lake, bar, dataset=BARS, key=MONTH)
    store(lake, book, dataset=BOOKS)
    assert_frame_equal(stored(lake, BARS, MONTH), bar)
    assert_frame_equal(stored(lake, BOOKS), book)
    assert lake.datasets() == [BARS, BOOKS]


def test_states_are_told_by_key_and_for_this_dataset_only(lake: LakeStore) -> None:
    perpetual = Dataset("binance", Symbol("BTC", "USDT", "USDT"), DataType.TRADES)
    store(lake, numbered([1]))
    store(lake, trades([]), key="2024-01-02")
    store(lake, trades([]), dataset=perpetual)
    assert {key: state.rows for key, state in lake.states(TRADES).items()} == {"2024-01-02": 0, DAY: 1}
    assert list(lake.states(perpetual)) == [DAY]
    assert lake.datasets() == [TRADES, perpetual]


def test_two_drafts_of_one_partition_lose_nothing(lake: LakeStore) -> None:
    with lake.draft(TRADES, DAY) as one, lake.draft(TRADES, DAY) as other:
        one.append(numbered([1, 3]))
        other.append(numbered([2, 3]))
        one.commit([asked(0, 10)], Witness)
        assert other.commit([asked(20, 30)], Witness).ledger.requests == 2
    assert stored(lake)["trade_id"].to_list() == ["1", "2", "3"]


def test_a_damaged_file_is_an_error_and_is_never_written_over(lake: LakeStore) -> None:
    path = Path(store(lake, numbered(range(100))).path)
    path.write_bytes(damage := path.read_bytes()[:-50])
    for read in (
        lambda: lake.state(TRADES, DAY),
        lambda: lake.states(TRADES),
        lambda: lake.verify(TRADES, DAY),
        lambda: list(lake.chunks(TRADES, DAY)),
        lambda: store(lake, numbered([1])),
    ):
        with pytest.raises(DamagedFile, match=r"period=2024-01-31.data.parquet.*restore"):
            read()
    assert path.read_bytes() == damage


def test_a_store_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "lake" / "trades" / "exchange=binance").mkdir(parents=True)
    (tmp_path / "lake" / "trades" / "exchange=binance" / "symbol=BTC-USDT").write_text("a file for a folder")
    with pytest.raises(LakeError, match=r"cannot write .*lake/trades/.*what was stored before is untouched"):
        store(LakeStore(tmp_path / "lake"), numbered([1]))


def test_only_folders_and_buckets_are_stores() -> None:
    with pytest.raises(ConfigError, match="gs://bucket"):
        LakeStore("gs://bucket")


def test_h12_a_file_that_holds_another_s_rows_is_refused(tmp_path: Path) -> None:
    """As on a file system that takes both names for one: the second is not written into the first's file."""
    lake = LakeStore(tmp_path)
    first, second = (Dataset("binance", Symbol(base, "USDT"), DataType.TRADES) for base in ("KPEPE", "kPEPE"))
    with lake.draft(first, DAY) as draft:
        draft.append(numbered([1, 2]))
        state = draft.commit([asked()], Witness)
    folder = Path(lake.path(first, DAY)).parents[1]
    folder.with_name("symbol=kPEPE-USDT").symlink_to(folder)
    said = "holds binance/trades/KPEPE-USDT/2024-01-31, not binance/trades/kPEPE-USDT/2024-01-31"
    with lake.draft(second, DAY) as draft:
        draft.append(numbered([7]))
        with pytest.raises(LakeError, match=said):
            draft.commit([asked()], Witness)
    with pytest.raises(LakeError, match=said):
        lake.state(second, DAY)
    with pytest.raises(LakeError, match=said):
        list(lake.chunks(second, DAY))
    with pytest.raises(LakeError, match=said):
        lake.states(second)
    assert lake.state(first, DAY) == state
