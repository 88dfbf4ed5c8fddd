"""A page of which not every row can be read: the others are given, those are told apart, with the reason.

A page is decoded as a whole, and only when that fails row by row, so good pages cost nothing. It knows no
venue: rows are the members of the innermost lists of lists or objects, whatever stands around them, and the
endpoint's own ``decode`` reads any selection of them.

What can still be told of a row that cannot be read is told: its broken cells are found by putting its cells
into a good row, one by one, and every column that does not depend on them keeps its value.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import msgspec
import polars as pl

from dccd_core.adapter.contract import Response
from dccd_core.domain.errors import DccdError, PayloadError, Unavailable
from dccd_core.domain.timespan import DAY, MINUTE, Us

Decode: TypeAlias = Callable[[bytes, Us], pl.DataFrame]
REASON: Final = "reason"
LATER: Final = "its time is later than the venue's clock"
SKEW: Final = MINUTE
"""How far a venue's servers may disagree about the time; its ``Date`` is cut to seconds besides."""
_UNDATED: Final = DAY
"""Likewise where the venue tells no time and only ours is known, which may be wrong."""
_CREDIT: Final = 20
"""So many rows more than the good ones of a page may be bad, if good ones came before: the last page of a
pager may hold nothing but the bad row that the one before it ended with."""
_BOM: Final = b"\xef\xbb\xbf"
_TRIED: Final = 8
_SHOWN: Final = 300
_NO_NUMBER: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|-?\b(?:NaN|nan|Infinity|inf)\b')
_SCALARS: Final = {b"[": list[msgspec.Raw], b"{": dict[str, msgspec.Raw]}

_BAD: Final = (PayloadError, Unavailable)


@dataclass(frozen=True, slots=True)
class Decoded:
    """``rows`` of the data type's table, oldest first; ``refused``: others, each with its ``reason``.

    What nobody can tell of a refused row is null, its time too.
    """

    rows: pl.DataFrame
    refused: pl.DataFrame


@dataclass(slots=True)
class Salvage:
    """Reads what one pager is answered; a page of bad rows alone is held against what it read before."""

    decode: Decode
    _seen: int = 0
    _before: bytes = b""

    def read(self, response: Response) -> Decoded:
        """Return what can be read, and what cannot.

        Raises:
            PayloadError: most rows cannot be read, or what stands around them: the format is another one.
            Unavailable: it is no JSON.
        """
        at = response.venue_time
        try:
            rows = self.decode(response.body, at)
            found = Decoded(rows, refused(rows.clear(), (), ()))
        except _BAD as e:
            found = self._row_by_row(response.body, at, e)
        else:
            self._before = response.body
        self._seen += found.rows.height
        return self._without_future(found, response)

    def _without_future(self, found: Decoded, response: Response) -> Decoded:
        dated, times = response.dated, found.rows["ts"].cast(pl.Int64)  # to_physical is a query
        horizon = response.received + _UNDATED if dated is None else dated + SKEW
        if not times.len() or int(times[-1]) <= horizon:
            return found
        late = found.rows.filter(times > horizon).with_columns(reason=pl.lit(LATER))
        return Decoded(found.rows.filter(times <= horizon), pl.concat([found.refused, late]))

    def _row_by_row(self, body: bytes, at: Us, error: DccdError) -> Decoded:
        page = _Page.of(body)
        if page is None:
            raise error
        trial = _Trial(page, self.decode, at)
        try:
            trial.read([])
        except _BAD:
            raise error from None  # it is what stands around the rows that cannot be read
        most = len(page.items) + min(self._seen, _CREDIT)
        bad = list(trial.bad(page.items, most, error))
        wrong = {id(item) for item, _ in bad}
        good = [item for item in page.items if id(item) not in wrong]
        rows = trial.read(good)
        self._before = page.with_rows(good) if good else self._before
        trial.models = [item.raw for item in good] or self._models()
        told = [trial.told(item) for item, _ in bad]
        reasons = [f"cannot be read: {_why(e)}: {_shown(item.raw)}" for item, e in bad]
        return Decoded(rows, refused(rows.clear(), told, reasons))

    def _models(self) -> list[msgspec.Raw]:
        page = _Page.of(self._before) if self._before else None
        return [item.raw for item in page.items] if page else []


def refused(table: pl.DataFrame, rows: Sequence[pl.DataFrame], reasons: Sequence[str]) -> pl.DataFrame:
    """Return refused rows as one table, like ``table`` (empty), with a ``reason`` for each."""
    if rows:  # seldom, and an empty row alone costs more than reading a page
        unknown = table.clear(1)
        table = pl.concat([table, *(row if row.height else unknown for row in rows)])
    return table.hstack([pl.Series(REASON, reasons, dtype=pl.String)])


def concerning(rows: pl.DataFrame, start: Us, end: Us) -> pl.DataFrame:
    """Return the refused rows of ``[start, end)``, and those whose true time nobody knows."""
    if not rows.height:
        return rows
    times = rows["ts"].cast(pl.Int64)
    inside = times.is_between(start, end, closed="left").fill_null(value=True)
    return rows.filter(inside | (rows[REASON] == LATER))


def _why(error: DccdError) -> str:
    return str(error.args[0]).removeprefix("unexpected shape: ").partition("; payload begins")[0]


def _shown(raw: msgspec.Raw) -> str:
    return bytes(raw)[:_SHOWN].decode(errors="replace")


@dataclass(slots=True)
class _Item:
    """A row as it came, and the list that it stands in."""

    home: "_Rows"
    raw: msgspec.Raw


@dataclass(slots=True)
class _Rows:
    chosen: list[msgspec.Raw] = field(default_factory=list[msgspec.Raw])


@dataclass(slots=True)
class _Page:
    """An answer taken apart, so that it can be put together again with other rows."""

    tree: object
    items: list[_Item]

    @classmethod
    def of(cls, body: bytes) -> "_Page | None":
        """Take ``body`` apart; None when it is no JSON, or has no rows. A bare NaN counts as null."""
        page, body = cls(None, []), body.removeprefix(_BOM)
        for text in (body, _NO_NUMBER.sub(lambda m: m[0] if m[0][:1] == b'"' else b"null", body)):
            try:
                page.tree = page._grown(msgspec.json.decode(text, type=msgspec.Raw))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                page.items.clear()
                continue
            return page if page.items else None
        return None

    def _grown(self, raw: msgspec.Raw) -> object:
        opened = _opened(raw)
        if isinstance(opened, dict):
            return {key: self._grown(value) for key, value in opened.items()}
        if not isinstance(opened, list) or not any(_parts(one) for one in opened):
            return raw
        if any(_holds_rows(one) for one in opened):
            return [self._grown(one) for one in opened]
        rows = _Rows()
        self.items += [_Item(rows, one) for one in opened]
        return rows

    def with_rows(self, items: Sequence[_Item]) -> bytes:
        for item in self.items:
            item.home.chosen = []
        for item in items:
            item.home.chosen.append(item.raw)
        return msgspec.json.encode(_plain(self.tree))


def _plain(node: object) -> object:
    match node:
        case _Rows():
            return node.chosen
        case dict():
            return {key: _plain(value) for key, value in node.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        case list():
            return [_plain(value) for value in node]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        case _:
            return node


def _opened(raw: msgspec.Raw) -> list[msgspec.Raw] | dict[str, msgspec.Raw] | msgspec.Raw:
    kind = _SCALARS.get(bytes(raw).lstrip()[:1])
    return msgspec.json.decode(raw, type=kind) if kind else raw


def _parts(raw: msgspec.Raw) -> list[msgspec.Raw]:
    """Return the members of a list or an object; of anything else none."""
    opened = _opened(raw)
    if isinstance(opened, dict):
        return list(opened.values())
    return opened if isinstance(opened, list) else []


def _holds_rows(raw: msgspec.Raw) -> bool:
    """Tell whether a member is no row but has lists of rows in it, such as the sides of a book."""
    return any(bytes(one).lstrip()[:1] == b"[" and any(map(_parts, _parts(one))) for one in _parts(raw))


@dataclass(slots=True)
class _Trial:
    """Decodes selections of a page's rows."""

    page: _Page
    decode: Decode
    at: Us
    models: list[msgspec.Raw] = field(default_factory=list[msgspec.Raw])
    """Good rows to try the cells of bad ones in."""

    def read(self, items: Sequence[_Item]) -> pl.DataFrame:
        return self.decode(self.page.with_rows(items), self.at)

    def bad(self, items: Sequence[_Item], most: int, error: DccdError) -> Iterator[tuple[_Item, DccdError]]:
        """Yield the rows that cannot be read, each with its error, by halves.

        Raises:
            DccdError: ``error``, once they are more than half of ``most``.
        """
        left, found = [list(items)], 0
        while left:
            some = left.pop()
            try:
                self.read(some)
            except _BAD as e:
                if len(some) > 1:
                    middle = len(some) // 2
                    left += [some[middle:], some[:middle]]
                    continue
                found += 1
                if 2 * found > most:
                    raise (error if isinstance(error, PayloadError) else e) from None
                yield some[0], e

    def told(self, item: _Item) -> pl.DataFrame:
        """Return what of a bad row does not depend on its bad cells; no row where that is nothing.

        Its bad cells are those that spoil a good row. Two good rows lend it theirs: what differs then, or is
        as in both of them, may come from the loan and is not told.
        """
        home, models = item.home, self._two_models(item.home)
        if not models:
            return pl.DataFrame()
        bad = [at for at in _cells(models[0]) if not self._fits(item, models[0], at)]
        mended = [self._one(home, _mixed(item.raw, model, bad)) for model in models]
        lent = [self._one(home, model) for model in models]
        if any(row.height != 1 for row in mended):
            return pl.DataFrame()
        sure = [
            mended[0][name].equals(mended[1][name], null_equal=True)
            and not all(mended[0][name].equals(row[name], null_equal=True) for row in lent)
            for name in mended[0].columns
        ]
        return mended[0].select(
            pl.col(name) if known else pl.lit(None, of).alias(name)
            for (name, of), known in zip(mended[0].schema.items(), sure, strict=True)
        )

    def _two_models(self, home: _Rows) -> list[msgspec.Raw]:
        """Return good rows from both ends of the page: not each becomes a row of ours."""
        found: list[msgspec.Raw] = []
        for some in (self.models[:_TRIED], self.models[: -_TRIED - 1 : -1]):
            found += [raw for raw in some if self._one(home, raw).height == 1][:1]
        return found

    def _fits(self, item: _Item, model: msgspec.Raw, at: int | str) -> bool:
        """Tell whether a good row with this one cell of the bad row can be read."""
        cell = _cells(item.raw).get(at)
        if cell is None:
            return False
        return self._one(item.home, _put(model, {at: cell})).height == 1

    def _one(self, home: _Rows, raw: msgspec.Raw) -> pl.DataFrame:
        try:
            return self.read([_Item(home, raw)])
        except _BAD:
            return pl.DataFrame()


def _cells(raw: msgspec.Raw) -> dict[int | str, msgspec.Raw]:
    opened = _opened(raw)
    if isinstance(opened, dict):
        return dict(opened.items())
    return dict(enumerate(opened)) if isinstance(opened, list) else {}


def _mixed(raw: msgspec.Raw, model: msgspec.Raw, bad: Sequence[int | str]) -> msgspec.Raw:
    """Return the bad row with the good row's cells in the place of its bad ones."""
    return _put(model, {at: cell for at, cell in _cells(raw).items() if at not in bad})


def _put(model: msgspec.Raw, cells: dict[int | str, msgspec.Raw]) -> msgspec.Raw:
    opened = _opened(model)
    whole = {**_cells(model), **{at: cell for at, cell in cells.items() if at in _cells(model)}}
    parts = list(whole.values()) if isinstance(opened, list) else {str(at): one for at, one in whole.items()}
    return msgspec.Raw(msgspec.json.encode(parts))
