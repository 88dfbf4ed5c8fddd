"""What an exchange can do: what it serves, how far back it can be asked at the moment, and what it pushes.

Belongs here: questions to the registry that configuration, schedules and the command line share. Does not:
what a user configured (collect.py), and the registry itself (dccd_core.exchanges).
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Final

from dccd_core.adapter.contract import NOW, Endpoint, Exchange, Limit, Query
from dccd_core.adapter.live import Channel
from dccd_core.domain.barspan import format_bar_span
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, HOUR, MINUTE, TimeRange, Us, moment, us
from dccd_core.exchanges import NAMES, get
from dccd_core.fetch.paging import style_of
from dccd_core.tables import DataType

_NAMED: Final = 3
KINDS: Final = ("spot", "linear", "inverse")
_EXAMPLES: Final = {
    "spot": Symbol("BTC", "USDT"),
    "linear": Symbol("BTC", "USDT", "USDT"),
    "inverse": Symbol("BTC", "USD", "BTC"),
}


def present() -> Us:
    return us(datetime.now(UTC))


def closed_on(exchange: Exchange, now: Us) -> date | None:
    """Return the day an exchange closed, the last there is data of; None while it is open."""
    if exchange.closed is None or exchange.closed > now:
        return None
    return moment(Us(exchange.closed - 1)).date()


def served(
    exchange: Exchange, data_type: DataType, now: Us, kinds: Iterable[str] = KINDS
) -> dict[str, Endpoint]:
    """Return what serves ``data_type`` for each of these kinds of market that the exchange has it for.

    One that has closed shows no present any more.
    """
    found = {kind: exchange.endpoint(kind, data_type) for kind in kinds if kind in exchange.kinds}
    gone = closed_on(exchange, now) is not None
    return {kind: one for kind, one in found.items() if one and not (gone and one.reach == NOW)}


def askable_since(endpoint: Endpoint, bar: Us | None, now: Us) -> Us:
    """Return from which moment on rows can be asked for now.

    How far back a number of trades reaches nobody knows beforehand: a day is tried.
    """
    since = endpoint.reach.since(now, bar)
    return Us(now - DAY) if since is None else since


def elsewhere(
    exchange: Exchange, data_type: DataType, kind: str, bar: Us | None, start: Us, now: Us
) -> list[str]:
    """Name a few other open exchanges that can be asked for the same from ``start`` on."""
    others = [other for name in NAMES if name != exchange.name and not closed_on(other := get(name), now)]
    return [other.name for other in others if can_ask(other, data_type, kind, bar, start, now)][:_NAMED]


def can_ask(exchange: Exchange, data_type: DataType, kind: str, bar: Us | None, start: Us, now: Us) -> bool:
    """Tell whether an exchange serves this from ``start`` on."""
    endpoint = served(exchange, data_type, now).get(kind)
    if endpoint is None or (bar and bar not in endpoint.spans):
        return False
    return max(exchange.since, askable_since(endpoint, bar, now)) <= start


def limits_of(exchange: Exchange, kind: str, data_type: DataType, now: Us) -> list[Limit]:
    """Return the limits that count the requests for a data type."""
    endpoint = served(exchange, data_type, now)[kind]
    bar = (endpoint.spans or (None,))[0]
    span = TimeRange(Us(now - (bar or MINUTE)), now)
    first_id = 1 if style_of(endpoint).by_ids else None
    query = Query(exchange.market(_EXAMPLES[kind]), span, 1, bar=bar, first_id=first_id, market_type=kind)
    pool = endpoint.request(query).pool
    return [limit for limit in exchange.limits if limit.pool == pool]


def weight_per_minute(limits: Iterable[Limit]) -> float:
    """Return what the tightest of these limits lets through."""
    return min(limit.amount * MINUTE / limit.period for limit in limits)


def nearest_span(span: Us, spans: Iterable[Us]) -> str:
    return format_bar_span(min(spans, key=lambda known: (abs(known - span), known)))


def listed_spans(spans: Iterable[Us]) -> str:
    return ", ".join(map(format_bar_span, spans))


def example_of(kind: str, symbol: Symbol) -> Symbol:
    """Return the market of this kind with the codes of ``symbol``."""
    settles: Mapping[str, str | None] = {"spot": None, "linear": symbol.quote, "inverse": symbol.base}
    return Symbol(symbol.base, symbol.quote, settles[kind])


def said_time(at: Us) -> str:
    """Write a moment for people, to the minute; midnights as days."""
    return f"{moment(at):%Y-%m-%d}" if at % DAY == 0 else f"{moment(at):%Y-%m-%dT%H:%MZ}"


def later(since: Us, now: Us) -> str:
    """Return a round time a little after ``since``, so that it can still be asked for in a while."""
    step = next(step for step in (DAY, HOUR, MINUTE, Us(1)) if now - since > 4 * step)
    return said_time(Us(-(-(since + step) // step) * step))


def pushed(exchange: Exchange, data_type: DataType, kinds: Iterable[str] = KINDS) -> dict[str, Channel]:
    """Return what brings ``data_type`` of each of these kinds of market that the exchange pushes it of."""
    if exchange.live is None:
        return {}
    found = {kind: exchange.live.channel(kind, data_type) for kind in kinds if kind in exchange.kinds}
    return {kind: channel for kind, channel in found.items() if channel}


def spans_of(channels: Sequence[Channel]) -> list[Us]:
    """Return the lengths of bars that all of these bring."""
    common = set[Us].intersection(*(set(channel.spans) for channel in channels)) if channels else set[Us]()
    return sorted(common)


def deepest(channels: Iterable[Channel]) -> int | None:
    """Return how many levels a side all of these show at most; None: as many as there are."""
    return min((channel.depths[-1] for channel in channels if channel.depths), default=None)
