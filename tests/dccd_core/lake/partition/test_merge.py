from collections import Counter
from collections.abc import Sequence
from functools import partial, reduce
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from dccd_core.domain.timespan import MILLISECOND, SECOND, TimeRange, Us
from dccd_core.lake.partition import merge as merge_module
from dccd_core.lake.partition.merge import Feed, Piece, first_ts, merged, outside, unite
from dccd_core.tables import DataType
from tests.dccd_core.lake.samples import SPAN, Trade, numbered, often, trades

NOTHING = trades([])


def union(stored: pl.DataFrame, fresh: pl.DataFrame) -> pl.DataFrame:
    return unite(DataType.TRADES, stored, fresh)


def facts(number: int) -> Trade:
    """The one trade that has this id; several share a moment, more share a second."""
    return number // 3 * 400 * MILLISECOND, str(number), float(number)


named = st.sets(st.integers(0, 40), max_size=25).map(
    lambda ids: trades(facts(number) for number in sorted(ids))
)
nameless = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=25).map(
    lambda rows: trades(sorted((at * 700 * MILLISECOND, None, float(price)) for at, price in rows))
)
mixed = st.tuples(named, nameless).map(lambda both: pl.concat(both).sort("ts", maintain_order=True))


def feed(rows: pl.DataFrame, cuts: Sequence[int]) -> Feed:
    """``rows`` in pieces cut anywhere, also between rows of one moment."""
    borders = [0, *sorted({cut % (rows.height + 1) for cut in cuts}), rows.height]
    pieces = [rows.slice(a, b - a) for a, b in pairwise(borders) if b > a]
    return Feed(Piece(first_ts(piece), n, partial(pieces.__getitem__, n)) for n, piece in enumerate(pieces))


@often
@given(a=mixed, b=mixed)
def test_each_row_is_there_once(a: pl.DataFrame, b: pl.DataFrame) -> None:
    rows = Counter(union(a, b).rows())
    assert rows == Counter(a.rows()) | Counter(b.rows())


@often
@given(a=mixed, b=mixed)
def test_the_rows_do_not_depend_on_who_comes_first(a: pl.DataFrame, b: pl.DataFrame) -> None:
    assert sorted(union(a, b).rows(), key=str) == sorted(union(b, a).rows(), key=str)


@often
@given(a=mixed, b=mixed)
def test_what_is_there_already_changes_nothing_not_even_the_order(a: pl.DataFrame, b: pl.DataFrame) -> None:
    once = union(union(NOTHING, a), b)
    assert_frame_equal(union(once, b), once)
    assert_frame_equal(union(once, a), once)
    assert_frame_equal(union(once, once), once)


@often
@given(
    a=mixed,
    b=mixed,
    cuts=st.lists(st.integers(0, 60), max_size=8),
    more=st.lists(st.integers(0, 60), max_size=8),
    enough=st.integers(1, 60),
)
def test_pieces_make_no_difference(
    a: pl.DataFrame, b: pl.DataFrame, cuts: list[int], more: list[int], enough: int
) -> None:
    whole = union(union(NOTHING, a), b)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(merge_module, "_ENOUGH", enough)
        chunks = list(merged(DataType.TRADES, feed(union(NOTHING, a), cuts), [feed(b, more)]))
    assert_frame_equal(pl.concat([NOTHING, *chunks]), whole)


skewed = st.dictionaries(st.integers(0, 40), st.integers(-500, 500), max_size=25).map(
    lambda late: trades(
        sorted((max(0, number * 300 + ms) * MILLISECOND, str(number), 1.0) for number, ms in late.items())
    )
)


@often
@given(
    sources=st.lists(skewed, min_size=1, max_size=4),
    cuts=st.lists(st.integers(0, 60), max_size=8),
    enough=st.integers(1, 30),
)
def test_a_trade_that_sources_time_up_to_a_second_apart_is_one_row_however_they_are_cut(
    sources: list[pl.DataFrame], cuts: list[int], enough: int
) -> None:
    """REST, two connections and the file; each has the time of the source whose row is the last one."""
    rest, *others = (union(NOTHING, rows) for rows in sources)
    pushed = [rows.with_columns(received=pl.col("ts").dt.offset_by("1ms")) for rows in others]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(merge_module, "_ENOUGH", enough)
        chunks = merged(DataType.TRADES, feed(rest, cuts), [feed(rows, cuts) for rows in pushed])
        rows = pl.concat([NOTHING, *chunks])
    assert_frame_equal(rows, reduce(union, pushed, rest))
    assert rows["trade_id"].is_unique().all()
    came = {number for each in pushed for number in each["trade_id"]}
    assert {row["trade_id"]: row["received"] is not None for row in rows.iter_rows(named=True)} == {
        number: number in came for number in rows["trade_id"]
    }


def test_what_is_asked_for_again_keeps_when_it_came() -> None:
    rows = numbered([1, 2])
    first, again = (rows.with_columns(received=pl.col("ts").dt.offset_by(late)) for late in ("1ms", "9s"))
    for stored, fresh in ((first, rows), (first, again), (rows, first)):
        assert_frame_equal(union(stored, fresh), first)
    nameless = trades([(0, None, 1.0)] * 2)
    came = nameless.with_columns(received=pl.col("ts").dt.offset_by("1ms"))
    for stored, fresh in ((came, nameless), (nameless, came)):
        assert_frame_equal(union(stored, fresh), came)


def test_pieces_are_read_only_when_their_time_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a source that is far ahead one piece is held, of all together no more than are united at once."""
    monkeypatch.setattr(merge_module, "_ENOUGH", 4)
    read: list[int] = []

    def piece(n: int) -> pl.DataFrame:
        read.append(n)
        return numbered([10 * n, 10 * n + 1])

    far = Feed(Piece(Us(SPAN.start + 10 * n * SECOND), n, partial(piece, n)) for n in range(5))
    near = (numbered([n]) for n in range(30))
    chunks = merged(DataType.TRADES, far, [Feed.of(near)])
    held = [(rows["trade_id"].cast(int).max(), len(read)) for rows in chunks]
    assert len(held) > 5
    assert all(count <= int(str(last)) // 10 + 2 for last, count in held)
    assert read == [0, 1, 2, 3, 4]


def test_batches_may_be_empty() -> None:
    batches = (numbered(ids) for ids in ([], [1, 2], [], [3], []))
    rows = pl.concat(merged(DataType.TRADES, None, [Feed.of(batches)]))
    assert rows["trade_id"].to_list() == ["1", "2", "3"]


def test_ids_that_are_numbers_order_as_numbers() -> None:
    rows = trades([(0, "9", 1), (0, "100", 2), (0, "10", 3), (5, "1", 4)])
    assert union(NOTHING, rows)["trade_id"].to_list() == ["9", "10", "100", "1"]


def test_ids_beyond_64_bits_order_as_numbers_too() -> None:
    rows = trades([(0, "100000000000000000000001", 1), (0, "99999999999999999999999", 2)])
    assert union(NOTHING, rows)["price"].to_list() == [2, 1]


def test_other_ids_keep_the_order_they_came_in() -> None:
    old, new = trades([(0, "c", 1), (0, "a", 2)]), trades([(0, "b", 3), (0, "a", 4)])
    assert union(old, new).select("trade_id", "price").rows() == [("c", 1), ("a", 4), ("b", 3)]


def test_a_fresh_row_takes_the_place_of_the_stored_one() -> None:
    assert union(numbered([1, 2]), trades([(SECOND, "1", 99)]))["price"].to_list() == [99, 2]


def test_a_trade_told_with_a_finer_time_meets_itself_across_any_cut() -> None:
    """REST may say milliseconds where the archive says microseconds."""
    coarse = trades((at * MILLISECOND, str(at), 1.0) for at in range(100))
    fine = trades((at * MILLISECOND + 123, str(at), 1.0) for at in range(100))
    chunks = merged(DataType.TRADES, feed(coarse, [7, 31, 50]), [feed(fine, [3, 31, 80])])
    assert_frame_equal(pl.concat(chunks), fine)


def test_two_equal_trades_without_ids_are_two_rows() -> None:
    twice, thrice = trades([(0, None, 1.0)] * 2), trades([(0, None, 1.0)] * 3)
    assert union(NOTHING, twice).height == 2
    assert union(twice, twice).height == 2
    assert union(twice, thrice).height == union(thrice, twice).height == 3


def test_an_unknown_side_is_a_value_like_any_other() -> None:
    unknown = trades([(0, None, 1.0)]).with_columns(side=pl.lit(None, pl.Enum(["buy", "sell"])))
    assert union(unknown, unknown).height == 1
    assert union(unknown, trades([(0, None, 1.0)])).height == 2


def test_a_repeat_within_the_fresh_rows_is_one_row() -> None:
    assert union(NOTHING, trades([(0, "1", 1), (0, "2", 2), (0, "1", 3)]))["price"].to_list() == [3, 2]


def bars(rows: dict[int, float]) -> pl.DataFrame:
    return pl.DataFrame(
        {"ts": list(rows), "close": list(rows.values())}, schema_overrides={"ts": pl.Int64}
    ).select(
        pl.col("close" if name == "close" else "ts").cast(of).alias(name)
        for name, of in DataType.OHLC.table.schema.items()
    )


def test_a_bar_is_known_by_its_time() -> None:
    rows = unite(DataType.OHLC, bars({0: 1.0, 60: 2.0}), bars({60: 3.0, 30: 4.0}))
    assert rows["close"].to_list() == [1.0, 4.0, 3.0]


@pytest.mark.parametrize("stored_first", [True, False])
def test_a_book_orders_by_moment_side_and_level(stored_first: bool) -> None:  # noqa: FBT001 -- a parameter
    book = pl.DataFrame(
        {
            "ts": [0, 0, 0, 5],
            "side": ["bid", "bid", "ask", "bid"],
            "level": [0, 1, 0, 0],
            "price": [1.0, 2.0, 3.0, 4.0],
            "amount": 1.0,
            "received": None,
        },
        schema=DataType.ORDERBOOK.table.schema,
    )
    one, other = book[[2, 3]], book[[1, 0]]
    rows = unite(DataType.ORDERBOOK, one, other) if stored_first else unite(DataType.ORDERBOOK, other, one)
    assert_frame_equal(rows, book)


def test_a_feed_can_leave_out_spans_whatever_pieces_it_is_cut_into() -> None:
    rows = numbered(range(10))
    gone = [TimeRange(Us(SPAN.start + a * SECOND), Us(SPAN.start + b * SECOND)) for a, b in ((2, 4), (7, 8))]
    left = pl.concat(merged(DataType.TRADES, outside(feed(rows, [3, 5]), gone), []))
    assert left["trade_id"].to_list() == ["0", "1", "4", "5", "6", "8", "9"]
    assert list(merged(DataType.TRADES, outside(feed(rows, []), [SPAN]), [])) == []
