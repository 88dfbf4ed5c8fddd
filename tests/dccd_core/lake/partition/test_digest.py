"""What a hash of rows depends on: on every value and on their order, and on nothing else."""

from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dccd_core.lake.partition.digest import Digest
from dccd_core.tables import DataType

TABLE = DataType.TRADES.table
ROW = st.tuples(
    st.integers(0, 10**15),
    st.sampled_from([0.0, 1.5, 2.0]),
    st.sampled_from(["buy", "sell", None]),
    st.sampled_from(["", "1", "11", "é", None]),
    st.sampled_from([None, 0, 1]),
)
Row = tuple[int, float, str | None, str | None, int | None]


def frame(rows: list[Row]) -> pl.DataFrame:
    columns = [[row[at] for row in rows] for at in range(5)]
    ts, price, side, name, received = columns
    of = {"ts": ts, "price": price, "amount": price, "side": side, "trade_id": name, "received": received}
    return pl.DataFrame(of, schema=TABLE.schema)


def digest(*pieces: pl.DataFrame) -> str:
    hashed = Digest(TABLE)
    for piece in pieces:
        hashed.add(piece)
    return hashed.hexdigest()


@given(st.lists(ROW, max_size=12), st.lists(st.integers(0, 12), max_size=4))
def test_rows_hash_alike_wherever_they_are_cut(rows: list[Row], cuts: list[int]) -> None:
    whole = frame(rows)
    borders = [0, *sorted(min(cut, whole.height) for cut in cuts), whole.height]
    assert digest(*(whole.slice(a, b - a) for a, b in pairwise(borders))) == digest(whole)
    assert digest(whole.rechunk()) == digest(pl.concat([whole.slice(0, 1), whole.slice(1)], rechunk=False))


@given(st.lists(ROW, max_size=6), st.lists(ROW, max_size=6))
def test_rows_that_differ_anywhere_hash_differently(one: list[Row], other: list[Row]) -> None:
    assert (digest(frame(one)) == digest(frame(other))) == frame(one).equals(frame(other), null_equal=True)


FIRST: Row = (1, 1.0, "buy", "a", 0)


@pytest.mark.parametrize(
    "other",
    [
        [(1, 1.0, "buy", "", 0)],
        [(1, 1.0, None, "a", 0)],
        [(1, 1.0, "sell", "a", 0)],
        [(1, 1.0, "buy", "a", None)],
        [(1, 1.0, "buy", None, 0)],
        [(2, 1.0, "buy", "a", 0)],
        [],
        [FIRST, FIRST],
    ],
)
def test_each_column_counts_and_so_does_a_null(other: list[Row]) -> None:
    assert digest(frame([FIRST])) != digest(frame(other))


def test_where_one_text_ends_and_the_next_begins_counts() -> None:
    def ids(*names: str) -> pl.DataFrame:
        return frame([(1, 1.0, None, name, None) for name in names])

    cut = [("ab", "c"), ("a", "bc"), ("abc", ""), ("", "abc")]
    assert len({digest(ids(*names)) for names in cut}) == len(cut)


def test_it_is_the_same_everywhere() -> None:
    """It is stored: another one would have every partition look changed."""
    assert digest(frame([FIRST, (2, 2.0, None, None, None)])) == PINNED


PINNED = "0f6df217971044ae231265b996d37c080223c7321b2b09babae40c2a004ed3a5"
