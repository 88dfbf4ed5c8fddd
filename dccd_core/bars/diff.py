"""Stored rows held against another source of the same: bars against trades, any rows against the venue.

Nothing is changed by it. What differs is told row by row, as many rows as anybody looks at.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from dccd_core.bars.claims import opening_in, touched
from dccd_core.bars.derive import Style, built_bars, known_trades
from dccd_core.bars.longer import proven, whole_bars
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import DAY, HOUR, TimeRange, Us, union
from dccd_core.exchanges import get
from dccd_core.fetch.collect import collect
from dccd_core.fetch.paging.style import FetchStats
from dccd_core.fetch.planner import settled
from dccd_core.fetch.venue import Venue
from dccd_core.lake.lake import LakeStore
from dccd_core.tables import RECEIVED

MOST: Final = 10_000
"""Differences that are told."""
_NEAR: Final = 1e-9
"""How far apart, as a share, two sums of the same amounts may be."""
_PAGE: Final = 500
_ROUNDED: Final = ("quote_volume", "trades")
"""What venues round, or count otherwise: it is not compared."""
_OTHER: Final = "_other"
_HERE: Final = "_here"
_THERE: Final = "_there"


@dataclass(frozen=True, slots=True)
class Difference:
    """One row that two sources do not tell alike: when, by what it is known, and how it differs."""

    at: Us
    name: str
    said: str


@dataclass(slots=True)
class Diff:
    """``compared``: rows that at least one source has; ``differ`` of them; ``found``: the first of those.

    ``parts``: the time that was compared.
    """

    compared: int = 0
    differ: int = 0
    found: list[Difference] = field(default_factory=list[Difference])
    parts: list[TimeRange] = field(default_factory=list[TimeRange], compare=False)

    def add(
        self, dataset: Dataset, ours: pl.DataFrame, theirs: pl.DataFrame, within: TimeRange | None = None
    ) -> None:
        """Compare what both have; of what only we have just that which lies ``within``."""
        key = list(dataset.data_type.table.key)
        both = _beside(key, ours.drop_nulls(key), theirs.drop_nulls(key))
        if within:
            inside = pl.col("_at").is_between(within.start, within.end, closed="left")
            both = both.filter(pl.col(_THERE) | inside)
        if "volume" in both.columns:  # a quiet bar that one source does not tell is no difference
            quiet = pl.min_horizontal("volume", f"volume{_OTHER}") == 0
            both = both.filter((pl.col(_HERE) & pl.col(_THERE)) | ~quiet)
        columns = [name for name in ours.columns if name not in (*key, "ts", RECEIVED, *_ROUNDED)]
        same = pl.all_horizontal(_HERE, _THERE, *(_same(both.schema[name], name) for name in columns))
        differ = both.filter(~same.fill_null(value=False)).sort("ts")
        self.compared += both.height
        self.differ += differ.height
        for row in differ.head(MOST - len(self.found)).iter_rows(named=True):
            name = "" if key == ["ts"] else " ".join(str(row[part]) for part in key)
            self.found.append(Difference(Us(int(row["_at"])), name, _said(row, columns)))


def against_trades(lake: LakeStore, dataset: Dataset, span: TimeRange | None = None) -> Diff:
    """Hold stored bars against those that the stored trades of the symbol make, where both are proven."""
    bar, trades, diff = dataset.span, dataset.source, Diff()
    assert bar is not None
    assert trades is not None
    states = lake.all_known(dataset)
    endpoint = get(dataset.exchange).endpoint(dataset.symbol.market_type, dataset.data_type)
    style = Style(sparse=endpoint.sparse, carries_open=endpoint.carries_open) if endpoint else Style()
    for part in _both_known(lake, trades, bar, proven(state.ledger for state in states.values()), span):
        for piece in part.split(Us(bar * max(1, DAY // bar))):
            diff.add(
                dataset, lake.scan(dataset, piece).collect(), built_bars(lake, trades, piece, bar, style)
            )
            diff.parts.append(piece)
    return diff


async def against_venue(venue: Venue, lake: LakeStore, dataset: Dataset, span: TimeRange) -> Diff:
    """Hold stored rows against what the venue answers of the same time, as far as that is final.

    Raises:
        DccdError: the venue cannot be asked.
    """
    diff = Diff()
    final = settled(dataset, venue.clock.now(), venue.exchange.finality_delay)
    part = span.clip(TimeRange(Us(0), final))
    if part is None:
        return diff
    for piece in part.split(Us(dataset.span * _PAGE) if dataset.span else HOUR):
        await compare_piece(venue, lake, dataset, piece, diff, FetchStats())
    return diff


async def compare_piece(
    venue: Venue, lake: LakeStore, dataset: Dataset, piece: TimeRange, diff: Diff, stats: FetchStats
) -> None:
    """Hold a piece of time that is final against what the venue answers, all of it at once.

    Raises:
        DccdError: the venue cannot be asked.
    """
    near = dataset.data_type.table.tolerance  # so far apart two sources may time one row
    theirs = [page.rows async for page in collect(venue, dataset, piece, stats)]
    wide = TimeRange(Us(piece.start - near), Us(piece.end + near))
    diff.add(dataset, lake.scan(dataset, wide).collect(), pl.concat(theirs), piece)
    diff.parts.append(piece)


def newest_hour(lake: LakeStore, dataset: Dataset, now: Us) -> TimeRange | None:
    """Return the newest hour that is covered, of longer bars the newest one; None: nothing is."""
    known = [part for state in lake.all_known(dataset).values() for part in state.ledger.covered()]
    end = max((min(part.end, now) for part in known if part.start < now), default=None)
    return None if end is None else TimeRange(Us(end - max(HOUR, dataset.span or HOUR)), end)


def _both_known(
    lake: LakeStore, trades: Dataset, bar: Us, bars: Sequence[TimeRange], span: TimeRange | None
) -> Iterator[TimeRange]:
    """Yield the time of whole bars that are proven, and of which all trades are."""
    wanted = [part for one in bars if (part := one.clip(span) if span else one)]
    for one in wanted:
        known = union(part for day in known_trades(lake, trades, touched(one, bar)) for part in day)
        for run in whole_bars(known, bar):
            if part := run.clip(one):
                opening = opening_in(part, bar).clip(run)
                yield from [opening] if opening else []


def _beside(key: Sequence[str], ours: pl.DataFrame, theirs: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of both side by side; ``_at``: when, in microseconds, by whoever has it."""
    here, there = (
        ours.with_columns(pl.lit(value=True).alias(_HERE)),
        theirs.with_columns(pl.lit(value=True).alias(_THERE)),
    )
    both = here.join(there, on=key, how="full", suffix=_OTHER, coalesce=True)
    at = pl.coalesce(name for name in ("ts", f"ts{_OTHER}") if name in both.columns)
    return both.with_columns(
        pl.col(_HERE, _THERE).fill_null(value=False), at.to_physical().alias("_at"), at.alias("ts")
    )


def _same(dtype: pl.DataType, name: str) -> pl.Expr:
    """Whether both tell a column alike; what one does not tell is no difference."""
    ours, theirs = pl.col(name), pl.col(f"{name}{_OTHER}")
    alike = (ours - theirs).abs() <= _NEAR * ours.abs() if name == "volume" else ours == theirs
    return alike | ours.is_null() | theirs.is_null() if dtype != pl.Null else pl.lit(value=True)


def _said(row: Mapping[str, object], columns: Sequence[str]) -> str:
    if not row[_THERE]:
        return "only here"
    if not row[_HERE]:
        return "missing here"
    pairs = ((name, row[name], row[f"{name}{_OTHER}"]) for name in columns)
    told = ((name, ours, theirs) for name, ours, theirs in pairs if None not in (ours, theirs))
    return ", ".join(f"{name} is {ours}, there {theirs}" for name, ours, theirs in told if ours != theirs)
