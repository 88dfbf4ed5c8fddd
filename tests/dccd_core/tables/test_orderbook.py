"""How pictures of a book are put in order, and what tells their rows apart."""

from itertools import product
from random import Random

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from dccd_core.tables import TIME, Grain
from dccd_core.tables.orderbook import TABLE

PLACES = list(product([0, 1], ["bid", "ask"], [0, 1, 2, 10]))


@given(st.integers())
def test_bids_stand_before_asks_the_best_first(seed: int) -> None:
    came = PLACES[:]
    Random(seed).shuffle(came)
    of = {"ts": pl.Int64, "side": TABLE.schema["side"], "level": pl.Int32}
    rows = pl.DataFrame(came, schema=of, orient="row").cast({"ts": TIME})
    assert rows.sort(TABLE.order).select(pl.col("ts").to_physical(), "side", "level").rows() == PLACES


def test_each_level_of_a_moment_is_one_row_and_the_last_word_counts() -> None:
    assert set(TABLE.key) == {"ts", "side", "level"}
    assert TABLE.last_wins
    assert not TABLE.nameless
    assert TABLE.pictures


def test_they_are_kept_by_days() -> None:
    assert TABLE.grain(None) is Grain.DAY
