"""Trouble on request: which request meets which fault, and what the fault does to its answer.

A fault is data. Whether it strikes depends on the seed and on how many requests it has matched, never on
the clock, so a run can be repeated.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final, TypeAlias, cast

import msgspec
import numpy as np

from dccd_core.domain.timespan import SECOND, TimeRange, Us
from dccd_core.testing.sandbox.hashing import bits, mixed, seed_of
from dccd_core.testing.sandbox.venue import Answer, Hidden, Params, Venue

Fields: TypeAlias = Mapping[str, int | str]
Row: TypeAlias = Any
"""A row of JSON, a list or an object: either is read and written by the key that ``Fields`` gives."""


class FaultKind(StrEnum):
    STATUS = "status"
    HTML = "html"
    EMPTY = "empty"
    ERROR_BODY = "error_body"
    TRUNCATED = "truncated"
    DROPPED = "dropped"
    SLOW = "slow"
    WRONG_TYPE = "wrong_type"
    MISSING_FIELD = "missing_field"
    DUPLICATED = "duplicated"
    REORDERED = "reordered"
    SHORT_PAGE = "short_page"
    HIGH_BELOW_LOW = "high_below_low"
    NEGATIVE = "negative"
    NAN = "nan"
    GAPS = "gaps"
    MISSING_TRADES = "missing_trades"
    LAG = "lag"
    RENUMBERED = "renumbered"
    OTHER_DATE = "other_date"
    NO_DATE = "no_date"


_EXACTLY: Final = msgspec.json.Decoder(float_hook=Decimal)
_AS_NUMBERS: Final = msgspec.json.Encoder(decimal_format="number")
"""A number that only passes through keeps its digits."""
_HTML: Final = b"<!DOCTYPE html><html><body>Please wait</body></html>"


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One fault, and which requests meet it.

    ``path`` is how the request's path ends, ``symbol`` the venue's own symbol; empty means any. Of the
    requests that match, ``nth`` strikes only that one (from 1), ``first`` only the first so many, and
    ``probability`` that share of them. ``status`` and ``retry_after_s`` belong to STATUS, ``seconds`` to
    SLOW, ``body`` replaces the text of STATUS and ERROR_BODY, ``field`` names the field by meaning
    (``price``, ``time``, ...) for the faults of one value, ``[start, end)`` in us the bars that GAPS
    withholds, ``first_id`` to ``last_id`` what MISSING_TRADES withholds. LAG answers what was so ``seconds``
    ago, RENUMBERED adds ``number`` to the number of an order book (-1: a snapshot in the midst of a change,
    where changes take several numbers; much more: another count than the WebSocket's). The Date
    header is ``seconds`` ahead with OTHER_DATE, and left out with NO_DATE. Where an answer has no rows or its
    rows no such field, it stays as it is.
    """

    kind: FaultKind
    path: str = ""
    symbol: str = ""
    probability: float = 1.0
    nth: int | None = None
    first: int | None = None
    status: int = 500
    retry_after_s: int = 1
    seconds: float = 1.0
    body: str | None = None
    field: str | None = None
    start: int = 0
    end: int = 0
    first_id: int = 0
    last_id: int = -1
    number: int = -1


@dataclass(frozen=True, slots=True)
class Strike:
    """A fault that strikes this request; ``luck`` decides what is left open."""

    fault: Fault
    luck: int


class Injector:
    """Decides for each request which faults strike it."""

    def __init__(self, faults: Sequence[Fault], seed: int) -> None:
        self._faults: Final = tuple(faults)
        self._seeds: Final = [seed_of("fault", seed, position) for position in range(len(self._faults))]
        self._matched: Final = [0] * len(self._faults)

    def strikes(self, path: str, params: Params) -> list[Strike]:
        struck: list[Strike] = []
        for position, fault in enumerate(self._faults):
            if not path.endswith(fault.path) or (fault.symbol and fault.symbol not in params.values()):
                continue
            self._matched[position] += 1
            count = self._matched[position]
            drawn = mixed(self._seeds[position], np.array([2 * count, 2 * count + 1]))
            chance, luck = (int(number) for number in drawn)
            in_turn = fault.nth in (None, count) and (fault.first is None or count <= fault.first)
            if in_turn and chance >> 11 < fault.probability * (1 << 53):
                struck.append(Strike(fault, luck >> 1))
        return struck


def hidden(strikes: Sequence[Strike]) -> Hidden:
    """Collect what the answer must leave out."""
    faults = [strike.fault for strike in strikes]
    return Hidden(
        spans=tuple(TimeRange(Us(f.start), Us(f.end)) for f in faults if f.kind is FaultKind.GAPS),
        ids=tuple((f.first_id, f.last_id) for f in faults if f.kind is FaultKind.MISSING_TRADES),
    )


def delay_s(strikes: Sequence[Strike]) -> float:
    return sum(strike.fault.seconds for strike in strikes if strike.fault.kind is FaultKind.SLOW)


def lag(strikes: Sequence[Strike]) -> Us:
    """Return how old the answer is."""
    late = sum(strike.fault.seconds for strike in strikes if strike.fault.kind is FaultKind.LAG)
    return Us(int(late * SECOND))


def renumbering(strikes: Sequence[Strike]) -> int:
    """Return what is added to the number of an order book."""
    return sum(strike.fault.number for strike in strikes if strike.fault.kind is FaultKind.RENUMBERED)


def ahead(strikes: Sequence[Strike]) -> Us | None:
    """Return how far ahead of the time the Date header is, None where there is none."""
    faults = [strike.fault for strike in strikes]
    if any(fault.kind is FaultKind.NO_DATE for fault in faults):
        return None
    return Us(int(sum(fault.seconds for fault in faults if fault.kind is FaultKind.OTHER_DATE) * SECOND))


def replacement(strikes: Sequence[Strike], venue: Venue) -> Answer | None:
    """Return the answer that is given instead of the right one, if any."""
    for fault in (strike.fault for strike in strikes):
        text = None if fault.body is None else fault.body.encode()
        if fault.kind is FaultKind.STATUS:
            wait = {"retry-after": str(fault.retry_after_s)} if fault.status in (418, 429) else {}
            return Answer(venue.trouble(fault.status) if text is None else text, fault.status, wait)
        if fault.kind is FaultKind.ERROR_BODY:
            return Answer(venue.trouble(200) if text is None else text)
        if fault.kind is FaultKind.HTML:
            return Answer(_HTML, headers={"content-type": "text/html"})
        if fault.kind is FaultKind.EMPTY:
            return Answer(b"")
    return None


def spoiled(answer: Answer, strikes: Sequence[Strike], fields: Fields) -> Answer:
    """Apply what the faults do to a right answer: first to its rows, then to the body as it is sent."""
    for strike in sorted(strikes, key=lambda strike: strike.fault.kind not in _SPOIL_ROWS):
        kind = strike.fault.kind
        if kind in _SPOIL_ROWS:
            answer = replace(answer, body=_with_rows(answer.body, strike, fields))
        elif kind is FaultKind.TRUNCATED:
            answer = replace(answer, body=answer.body[: 1 + strike.luck % max(1, len(answer.body) - 1)])
        elif kind is FaultKind.DROPPED:
            answer = replace(answer, cut=True)
    return answer


def _with_rows(body: bytes, strike: Strike, fields: Fields) -> bytes:
    payload = _EXACTLY.decode(body)
    rows = _rows_of(payload)
    if not rows:
        return body
    rows[:] = _SPOIL_ROWS[strike.fault.kind](rows, strike, fields)
    return _AS_NUMBERS.encode(payload)


def _rows_of(payload: object) -> list[Row]:
    """Return the list of rows, wherever the venue's envelope keeps it.

    Of a book those are its levels, also where it is the only entry of a list, as OKX tells it.
    """
    if isinstance(payload, list):
        rows = cast("list[Row]", payload)
        only: object = rows[0] if len(rows) == 1 else None
        return (_rows_of(cast(object, only)) if isinstance(only, dict) else []) or rows
    if isinstance(payload, dict):
        parts = [_rows_of(part) for part in cast("dict[str, object]", payload).values()]
        return max(parts, key=len) if parts else []
    return []


def _duplicated(rows: list[Row], strike: Strike, _: Fields) -> list[Row]:
    twice = bits(mixed(np.uint64(strike.luck), np.arange(len(rows))), 0, 3) == 0
    twice[strike.luck % len(rows)] = True
    return [row for row, again in zip(rows, twice, strict=True) for row in (row,) * (1 + int(again))]


def _reordered(rows: list[Row], strike: Strike, _: Fields) -> list[Row]:
    order = np.argsort(mixed(np.uint64(strike.luck), np.arange(len(rows))))
    shuffled = [rows[position] for position in order]
    return shuffled if shuffled != rows else rows[::-1]


def _short(rows: list[Row], strike: Strike, _: Fields) -> list[Row]:
    return rows[: 1 + strike.luck % max(1, len(rows) - 1)]


def _one_row(change: Callable[[Row, int | str], None], *meanings: str) -> Callable[..., list[Row]]:
    """Build a fault that changes one field of one row: the asked one, else the first there is of these."""

    def spoil(rows: list[Row], strike: Strike, fields: Fields) -> list[Row]:
        asked = (strike.fault.field,) if strike.fault.field else meanings
        for meaning in [meaning for meaning in asked if meaning in fields][:1]:
            change(rows[strike.luck % len(rows)], fields[meaning])
        return rows

    return spoil


def _change_type(row: Row, key: int | str) -> None:
    value = row[key]
    row[key] = float(value) if isinstance(value, str) else str(value)


def _remove(row: Row, key: int | str) -> None:
    del row[key]


def _negate(row: Row, key: int | str) -> None:
    row[key] = _like(row[key], "-1.5")


def _not_a_number(row: Row, key: int | str) -> None:
    row[key] = "NaN"


def _sink(row: Row, key: int | str) -> None:
    row[key] = _like(row[key], "0.00000001")


def _like(value: object, text: str) -> str | float:
    """Write a number as the venue does: as text, or as a number."""
    return text if isinstance(value, str) else float(text)


_SPOIL_ROWS: Final[Mapping[FaultKind, Callable[[list[Row], Strike, Fields], list[Row]]]] = {
    FaultKind.DUPLICATED: _duplicated,
    FaultKind.REORDERED: _reordered,
    FaultKind.SHORT_PAGE: _short,
    FaultKind.WRONG_TYPE: _one_row(_change_type, "price", "close"),
    FaultKind.MISSING_FIELD: _one_row(_remove, "price", "close"),
    FaultKind.HIGH_BELOW_LOW: _one_row(_sink, "high"),
    FaultKind.NEGATIVE: _one_row(_negate, "amount"),
    FaultKind.NAN: _one_row(_not_a_number, "price", "close"),
}
