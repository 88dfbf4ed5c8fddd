"""How trades are put in order: by time, then as the exchange numbers them, else as they came."""

from random import Random

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from dccd_core.domain.timespan import HOUR
from dccd_core.tables import ARRIVAL, TIME, Grain
from dccd_core.tables.trades import TABLE

NUMBER = st.tuples(st.integers(0, 2), st.integers(0, 10**30))
NUMBERED = st.lists(NUMBER, unique_by=lambda one: one[1], max_size=20)


def arrived(rows: list[tuple[int, str | None]]) -> pl.DataFrame:
    names = pl.Series("trade_id", [name for _, name in rows], dtype=pl.String)
    times = pl.Series("ts", [at for at, _ in rows], dtype=pl.Int64).cast(TIME)
    return (
        pl.DataFrame([times, names]).with_row_index(ARRIVAL).sample(fraction=1, shuffle=True, seed=len(rows))
    )


def in_order(rows: list[tuple[int, str | None]]) -> list[tuple[int, str | None]]:
    ordered = arrived(rows).sort(TABLE.order, maintain_order=False)
    return ordered.select(pl.col("ts").to_physical(), "trade_id").rows()


@given(NUMBERED, st.integers())
def test_numbers_order_as_numbers_however_long_and_however_they_came(
    rows: list[tuple[int, int]], seed: int
) -> None:
    came = [(at, str(number)) for at, number in rows]
    Random(seed).shuffle(came)
    assert in_order([*came]) == [(at, str(number)) for at, number in sorted(rows)]


@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["b", "a-1", "1a", None])), max_size=20))
def test_other_names_and_none_keep_the_order_they_came_in(rows: list[tuple[int, str | None]]) -> None:
    assert in_order([*rows]) == sorted(rows, key=lambda one: one[0])


def test_of_one_moment_those_without_a_number_come_first() -> None:
    assert in_order([(1, "7"), (1, "x"), (1, None), (0, "9")]) == [(0, "9"), (1, "x"), (1, None), (1, "7")]


def test_they_are_kept_by_days_whatever_is_asked() -> None:
    assert {TABLE.grain(None), TABLE.grain(HOUR)} == {Grain.DAY}


def test_trades_may_lack_what_tells_them_apart() -> None:
    assert TABLE.nameless
    assert TABLE.numbered
