"""Rows of dccd 3 made rows of ours: columns, units of time, order, sanity. Pure; what was done is counted.

First each batch as it is read (``timed``), then all rows of some minutes together (``Cleaner.bucket``).
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import DamagedFile
from dccd_core.domain.timespan import MONDAY, WEEK, ZERO, TimeRange, Us
from dccd_core.exchanges import get
from dccd_core.imports.quirks import Quirk, Refusal, Remark, Repair
from dccd_core.lake.partition.merge import TWICE, unite
from dccd_core.lake.partition.quarantine import REASON
from dccd_core.quality.sanity import split_valid
from dccd_core.tables import TIME, Table

OLDER: Final = "_older"
"""A column beside those of the table: whether dccd 2 wrote the row."""
_WHEN: Final = "TS"
_PICTURE: Final = "is_snapshot"
_RENAMED: Final = {"quoteVolume": "quote_volume", "tid": "trade_id", "type": "side"}
"""How dccd 2 and 3 call what has another name here. What is called otherwise still is not known here."""
_LEVEL: Final = "level"
_BEHIND: Final = 1e30
"""More than any price."""
_WORDS: Final = {"b": "buy", "s": "sell", "bids": "bid", "asks": "ask"}
_OTHER_SIDE: Final = {"buy": "sell", "sell": "buy"}
_NO_ID: Final = ("", "None", "nan")

_STEPS: Final = ((10**11, 10**6), (10**14, 10**3), (10**17, 1))
"""A number below the first is in a unit of so many microseconds: seconds until the year 5138, and so on."""
_BLUR: Final = 256
"""Nanoseconds: as far apart are two floats that hold nanoseconds since 1970."""


@dataclass(slots=True)
class Counts:
    """What became of rows: ``read`` of them, so many repaired and refused, for which reasons."""

    read: int = 0
    repaired: Counter[str] = field(default_factory=Counter[str])
    refused: Counter[str] = field(default_factory=Counter[str])
    remarks: set[str] = field(default_factory=set[str])

    def repair(self, how: str, rows: int) -> None:
        if rows:
            self.repaired[how] += rows


@dataclass(slots=True)
class Cleaner:
    """Cleans the rows of one file of a dataset.

    Args:
        dataset: what they are here.
        quirk: what dccd 3 did to them.
        period: of which time the file is, by its name.
        modified: when it was written last: what ended later was not over.
        now: this moment.
        trusted: what can only be reckoned of them is reckoned.
    """

    dataset: Dataset
    quirk: Quirk
    period: TimeRange
    modified: Us
    now: Us
    trusted: bool = False
    counts: Counts = field(default_factory=Counts)
    first: Us | None = None
    """The earliest time that it has seen, and the latest, as dccd 3 counts time."""
    last: Us | None = None
    _before: pl.DataFrame | None = None
    """The last bar of the bucket before."""

    @property
    def table(self) -> Table:
        return self.dataset.data_type.table

    def timed(self, rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Return the rows of a batch, those of the table and ``OLDER``, and those whose time cannot be so.

        Raises:
            DamagedFile: they lack what nobody can do without.
        """
        self.counts.read += rows.height
        ours = _in_our_columns(self.table, rows)
        self.counts.repair(Repair.NO_SIDE, _without_side(ours) - _without_side(rows.rename(_known(rows))))
        rows = self._with_time(ours)
        self._look_at_order(rows)
        shift = self.dataset.span or ZERO if self.quirk.closes else ZERO
        if shift:
            self.counts.repair(Repair.CLOSE, rows.height)
            rows = rows.with_columns(_time(pl.col("ts").to_physical() - shift))
        at = pl.col("ts").to_physical()
        reason = (
            pl.when(pl.col("ts").is_null()).then(pl.lit(Refusal.NO_TIME.value))
            .when(at > self.now).then(pl.lit(Refusal.FUTURE.value))
        )  # fmt: skip
        judged = rows.with_columns(reason.alias(REASON))
        good = judged.filter(pl.col(REASON).is_null()).drop(REASON)
        bad = judged.filter(pl.col(REASON).is_not_null())
        period = TimeRange(Us(self.period.start - shift), Us(self.period.end - shift))
        elsewhere = good.select(((at < period.start) | (at >= period.end)).sum()).item()
        self.counts.repair(Repair.PLACE, int(elsewhere))
        return good, self._refused(bad.drop(OLDER), Refusal.NO_TIME)

    def bucket(self, rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Return all rows of some time: good ones, in order and each once, and refused ones with reasons."""
        rows, changes = self._without_changes(rows)
        rows, untold = self._without_untold(rows)
        rows = self._mended(rows).sort("ts", maintain_order=True)
        rows, twice = self._united(rows)
        rows, odd = self._judged(rows)
        refused = [changes, untold, *twice, *odd]
        return rows, pl.concat([one.select(*self.table.schema, REASON) for one in refused])

    def _with_time(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Put our time in the place of theirs, whatever its unit."""
        when, dtype = pl.col(_WHEN), rows.schema[_WHEN]
        if isinstance(dtype, pl.Date | pl.Datetime):
            rows = rows.with_columns(when.cast(pl.Datetime("ns")).to_physical())
        elif not dtype.is_numeric():
            raise DamagedFile(f"{_WHEN} is {dtype}, no number")
        micros = (when.cast(pl.Float64) * _STEPS[0][1]).round().cast(pl.Int64)
        scaled = pl.when(when <= 0).then(None).when(when < _STEPS[0][0]).then(micros)
        for below, unit in _STEPS[1:]:
            scaled = scaled.when(when < below).then(when.cast(pl.Int64, strict=False) * unit)
        floored = (when.cast(pl.Int64, strict=False) + self._blur(rows)).floordiv(1_000)
        found = scaled.otherwise(floored)
        older = (when < _STEPS[-1][0]).fill_null(value=False)
        rows = rows.with_columns(_time(found), older.alias(OLDER))
        self.counts.repair(Repair.UNITS, int(rows.select((pl.col(OLDER) & found.is_not_null()).sum()).item()))
        return rows.select(*self.table.schema, *(name for name in (_PICTURE,) if name in rows.columns), OLDER)

    def _blur(self, rows: pl.DataFrame) -> int:
        """Return what to add to nanoseconds so that those that passed through a float are right again.

        They lie so near to whole microseconds that they can have been nothing else.
        """
        if not rows.schema[_WHEN].is_integer() or self.dataset.span:
            return 0
        finer = rows.select(pl.col(_WHEN).filter(pl.col(_WHEN) >= _STEPS[-1][0]) % 1_000).to_series()
        between = ((finer > _BLUR) & (finer < 1_000 - _BLUR)).any()
        moved = 0 if between else int((finer >= 1_000 - _BLUR).sum())
        self.counts.repair(Repair.FLOAT, moved)
        return _BLUR if moved else 0

    def _look_at_order(self, rows: pl.DataFrame) -> None:
        times = rows["ts"].to_physical().drop_nulls()
        if times.is_empty():
            return
        back = int((times.diff() < 0).sum()) + int(self.last is not None and int(times[0]) < self.last)
        self.counts.repair(Repair.ORDER, back)
        last = Us(int(times.max()))  # pyright: ignore[reportArgumentType] -- an integer
        self.last = last if self.last is None else max(self.last, last)
        first = Us(int(times.min()))  # pyright: ignore[reportArgumentType] -- likewise
        self.first = first if self.first is None else min(self.first, first)

    def _without_changes(self, rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Part pictures of an order book from changes of one, which are no picture without the others."""
        if _PICTURE not in rows.columns:
            return rows, self._refused(rows.clear(), Refusal.CHANGE)
        whole = pl.col(_PICTURE).fill_null(value=True)
        return rows.filter(whole).drop(_PICTURE), self._refused(
            rows.filter(~whole).drop(_PICTURE), Refusal.CHANGE
        )

    def _without_untold(self, rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Part bars whose volume was told from those of which it could only be reckoned."""
        if self.trusted or not self.quirk.contracts or self.dataset.span is None:
            return rows, self._refused(rows.clear(), Refusal.CONTRACTS)
        told = (pl.col("volume") == 0).fill_null(value=False)
        return rows.filter(told), self._refused(rows.filter(~told), Refusal.CONTRACTS)

    def _mended(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Turn sides and amounts into what they mean here."""
        names, quirk = self.table.schema.names(), self.quirk
        if quirk.makers and "trade_id" in names:
            self.counts.repair(Repair.MAKER, rows["side"].count())
            rows = rows.with_columns(
                pl.col("side").cast(pl.String).replace(_OTHER_SIDE).cast(self.table.schema["side"])
            )
        if quirk.contracts and "amount" in names:
            self.counts.repair(Repair.CONTRACTS, rows.height)
            rows = rows.with_columns(pl.col("amount") / pl.col("price"))
        elif quirk.contracts:
            self.counts.repair(Repair.VOLUME, rows.height)
            middle = (pl.col("high") + pl.col("low")) / 2
            rows = rows.with_columns(pl.col("volume") / middle, quote_volume=pl.col("volume"))
        if self.table.two_sided and rows.height:
            if quirk.own_clock:
                self.counts.remarks.add(Remark.OWN_CLOCK)
            told = rows.unique(["ts", "side", "price"], keep="last", maintain_order=True)
            self.counts.repair(Repair.TWICE, rows.height - told.height)
            rows = told.with_columns(_levels())
        return rows

    def _united(self, rows: pl.DataFrame) -> tuple[pl.DataFrame, list[pl.DataFrame]]:
        """Return each row once, dccd 3's rather than dccd 2's, and what there is to refuse."""
        clashes, data_type = list[pl.DataFrame](), self.dataset.data_type
        older, newer = (rows.filter(pl.col(OLDER) == old).drop(OLDER) for old in (True, False))
        older, filled = self._without_filled(older)
        both = unite(data_type, unite(data_type, older.clear(), older, clashes), newer, clashes)
        twice = sum(clash.height for clash in clashes)
        self.counts.repair(Repair.TWICE, older.height + newer.height - both.height - twice)
        return both, [filled, *(self._refused(clash, TWICE) for clash in clashes)]

    def _without_filled(self, rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Take out the bars that dccd 2 made of the one before: no two bars with trades are alike in all."""
        if self.dataset.span is None or rows.is_empty():
            return rows, self._refused(rows.clear(), Refusal.FILLED)
        names = [name for name in rows.columns if name != "ts"]
        whole = rows if self._before is None else pl.concat([self._before, rows])
        same = pl.all_horizontal(pl.col(name).eq_missing(pl.col(name).shift(1)) for name in names)
        follows = pl.col("ts").to_physical() - pl.col("ts").to_physical().shift(1) == self.dataset.span
        copied = whole.select((same & follows & (pl.col("volume") > 0)).fill_null(value=False)).to_series()
        copied = copied.slice(whole.height - rows.height)
        self._before = rows.tail(1)
        return rows.filter(~copied), self._refused(rows.filter(copied), Refusal.FILLED)

    def _judged(self, rows: pl.DataFrame) -> tuple[pl.DataFrame, list[pl.DataFrame]]:
        """Part what can be true from what cannot."""
        span, data_type = self.dataset.span, self.dataset.data_type
        running = rows.clear()
        if span:
            over = ~self._may_be_running(span)
            rows, running = rows.filter(over), rows.filter(~over)
        endpoint = get(self.dataset.exchange).endpoint(self.dataset.symbol.market_type, data_type)
        carried = endpoint is not None and endpoint.carries_open
        good, odd = split_valid(data_type, rows, span, carried_open=carried)
        if span and self.quirk.day_begins and odd.height:
            odd = odd.with_columns(pl.when(self._is_theirs(span)).then(pl.lit(Refusal.HONG_KONG.value))
                                   .otherwise(REASON).alias(REASON))  # fmt: skip
        for reason, count in odd.group_by(REASON).len().iter_rows():
            self.counts.refused[str(reason)] += int(count)
        if "trade_id" in good.columns and good["trade_id"].null_count():
            self.counts.remarks.add(Remark.NO_ID)
        return good, [self._refused(running, Refusal.RUNNING), odd]

    def _may_be_running(self, span: Us) -> pl.Expr:
        """Whether a bar was not over when it was stored: only the newest of a file can be."""
        opens = pl.col("ts").to_physical()
        newest = (self.last or ZERO) - (span if self.quirk.closes else ZERO)
        return (opens == newest) & (opens + span > self.modified)

    def _is_theirs(self, span: Us) -> pl.Expr:
        """Whether a bar off our grid is on that of an exchange whose day begins at another time."""
        anchor = (MONDAY if span % WEEK == 0 else 0) - self.quirk.day_begins
        at = pl.col("ts").to_physical()
        return ((at - anchor) % span == 0) & ((at - anchor - self.quirk.day_begins) % span != 0)

    def _refused(self, rows: pl.DataFrame, reason: str) -> pl.DataFrame:
        """Return refused rows with the reason; one that is there already stays."""
        if REASON not in rows.columns:
            rows = rows.with_columns(pl.lit(str(reason)).alias(REASON))
        for each, count in rows.group_by(REASON).len().iter_rows():
            self.counts.refused[str(each)] += int(count)
        return rows.select(*self.table.schema, REASON)


def _in_our_columns(table: Table, rows: pl.DataFrame) -> pl.DataFrame:
    """Give columns our names and types; those that are not here become null.

    Raises:
        DamagedFile: one that every row needs is not there.
    """
    rows = rows.rename(_known(rows))
    needed = [_WHEN, *(name for name in table.required if name not in ("ts", _LEVEL))]
    if lacking := [name for name in needed if name not in rows.columns]:
        raise DamagedFile(f"it has no column {', '.join(lacking)}")
    kept = [name for name in (_WHEN, _PICTURE) if name in rows.columns]
    for name in rows.columns:
        if name in (_PICTURE, *table.schema):
            _refuse_odd(name, rows.schema[name])
    typed = [_typed(name, dtype, rows) for name, dtype in table.schema.items() if name != "ts"]
    return rows.select(*kept, *typed)


def _refuse_odd(name: str, found: pl.DataType) -> None:
    """Refuse a column that nobody can make numbers, words or a yes and no of.

    Raises:
        DamagedFile: it is one.
    """
    if name == _PICTURE:
        odd = not isinstance(found, pl.Boolean | pl.Null)
    else:
        odd = found.is_nested() or found.is_temporal() or isinstance(found, pl.Binary | pl.Object)
    if odd:
        raise DamagedFile(f"its column {name} is {found}")


def _known(rows: pl.DataFrame) -> dict[str, str]:
    return {old: new for old, new in _RENAMED.items() if old in rows.columns and new not in rows.columns}


def _without_side(rows: pl.DataFrame) -> int:
    return rows["side"].null_count() if "side" in rows.columns else 0


def _typed(name: str, dtype: pl.DataType, rows: pl.DataFrame) -> pl.Expr:
    if name not in rows.columns:
        return pl.lit(None, dtype).alias(name)
    column = pl.col(name)
    if isinstance(dtype, pl.Enum):
        column = column.cast(pl.String).str.to_lowercase().replace(_WORDS)
    if dtype == pl.String:
        column = column.cast(pl.String)
        column = pl.when(~column.is_in(_NO_ID)).then(column).alias(name)
    return column.cast(dtype, strict=False)


def _time(micros: pl.Expr) -> pl.Expr:
    return micros.cast(TIME).alias("ts")


def _levels() -> pl.Expr:
    """The place of each level on its side: the highest bid and the lowest ask come first, empty ones last."""
    bid = pl.col("side").cast(pl.String) == "bid"
    price = pl.when(bid).then(-pl.col("price")).otherwise(pl.col("price"))
    behind = pl.when(pl.col("amount") > 0).then(0.0).otherwise(_BEHIND)
    return ((price + behind).rank("ordinal").over("ts", "side") - 1).cast(pl.Int32).alias(_LEVEL)
