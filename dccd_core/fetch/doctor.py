"""Whether an exchange still answers as its file describes it: one small question for all that it declares.

Belongs here: what is asked, and what counts as well. Does not: whom to ask, how findings are shown.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import polars as pl

from dccd_core.adapter.contract import Endpoint, Exchange, Request, Response
from dccd_core.domain.barspan import bar_open, format_bar_span
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import ConfigError, DccdError, PayloadError
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import HOUR, MILLISECOND, MINUTE, SECOND, TimeRange, Us, iso, moment
from dccd_core.fetch.paging import style_of
from dccd_core.fetch.venue import Venue
from dccd_core.net.retry import Policy, retry
from dccd_core.tables import Completeness, DataType

_LIKELY: Final = {
    "spot": ("BTC/USDT", "BTC/USD", "BTC/USDC", "BTC/EUR"),
    "linear": ("BTC/USDT:USDT", "BTC/USDC:USDC", "BTC/USD:USD"),
    "inverse": ("BTC/USD:BTC",),
}
"""Markets in which something trades every minute, for each kind."""
_ROWS: Final = 10
_SPARSE_ROWS: Final = 100
"""So many bars, where those without trades are left out, hold at least one."""
_SKEW_S: Final = 5
_NEAR: Final = MINUTE
"""How late a bar may be listed, how far from now a book may be; a time in another unit is much further."""
_QUICK: Final = Policy(attempts=2, total_s=30.0)
_UPDATE: Final = "the venue changed: update dccd, or report it"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, whether it is as it should be, what was seen, and what the reader can do."""

    subject: str
    ok: bool
    said: str
    hint: str = ""

    def __str__(self) -> str:
        hint = f" -> {self.hint}" if self.hint else ""
        return f"{'ok' if self.ok else 'FAIL'} {self.subject}: {self.said}{hint}"


async def examine(venue: Venue) -> list[Finding]:
    """Ask everything that the exchange declares, a small page each, and say what was found.

    Nothing is raised: what goes wrong is a finding. Where nobody answers it is the only one.
    """
    exchange, began = venue.exchange, venue.clock.now()
    first = exchange.markets.requests()[0]
    try:
        response = await retry(lambda: venue.transport.send(first), venue.clock, _QUICK)
    except Exception as e:  # noqa: BLE001 -- a doctor reports whatever is wrong
        return [_closed(exchange, began) or _failed("connection", e)]
    took = (venue.clock.now() - began) // MILLISECOND
    probe = _Probe(venue, Us(response.venue_time - response.received))
    probe.learn(response)
    symbols, found = await _symbols(venue)
    pages = [
        probe.finding(kind, data_type, symbols)
        for kind in _LIKELY
        for data_type in DataType
        if kind in exchange.kinds and exchange.endpoint(kind, data_type)
    ]
    return [
        Finding("connection", ok=True, said=f"answered in {took} ms"),
        _clock(response),
        found,
        *await asyncio.gather(*pages),
        *probe.limits(),
    ]


def _closed(exchange: Exchange, now: Us) -> Finding | None:
    if exchange.closed is None or now < exchange.closed:
        return None
    said = f"{exchange.title} closed on {moment(exchange.closed):%Y-%m-%d}"
    hint = f"set exchanges.{exchange.name}.rest_url to a server that still has its history"
    return Finding("connection", ok=False, said=said, hint=hint)


def _failed(subject: str, error: Exception) -> Finding:
    if not isinstance(error, DccdError):
        return Finding(subject, ok=False, said=" ".join(repr(error).split()), hint=_UPDATE)
    place = f"[{error.where}] " if error.where else ""
    text = " ".join(str(error.args[0]).split())
    return Finding(subject, ok=False, said=f"{place}{text}", hint=error.hint)


def _drift(said: str) -> PayloadError:
    return PayloadError(said, hint=_UPDATE)


def _clock(response: Response) -> Finding:
    """Compare the clocks; the venue's is known to the second only, so a part of one says nothing."""
    if "date" not in response.headers:
        said = "answers carry no date: this machine's clock decides which bars are final"
        return Finding("clock", ok=True, said=said)
    ahead_s = -((response.received - response.venue_time) // SECOND)
    if not ahead_s:
        return Finding("clock", ok=True, said="in step with the venue's to the second")
    said = f"the venue's is {abs(ahead_s)} s {'ahead of' if ahead_s > 0 else 'behind'} this machine's"
    well = abs(ahead_s) <= _SKEW_S
    return Finding("clock", ok=well, said=said, hint="" if well else "let NTP set this machine's clock")


async def _symbols(venue: Venue) -> tuple[dict[str, Symbol], Finding]:
    """Return for each kind of market the one to ask, and what is said of all of them."""
    likely = {kind: Symbol.parse(_LIKELY[kind][0]) for kind in venue.exchange.kinds}
    try:
        rows = await venue.markets()
    except Exception as e:  # noqa: BLE001 -- a doctor reports whatever is wrong
        return likely, _failed("symbols", e)
    active = [symbol for text in rows.filter("active")["symbol"] if (symbol := _parsed(text))]
    kinds = [kind for kind in _LIKELY if kind in venue.exchange.kinds]
    found = {kind: [symbol for symbol in active if symbol.market_type == kind] for kind in kinds}
    counts = ", ".join(f"{len(symbols)} {kind}" for kind, symbols in found.items())
    said = f"{rows.height} markets; of those that trade {counts}"
    well = all(found.values())
    chosen = {kind: _likeliest(kind, symbols) for kind, symbols in found.items() if symbols}
    return likely | chosen, Finding("symbols", ok=well, said=said, hint="" if well else _UPDATE)


def _parsed(text: str) -> Symbol | None:
    try:
        return Symbol.parse(text)
    except ConfigError:
        return None


def _likeliest(kind: str, symbols: Sequence[Symbol]) -> Symbol:
    likely = [symbol for text in _LIKELY[kind] if (symbol := Symbol.parse(text)) in symbols]
    return [*likely, symbols[0]][0]


@dataclass(slots=True)
class _Probe:
    """Asks for pages; ``ahead`` is how far the venue's clock is before ours."""

    venue: Venue
    ahead: Us
    answers: int = 0
    spent: list[int] = field(default_factory=list[int])

    def learn(self, response: Response) -> None:
        self.answers += 1
        tells = self.venue.exchange.used
        if tells and (used := tells(response.headers)) is not None:
            self.spent.append(used)

    def limits(self) -> list[Finding]:
        """Say whether the venue still tells what was spent, if it is declared to."""
        if self.venue.exchange.used is None:
            return []
        said = f"{len(self.spent)} of {self.answers} answers told what was spent"
        return [Finding("rate limits", ok=bool(self.spent), said=said, hint="" if self.spent else _UPDATE)]

    async def finding(self, kind: str, data_type: DataType, symbols: dict[str, Symbol]) -> Finding:
        subject = f"{kind} {data_type}"
        try:
            return Finding(subject, ok=True, said=await self._look(symbols[kind], data_type))
        except Exception as e:  # noqa: BLE001 -- a doctor reports whatever is wrong
            return _failed(subject, e)

    def _look(self, symbol: Symbol, data_type: DataType) -> Awaitable[str]:
        dataset = Dataset(self.venue.exchange.name, symbol, data_type)
        match data_type.table.completeness:
            case Completeness.GRID:
                spans = self.venue.endpoint(dataset).spans
                return self._bars(replace(dataset, span=MINUTE if MINUTE in spans else spans[0]))
            case Completeness.IDS:
                return self._trades(dataset)
            case Completeness.PICTURES:
                return self._book(dataset)

    def _now(self) -> Us:
        return Us(self.venue.clock.now() + self.ahead)

    async def _rows(self, dataset: Dataset, endpoint: Endpoint, request: Request) -> pl.DataFrame:
        def receive(response: Response) -> pl.DataFrame:
            self.learn(response)
            return endpoint.decode(response.body, response.venue_time)

        rows, table = await self.venue.ask(dataset, request, receive), dataset.data_type.table
        if rows.schema != table.schema:
            raise _drift(f"columns {rows.schema} instead of {table.schema}")
        empty = [name for name in table.required if rows[name].null_count()]
        if empty:
            raise _drift(f"{' and '.join(empty)} missing in {rows.height} rows of {dataset.symbol}")
        return rows

    async def _bars(self, dataset: Dataset) -> str:
        """Ask for the newest final bars: they open on the grid, and where all have bars none is missing."""
        endpoint, bar = await self.venue.served(dataset), dataset.span
        assert bar is not None
        count = min(_SPARSE_ROWS if endpoint.sparse else _ROWS, endpoint.page_limit)
        end = bar_open(Us(self._now() - self.venue.exchange.finality_delay - _NEAR), bar)
        span = TimeRange(Us(end - count * bar), end)
        request = endpoint.request(self.venue.query(dataset, span, count))
        rows = await self._rows(dataset, endpoint, request)
        what = f"bars of {format_bar_span(bar)} of {dataset.symbol}"
        opens = [Us(at) for at in rows["ts"].cast(pl.Int64).to_list()]
        if crooked := [at for at in opens if bar_open(at, bar) != at]:
            raise _drift(f"{what} do not open on the grid: {iso(crooked[0])}")
        inside = [at for at in opens if span.start <= at < span.end]
        if style_of(endpoint).exact and len(inside) < len(opens) - 1:  # one may be running
            raise _drift(f"asked for {what} in {span}, {len(opens) - len(inside)} others came")
        if not inside or (not endpoint.sparse and inside[-1] < end - bar):
            newest = f"the newest is of {iso(opens[-1])}" if opens else "there is none"
            raise _drift(f"{what} were due up to {iso(Us(end - bar))}, {newest}")
        if not endpoint.sparse and len(inside) < count:
            raise _drift(f"asked for {count} {what} in {span}, {len(inside)} came")
        return f"{len(inside)} {what}, the newest of {iso(inside[-1])}"

    async def _trades(self, dataset: Dataset) -> str:
        endpoint, now = await self.venue.served(dataset), self._now()
        count = min(_ROWS, endpoint.page_limit)
        query = self.venue.query(dataset, TimeRange(Us(now - HOUR), now), count)
        if by_ids := style_of(endpoint).by_ids:
            asked = by_ids.last(endpoint, replace(query, span=TimeRange(now, now)))
            last = await self._rows(dataset, endpoint, asked)
            if not last.height:
                raise _drift(f"no trade of {dataset.symbol} before {iso(now)}")
            last_id = int(last["trade_id"][-1])
            query = replace(query, first_id=max(0, last_id + 1 - count))
        rows = await self._rows(dataset, endpoint, endpoint.request(query))
        if query.first_id is not None and str(query.first_id) not in rows["trade_id"]:
            raise _drift(f"asked for trades of {dataset.symbol} from id {query.first_id}, it did not come")
        if not rows.height:
            raise _drift(f"no trade of {dataset.symbol} in the hour before {iso(now)}")
        newest = Us(int(rows["ts"].cast(pl.Int64)[-1]))
        if newest > now + _NEAR:
            raise _drift(f"a trade of {dataset.symbol} comes from the future: {iso(newest)}")
        return f"{rows.height} trades of {dataset.symbol}, the newest of {iso(newest)}"

    async def _book(self, dataset: Dataset) -> str:
        endpoint, now = await self.venue.served(dataset), self._now()
        query = self.venue.query(dataset, TimeRange(now, now), min(_ROWS, endpoint.page_limit))
        book = await self._rows(dataset, endpoint, endpoint.request(query))
        bids, asks = (book.filter(side=side).sort("level")["price"] for side in ("bid", "ask"))
        if not bids.len() or not asks.len():
            raise _drift(f"the book of {dataset.symbol} has {bids.len()} bids and {asks.len()} asks")
        if not (bids.is_sorted(descending=True) and asks.is_sorted() and bids[0] < asks[0]):
            raise _drift(f"the book of {dataset.symbol} is crossed or out of order: {bids[0]} / {asks[0]}")
        at = Us(int(book["ts"].cast(pl.Int64)[0]))
        if abs(at - self._now()) > _NEAR:
            raise _drift(f"the book of {dataset.symbol} is of {iso(at)}, now it is {iso(now)}")
        return f"{bids.len()} bids and {asks.len()} asks of {dataset.symbol}, {iso(at)}"
