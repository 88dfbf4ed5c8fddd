"""The contract of an exchange file. An exchange is a value, not a class to inherit from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import polars as pl

from dccd_core.domain.errors import DccdError
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, HOUR, ZERO, TimeRange, Us, us
from dccd_core.tables import TIME, DataType

if TYPE_CHECKING:  # it builds on Request and Limit
    from dccd_core.adapter.live import WebSocketApi


_LAST: Final = 1 << 62
"""A time beyond it, in the year 2116, is none that a clock shows: there must be room to reckon with it."""


@lru_cache(64)
def parse_date(text: str) -> Us | None:
    """Return the moment that an HTTP date tells; None for what is none."""
    try:
        at = us(parsedate_to_datetime(text))
    except (ValueError, OverflowError):
        return None
    return at if 0 <= at < _LAST else None


@dataclass(frozen=True, slots=True)
class Query:
    """One page's worth of question, in our words.

    ``market`` is the venue's own symbol; ``market_type`` is as in ``Symbol.market_type``.
    ``first_id`` asks for the ``limit`` ids from that one on instead of by time. ``limit`` counts rows, for
    an order book levels per side; asked by time it may be more than ``span`` has room for, since a window
    shorter than a page is asked with the whole page's limit. ``skip``: rows at ``span.start`` that came
    already, for venues that can leave them out.
    """

    market: str
    span: TimeRange
    limit: int
    bar: Us | None = None
    first_id: int | None = None
    market_type: str = "spot"
    skip: int = 0


@dataclass(frozen=True, slots=True)
class Request:
    """One page's worth of question, in the venue's words. ``weight`` is its price in the budget.

    ``pool`` names the limits that it counts against, ``market`` is given where those hold per market.
    ``host``: another scheme and host than the exchange's ``rest_url``; what a user sets replaces it too.
    """

    path: str
    params: Mapping[str, str]
    weight: int = 1
    pool: str = ""
    market: str = ""
    host: str = ""


@dataclass(frozen=True, slots=True)
class Response:
    """What came back. Header names are lower case; ``received`` is our own clock.

    ``at_least``: the venue's clock is known to have passed this, from what else it said.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    received: Us
    at_least: Us = ZERO

    @property
    def dated(self) -> Us | None:
        """The venue's clock when it answered: its ``Date`` header (whole seconds), if that can be read."""
        return parse_date(self.headers.get("date", ""))

    @property
    def venue_time(self) -> Us:
        """The venue's clock when it answered; without it ours, which proves nothing: see ``proven_time``."""
        return self.received if self.dated is None else self.dated

    @property
    def proven_time(self) -> Us:
        """A moment that the venue's clock has passed. Our own clock is never the proof."""
        return self.at_least if self.dated is None else self.dated


@dataclass(frozen=True, slots=True)
class Reach:
    """How far back an endpoint answers: the last ``rows``, or what is no older than ``period``."""

    rows: int | None = None
    period: Us | None = None

    def __str__(self) -> str:
        if self == NOW:
            return "the present only"
        if self.rows is not None:
            return f"the last {self.rows:,} rows"
        if self.period is None:
            return "full history"
        amount, unit = (self.period // DAY, "days") if self.period > DAY else (self.period // HOUR, "hours")
        return f"the last {amount} {unit}"

    def since(self, now: Us, bar: Us | None) -> Us | None:
        """Return from which moment on rows can be asked for; None when that is not known beforehand."""
        if self.period is not None:
            return Us(now - self.period)
        if self.rows is None:
            return Us(0)
        return None if bar is None else Us(now - self.rows * bar)


FULL: Final = Reach()
NOW: Final = Reach(period=ZERO)


class Keeps(StrEnum):
    """Which rows an answer holds when the window has more of them than a page.

    Rows outside the window are dropped. An answer with no row inside it is an error, for the venue ignored
    the time; only with ``ALL`` it may lie wholly before the window, as where nothing was traded in it.
    """

    OLDEST = "the oldest rows"
    NEWEST = "the newest rows"
    ALL = "all rows, or an error"


class Paging:
    """How an endpoint's pages are cut, as data. What that means for asking stands in ``fetch/paging``."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class TimeWindows(Paging):
    """Pages cut by time, ``page_limit`` bars each: all of them can be asked at once."""

    keeps: Keeps = Keeps.OLDEST


@dataclass(frozen=True, slots=True)
class IdWindows(Paging):
    """Pages cut by consecutive ids: all of them can be asked at once, once the border ids are known.

    ``before`` asks for the last row before ``query.span.start``. A venue that knows no times has None: there
    the border is found by looking at ids between the ``oldest`` row and the ``newest``.
    ``down``: a page is counted from its last id backwards, so it may reach below the first id asked for.
    """

    before: Callable[[Query], Request] | None = None
    newest: Callable[[Query], Request] | None = None
    down: bool = False


@dataclass(frozen=True, slots=True)
class Cursor(Paging):
    """Pages one after another in time, oldest first; several ranges of time can be walked at once.

    Each page is asked AT the time of the last row before it, less ``blur`` (how much the venue's rows
    round their time), and what came already is dropped by its id: a tie at the border loses nothing.
    ``skips``: the venue can leave out ``query.skip`` rows, so even a tie longer than a page is passed.
    ``consecutive``: ids are consecutive per market, so that a missing one shows.
    """

    blur: Us = ZERO
    skips: bool = False
    consecutive: bool = False


@dataclass(frozen=True, slots=True)
class Recent(Paging):
    """One answer with the newest rows, whatever is asked: what lies before them cannot be had."""


@dataclass(frozen=True, slots=True)
class Snapshot(Paging):
    """One answer is all there is; it holds the present."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A REST endpoint: its limits as data, its two translations as pure functions.

    ``decode`` turns a body into rows of the data type's table, oldest first; it is also told the
    venue's time, for rows that carry none. ``oldest`` asks for the very first row there is. Where an
    endpoint of full ``reach`` has none, that of trades tells for bars when a market began, or else ``listed``
    of ``Markets``: one of the three is owed.
    ``sparse``: bars in which nothing was traded are left out. ``carries_open``: a bar opens at the close of
    the one before, even when that lies outside its low and high. ``contracts``: amounts count contracts, of
    the size that symbol discovery says. ``closes``: decoded bars carry their close time, not their open.
    """

    docs: str
    path: str
    page_limit: int
    paging: Paging
    request: Callable[[Query], Request]
    decode: Callable[[bytes, Us], pl.DataFrame]
    reach: Reach = FULL
    spans: tuple[Us, ...] = ()
    """Bar lengths the venue serves; empty for other data types."""
    oldest: Callable[[Query], Request] | None = None
    sparse: bool = False
    carries_open: bool = False
    contracts: bool = False
    closes: bool = False

    @property
    def ids_follow(self) -> bool:
        """Whether the ids of its rows are consecutive, so that a missing one shows."""
        paging = self.paging
        return isinstance(paging, IdWindows) or (isinstance(paging, Cursor) and paging.consecutive)


@dataclass(frozen=True, slots=True)
class Markets:
    """Symbol discovery.

    ``requests`` are asked all; ``more`` gives the request of the next page after an answer, if there is one.
    ``decode`` gives rows as in ``MARKETS``: ``symbol`` unified, ``market`` the venue's own, ``active``
    whether it trades, ``listed`` since when (null where the venue does not say; that of the whole venue is
    ``Exchange.since``, and ``Endpoint`` says when this one is owed), ``contract`` what one
    contract is worth, in the base for a linear market, in the quote for an inverse one (null: no contracts),
    ``price_decimals`` and ``amount_decimals`` how many the venue writes (null where nobody needs to know),
    ``live_name`` what its WebSocket calls the market (null: the same).
    """

    docs: str
    requests: Callable[[], tuple[Request, ...]]
    decode: Callable[[bytes], pl.DataFrame]
    more: Callable[[Request, bytes], Request | None] | None = None


MARKETS: Final = pl.Schema(
    {
        "symbol": pl.String,
        "market": pl.String,
        "active": pl.Boolean,
        "listed": TIME,
        "contract": pl.Float64,
        "price_decimals": pl.Int64,
        "amount_decimals": pl.Int64,
        "live_name": pl.String,
    }
)


@dataclass(frozen=True, slots=True)
class Limit:
    """At most ``amount`` of weight in any ``period``, for a ``pool`` of requests or each market in it."""

    amount: int
    period: Us
    pool: str = ""
    per_market: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A venue.

    ``verdict`` names the error an answer means, or None for a good one. ``used`` reads what the venue
    says we have spent of its limit in its current period, where it says so. ``finality_delay`` is how long
    after its close a bar (after its time a trade) may still change. ``since`` is when the venue's data
    begins, whatever the market (``Endpoint`` says who tells when one market began); after ``closed`` it
    serves nothing any more, but another server may have its history.
    ``special``: what a kind of market has instead of ``endpoints``; None where it has nothing of the sort.
    ``live`` is its WebSocket.
    """

    name: str
    title: str
    rest_url: str
    since: Us
    finality_delay: Us
    limits: tuple[Limit, ...]
    kinds: frozenset[str]
    """The kinds of market served: ``spot``, ``linear``, ``inverse`` (see ``Symbol.market_type``)."""
    market: Callable[[Symbol], str]
    verdict: Callable[[Response], DccdError | None]
    markets: Markets
    endpoints: Mapping[DataType, Endpoint] = field(default_factory=dict[DataType, Endpoint])
    special: Mapping[tuple[str, DataType], Endpoint | None] = field(
        default_factory=dict[tuple[str, DataType], Endpoint | None]
    )
    used: Callable[[Mapping[str, str]], int | None] | None = None
    closed: Us | None = None
    live: "WebSocketApi | None" = None

    def endpoint(self, kind: str, data_type: DataType) -> Endpoint | None:
        """Return what serves ``data_type`` for a kind of market, if anything does."""
        return self.special.get((kind, data_type), self.endpoints.get(data_type))
