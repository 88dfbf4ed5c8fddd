"""What a pager gives, and what it is: sans I/O, the caller carries requests out and answers in.

A pager follows one window to its end. An answer that stops short is asked again from where it stopped,
so the size of the pages never matters. Windows do not overlap and do not depend on one another, so any
number of them can be followed at once.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import polars as pl

from dccd_core.adapter.contract import Request, Response
from dccd_core.adapter.salvage import concerning
from dccd_core.domain.timespan import TimeRange, Us
from dccd_core.lake.partition.merge import TWICE


@dataclass(frozen=True, slots=True, order=True)
class TradeRef:
    """A trade that was seen: its id and its time."""

    id: int
    at: Us


@dataclass(frozen=True, slots=True)
class Page:
    """New rows, in order.

    ``until``: every row before it has been given. ``cut``: what follows is not final yet.
    ``misplaced``: rows that are not believed, each with its ``reason``. ``since``: what lies before it
    cannot be had; None: all of it came.
    """

    rows: pl.DataFrame
    until: Us
    cut: bool = False
    misplaced: pl.DataFrame | None = None
    since: Us | None = None


class Pager(Protocol):
    def request(self) -> Request | None:
        """Return what to ask next, or None when the window is covered."""
        ...

    def receive(self, response: Response) -> Page | None:
        """Take the answer to the last request; None: there is nothing to give before the next one.

        A failure leaves the pager as it was: ask again.
        """
        ...


def taken(misplaced: list[pl.DataFrame], until: Us | None = None) -> pl.DataFrame | None:
    """Return what was not believed so far, up to a moment, and forget it; None where that is nothing."""
    some = [rows for rows in misplaced if rows.height]
    misplaced.clear()
    if not some:
        return None
    rows = pl.concat(some)
    rows = rows if until is None else concerning(rows, Us(0), until)
    return rows if rows.height else None


def once(rows: pl.DataFrame, key: str = "ts") -> tuple[pl.DataFrame, pl.DataFrame | None]:
    """Part rows, which are in the order of time, that share a key: equal ones are one row.

    Of unequal ones nobody knows which is right, so none is believed: those come back apart, with the reason.
    """
    if key == "ts" and np.diff(rows["ts"].cast(pl.Int64).to_numpy()).all():
        return rows, None
    rows = rows.unique(maintain_order=True)
    clash = rows[key].is_duplicated() & rows[key].is_not_null()
    if not clash.any():
        return rows, None
    return rows.filter(~clash), rows.filter(clash).with_columns(reason=pl.lit(TWICE))


def within(rows: pl.DataFrame, span: TimeRange) -> pl.DataFrame:
    """Return the part of ``rows``, which are in the order of time, that lies in ``span``."""
    first, end = np.searchsorted(rows["ts"].cast(pl.Int64).to_numpy(), (span.start, span.end))
    return rows.slice(int(first), int(end - first))


def latest(rows: pl.DataFrame) -> Us | None:
    return Us(int(rows["ts"].cast(pl.Int64)[-1])) if rows.height else None


def earliest(rows: pl.DataFrame) -> Us | None:
    return Us(int(rows["ts"].cast(pl.Int64)[0])) if rows.height else None


def trade_ref(rows: pl.DataFrame) -> TradeRef | None:
    at = earliest(rows)
    return None if at is None else TradeRef(int(rows["trade_id"][0]), at)
