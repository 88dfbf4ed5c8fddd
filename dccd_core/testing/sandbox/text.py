"""JSON text of many rows at once, from whole columns."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dccd_core.testing.sandbox.hashing import Ints


def decimals(values: Ints, scale: int, shown: int) -> list[Ints]:
    """Split whole multiples of ``10**-scale`` for ``%d.%0{shown}d``; ``scale`` is at most ``shown``."""
    whole, rest = np.divmod(values, 10**scale)
    return [whole, rest * 10 ** (shown - scale)]


def rows(template: str, columns: Sequence[Ints | NDArray[np.str_]]) -> bytes:
    """Fill ``template`` once per row with one value of each column, as a JSON array."""
    count, width = columns[0].size, len(columns)
    values: list[object] = [None] * (count * width)
    for position, column in enumerate(columns):
        values[position::width] = column.tolist()
    return f"[{','.join([template] * count) % tuple(values)}]".encode()
