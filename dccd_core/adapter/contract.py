"""The contract of an exchange file. An exchange is a value, not a class to inherit from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from enum import StrEnum

import polars as pl

from dccd_core.domain.datatype import DataType
from dccd_core.domain.errors import DccdError
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import Ns, TimeSpan, ns


@dataclass(frozen=True, slots=True)
class Query:
    """One page's worth of question, in our words.

    ``market`` is the venue's own symbol. ``first_id`` asks for rows from that id on instead of by
    time. ``limit`` counts rows, for an order book levels per side.
    """

    market: str
    span: TimeSpan
    limit: int
    bar: Ns | None = None
    first_id: int | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One page's worth of question, in the venue's words. ``weight`` is its price in the budget."""

    path: str
    params: Mapping[str, str]
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Response:
    """What came back. Header names are lower case; ``received`` is our own clock."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    received: Ns

    @property
    def venue_time(self) -> Ns:
        """The venue's clock when it answered: its ``Date`` header (whole seconds); without one, ours."""
        try:
            return ns(parsedate_to_datetime(self.headers.get("date", "")))
        except ValueError:
            return self.received


class Reach(StrEnum):
    """How far back an endpoint answers."""

    FULL = "full history"
    NOW = "the present only"


@dataclass(frozen=True, slots=True)
class TimeWindows:
    """Pages cut by time, ``page_limit`` bars each: all of them can be asked at once."""


@dataclass(frozen=True, slots=True)
class IdWindows:
    """Pages cut by consecutive ids: all of them can be asked at once, once the border ids are known.

    ``at`` asks for the first row at or after ``query.span.start``; ``before`` for the last row before it.
    """

    at: Callable[[Query], Request]
    before: Callable[[Query], Request]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One answer is all there is; it holds the present."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A REST endpoint: its limits as data, its two translations as pure functions.

    ``decode`` turns a body into rows of the data type's table, oldest first; it is also told the
    venue's time, for rows that carry none. ``oldest`` asks for the very first row there is.
    """

    docs: str
    path: str
    page_limit: int
    paging: TimeWindows | IdWindows | Snapshot
    request: Callable[[Query], Request]
    decode: Callable[[bytes, Ns], pl.DataFrame]
    reach: Reach = Reach.FULL
    spans: tuple[Ns, ...] = ()
    """Bar lengths the venue serves; empty for other data types."""
    oldest: Callable[[Query], Request] | None = None


@dataclass(frozen=True, slots=True)
class Markets:
    """Symbol discovery. ``decode`` gives ``symbol`` (unified), ``market`` (the venue's) and ``active``."""

    docs: str
    path: str
    request: Callable[[], Request]
    decode: Callable[[bytes], pl.DataFrame]


@dataclass(frozen=True, slots=True)
class Limit:
    """At most ``amount`` of weight in any ``period``."""

    amount: int
    period: Ns


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A venue.

    ``verdict`` names the error an answer means, or None for a good one. ``used`` reads what the venue
    says we have spent of the first limit in its current period. ``settle`` is how long after its close
    a bar (after its time a trade) may still change. ``since`` is when the venue's data begins.
    """

    name: str
    title: str
    rest_url: str
    since: Ns
    settle: Ns
    limits: tuple[Limit, ...]
    kinds: frozenset[str]
    """The kinds of market served: ``spot``, ``linear``, ``inverse`` (see ``Symbol.market``)."""
    market: Callable[[Symbol], str]
    verdict: Callable[[Response], DccdError | None]
    used: Callable[[Mapping[str, str]], int | None]
    markets: Markets
    endpoints: Mapping[DataType, Endpoint] = field(default_factory=dict[DataType, Endpoint])
