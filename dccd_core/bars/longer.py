"""Longer bars out of shorter ones. Pure.

A long bar is made only where all of its time is proven: every short bar of it is there, or nothing was traded
in it. The others are left out, however many of their short bars there are.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import polars as pl

from dccd_core.bars.aggregate import PRICES, decimals_of, divided, whole_numbers
from dccd_core.domain.barspan import bar_open, format_bar_span, parse_bar_span
from dccd_core.domain.errors import ConfigError
from dccd_core.domain.timespan import DAY, MONDAY, WEEK, TimeRange, Us, moment, us
from dccd_core.lake.partition.ledger import ACCEPTED, Ledger
from dccd_core.tables import TIME, DataType

_MONTHS: Final = re.compile(r"(\d+)mo")
_YEAR: Final = 12
_SUMS: Final = ("volume", "quote_volume")
_MOVED: Final = ("open", "high", "low", "close")
_AT_ONCE: Final = 500_000
"""Short bars that are read at once: some 50 MB."""


@dataclass(frozen=True, slots=True)
class Months:
    """So many calendar months, which divide a year: their length differs."""

    number: int

    def __str__(self) -> str:
        return f"{self.number}mo"


Length: TypeAlias = Us | Months
"""How long a bar is: microseconds, or calendar months."""


def parse_length(text: str | int) -> Length:
    """Read ``1w``, ``4h``, a number of seconds, or months: ``1mo``, ``3mo``.

    Raises:
        ConfigError: it is none of them.

    >>> parse_length("1h"), parse_length("3mo")
    (3600000000, Months(number=3))
    """
    months = _MONTHS.fullmatch(str(text))
    if months is None:
        return parse_bar_span(text)
    number = int(months[1])
    if number == 0 or _YEAR % number:
        raise ConfigError(f"{text} does not divide a year", hint="write 1mo, 2mo, 3mo, 4mo, 6mo or 12mo")
    return Months(number)


def said_length(length: Length) -> str:
    return str(length) if isinstance(length, Months) else format_bar_span(length)


def divides(short: Us, length: Length) -> bool:
    """Return whether bars of ``short`` fill longer ones exactly: their grids meet at every border."""
    if isinstance(length, Months):
        return DAY % short == 0
    weeks_apart = MONDAY if length % WEEK == 0 and short % WEEK else 0
    return short < length and length % short == 0 and weeks_apart % short == 0


def opens_at(at: Us, length: Length) -> Us:
    """Return the open of the long bar that holds ``at``."""
    if not isinstance(length, Months):
        return bar_open(at, length)
    day = moment(at)
    first = day.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return us(first.replace(month=(day.month - 1) // length.number * length.number + 1))


def closes_at(opened: Us, length: Length, bars: int = 1) -> Us:
    """Return where the last of so many ``bars`` ends, of which the first opens at ``opened``."""
    if not isinstance(length, Months):
        return Us(opened + bars * length)
    day = moment(opened)
    months = day.month - 1 + bars * length.number
    return us(day.replace(year=day.year + months // _YEAR, month=months % _YEAR + 1))


def next_open(at: Us, length: Length) -> Us:
    """Return the first open of a long bar that is not before ``at``."""
    opened = opens_at(at, length)
    return at if opened == at else closes_at(opened, length)


def proven(ledgers: Iterable[Ledger]) -> list[TimeRange]:
    """Return the time of which every row is there or proven not to be.

    What somebody has merely accepted is neither.
    """
    known, missing = list[TimeRange](), list[TimeRange]()
    for ledger in ledgers:
        known += ledger.covered()
        missing += [h.span for h in ledger.holes if h.proof is None or h.proof.startswith(ACCEPTED)]
    if not known:
        return []
    whole = TimeRange(min(known).start, max(one.end for one in known))
    return whole.minus([*whole.minus(known), *missing])


def whole_bars(spans: Iterable[TimeRange], length: Length) -> list[TimeRange]:
    """Return what of ``spans``, which do not touch, whole long bars fill."""
    found = list[TimeRange]()
    for span in spans:
        start, end = next_open(span.start, length), opens_at(span.end, length)
        if start < end:
            found.append(TimeRange(start, end))
    return found


def pieces(span: TimeRange, short: Us, length: Length) -> Iterator[TimeRange]:
    """Cut ``span``, which whole long bars fill, into parts that are read at once."""
    at = span.start
    while at < span.end:
        bars = max(1, _AT_ONCE * short // (closes_at(at, length) - at))
        end = min(span.end, closes_at(at, length, bars))
        yield TimeRange(at, end)
        at = end


def longer(bars: pl.DataFrame, length: Length, known: Sequence[TimeRange]) -> pl.DataFrame:
    """Return the long bars that ``bars`` make, in order of time.

    Open first, close last, highest high, lowest low, sums of volumes and counts; a sum of which a part is
    not known is not known. A long bar in which nothing was traded is left out where the short ones are. A
    short one in which nothing was traded stands at an old price, which is none of the long one's if it has
    others.

    Args:
        bars: of the table, of one span that ``divides`` the length, in order of time.
        length: of the bars that are wanted.
        known: the time that is proven; bars of which a part lies outside are left out.
    """
    table = DataType.OHLC.table
    if bars.is_empty():
        return table.empty()
    opens = _opens(bars["ts"], length)
    firsts = opens.unique(maintain_order=True)
    spans = [TimeRange(at, closes_at(at, length)) for at in map(Us, firsts.to_list())]
    whole = pl.DataFrame({"at": firsts, "whole": _within(spans, known)}).filter("whole")
    quiet = (pl.col("volume") == 0) & (pl.col("trades").fill_null(0) == 0) & (pl.col("high") == pl.col("low"))
    decimals = {name: decimals_of(bars[name].drop_nulls()) for name in _SUMS}
    made = (
        bars.with_columns(pl.when(~quiet).then(pl.col(*_MOVED)), at=opens, last=pl.col("close"))
        .join(whole, on="at", how="semi", maintain_order="left")
        .group_by("at", maintain_order=True)
        .agg(
            *PRICES,
            pl.col("last").last(),
            *(_sum(name, whole_numbers(pl.col(name), decimals[name])) for name in _SUMS),
            _sum("trades", pl.col("trades")),
        )
    )
    return made.with_columns(
        pl.col(*_MOVED).fill_null(pl.col("last")),
        *(divided(made[name], decimals[name]) for name in _SUMS),
        ts=pl.col("at").cast(TIME),
    ).select(table.schema.names())


def _sum(name: str, values: pl.Expr) -> pl.Expr:
    return pl.when(pl.col(name).null_count() == 0).then(values.sum()).alias(name)


def _opens(times: pl.Series, length: Length) -> pl.Series:
    if isinstance(length, Months):
        return times.dt.truncate(str(length)).to_physical()
    anchor = MONDAY if length % WEEK == 0 else 0
    return (times.to_physical() - anchor) // length * length + anchor


def _within(spans: Sequence[TimeRange], known: Sequence[TimeRange]) -> list[bool]:
    """Say of each of ``spans``, in order, whether one of ``known``, in order and apart, holds all of it."""
    found, at = list[bool](), 0
    for span in spans:
        while at < len(known) and known[at].end < span.end:
            at += 1
        found.append(at < len(known) and known[at].start <= span.start)
    return found
