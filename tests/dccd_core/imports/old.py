"""A store as dccd 3.8.1 lays it out, written by ourselves: its columns, folders and defects."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import polars as pl

from dccd_core.domain.timespan import MINUTE, Us, parse_time

NS = 1_000
BAR = {
    "TS": pl.Int64,
    "open": pl.Float64,
    "high": pl.Float64,
    "low": pl.Float64,
    "close": pl.Float64,
    "volume": pl.Float64,
    "quote_volume": pl.Float64,
    "trades": pl.Int64,
}
TRADE = {"TS": pl.Int64, "price": pl.Float64, "amount": pl.Float64, "side": pl.String, "tid": pl.String}
BOOK = {
    "TS": pl.Int64,
    "side": pl.String,
    "price": pl.Float64,
    "amount": pl.Float64,
    "count": pl.Int64,
    "is_snapshot": pl.Boolean,
}
NOW = parse_time("2026-11-29T12:00Z")


def at(text: str) -> Us:
    return parse_time(text)


class Old:
    """A store of dccd 3 in a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, name: str, rows: pl.DataFrame, *, modified: Us | None = None) -> Path:
        """Write a file as dccd 3 does; it was written last in the year after it, unless it is said when."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        rows.write_parquet(path, compression="snappy", metadata={"dccd.provenance": '{"source":"test:rest"}'})
        when = (modified or NOW) / 1e6
        os.utime(path, (when, when))
        return path

    def marks(self) -> dict[str, tuple[int, int]]:
        """Return what changes when anything is written here."""
        found = list(self.root.rglob("*"))
        return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in found}


def bars(start: str | Us, count: int, every: Us = MINUTE, **columns: object) -> pl.DataFrame:
    """So many bars in a row, each a little dearer; ``columns`` replace what they hold."""
    first = at(start) if isinstance(start, str) else start
    price = [100.0 + n for n in range(count)]
    rows = pl.DataFrame(
        {
            "TS": [(first + n * every) * NS for n in range(count)],
            "open": price,
            "high": [one + 2 for one in price],
            "low": [one - 2 for one in price],
            "close": [one + 1 for one in price],
            "volume": [10.0 + n for n in range(count)],
            "quote_volume": [1000.0 + n for n in range(count)],
            "trades": [5 + n for n in range(count)],
        },
        schema=BAR,
    )
    return rows.with_columns(
        **{
            name: pl.Series(list(value) if isinstance(value, Sequence) else [value] * count)  # type: ignore[arg-type]
            for name, value in columns.items()
        }
    )


def trades(rows: Iterable[tuple[int, float, str | None]], day: str = "2024-01-31") -> pl.DataFrame:
    """Trades by the microsecond of their day, price and id."""
    rows, first = list(rows), at(day)
    return pl.DataFrame(
        {
            "TS": [(first + when) * NS for when, _, _ in rows],
            "price": [price for _, price, _ in rows],
            "amount": [0.5] * len(rows),
            "side": ["buy"] * len(rows),
            "tid": [name for _, _, name in rows],
        },
        schema=TRADE,
    )


def picture(when: int, bids: Sequence[float], asks: Sequence[float], *, whole: bool = True) -> pl.DataFrame:
    """A picture of an order book at a microsecond since 1970, the levels as they come."""
    sides = [("bid", price) for price in bids] + [("ask", price) for price in asks]
    return pl.DataFrame(
        {
            "TS": [when * NS] * len(sides),
            "side": [side for side, _ in sides],
            "price": [price for _, price in sides],
            "amount": [1.0] * len(sides),
            "count": [None] * len(sides),
            "is_snapshot": [whole] * len(sides),
        },
        schema=BOOK,
    )
