"""Rows as JSON text: each row's own values, digits and all."""

import json
from decimal import Decimal

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dccd_core.testing.sandbox.text import decimals, rows


@given(st.lists(st.integers(0, 10**15), min_size=1, max_size=20), st.integers(0, 8), st.integers(0, 3))
def test_whole_multiples_are_written_without_loss(values: list[int], scale: int, more: int) -> None:
    shown = scale + more
    columns = decimals(np.array(values, np.int64), scale, shown)
    template = f'"%d.%0{shown}d"' if shown else '"%d.%d"'
    texts = json.loads(rows(template, columns))
    assert [Decimal(text) for text in texts] == [Decimal(value).scaleb(-scale) for value in values]
    assert all(len(text.partition(".")[2]) == max(shown, 1) for text in texts)


@given(
    st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), st.sampled_from(["buy", "sell", ""])), max_size=20)
)
def test_columns_become_rows_in_their_order(given_: list[tuple[int, str]]) -> None:
    numbers = np.array([number for number, _ in given_], np.int64)
    sides = np.array([side for _, side in given_], np.str_)
    assert json.loads(rows('[%d,"%s"]', [numbers, sides])) == [list(one) for one in given_]
