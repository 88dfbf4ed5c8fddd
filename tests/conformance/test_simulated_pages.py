"""What the sandbox's side of every REST interface owes: its pages are the truth, once read."""

from dataclasses import replace

import polars as pl
import pytest

from dccd_core.adapter.contract import IdWindows, Query, Recent, Request, Response
from dccd_core.domain.barspan import bar_open, format_bar_span
from dccd_core.domain.errors import Banned, DccdError, Rejected, Throttled, Unavailable
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, HOUR, MILLISECOND, MINUTE, SECOND, TimeRange, Us, parse_time
from dccd_core.exchanges import NAMES, get
from dccd_core.tables import DataType
from dccd_core.testing.sandbox.dialect import DIALECTS
from dccd_core.testing.sandbox.faults import Fault, FaultKind
from dccd_core.testing.sandbox.market import Market
from tests.conformance.test_exchanges import SERVED, Served, endpoint_of
from tests.dccd_core.testing.sandbox.inprocess import InProcess

TRADES, OHLC, ORDERBOOK = DataType.TRADES, DataType.OHLC, DataType.ORDERBOOK
NOW = parse_time("2024-06-05T12:00:30")
SYMBOLS = {
    "spot": ("ETH/USDT", "DOGE/USD"),
    "linear": ("BTC/USDT:USDT", "ETH/USDT:USDT"),
    "inverse": ("BTC/USD:BTC",),
}
DAY_OF_AN_OUTAGE = parse_time("2023-03-24")
RECENTLY = parse_time("2024-06-05T06:00")
NEW, UNLISTED = Symbol.parse("NEW/USDT"), parse_time("2024-02-01")
EARLY, LATE = {"coinbase"}, {"bitfinex"}
"""Venues that show one bar beside a span: the one in which its first whole second lies; where no bar opens in
it, the next one, as a window of theirs needs some length.
"""
LISTED = parse_time("2024-02-10T08:00")
FINAL_ONLY = {"okx", "bitmex"}
"""Venues that mark the running bar, or leave it out when asked to."""
MARKET = Market()
SANDBOX = InProcess(NOW)


def of(*data_types: DataType) -> pytest.MarkDecorator:
    chosen = [one for one in SERVED if one[2] in data_types]
    return pytest.mark.parametrize("served", chosen, ids="-".join)


def markets_of(*data_types: DataType) -> pytest.MarkDecorator:
    chosen = [
        pytest.param(served, Symbol.parse(symbol), id="-".join((*served, symbol)))
        for served in SERVED
        if served[2] in data_types
        for symbol in SYMBOLS[served[1]]
    ]
    return pytest.mark.parametrize(("served", "symbol"), chosen)


def query(served: Served, symbol: Symbol, span: TimeRange, limit: int | None = None) -> Query:
    endpoint = endpoint_of(served)
    bar = MINUTE if endpoint.spans else None
    market = get(served[0]).market(symbol)
    return Query(market, span, limit or endpoint.page_limit, bar, market_type=served[1])


def answered(name: str, request: Request, sandbox: InProcess = SANDBOX) -> bytes:
    answer = sandbox.send("GET", f"/{name}{request.path}", b"", **request.params)
    error = get(name).verdict(Response(answer.status_code, dict(answer.headers), answer.content, NOW))
    assert error is None, error
    return answer.content


def page(served: Served, asked: Query, sandbox: InProcess = SANDBOX) -> pl.DataFrame:
    """Return what a request brings, in our table: bars by their open, amounts of the base currency."""
    endpoint = endpoint_of(served)
    return ours(served, asked, endpoint.decode(answered(served[0], endpoint.request(asked), sandbox), NOW))


def ours(served: Served, asked: Query, rows: pl.DataFrame) -> pl.DataFrame:
    endpoint, (name, kind, _) = endpoint_of(served), served
    if endpoint.closes and asked.bar:
        rows = rows.with_columns(ts=(pl.col("ts").cast(pl.Int64) - asked.bar).cast(rows.schema["ts"]))
    if endpoint.contracts:
        price, dialect = pl.col("price") if kind == "inverse" else 1.0, DIALECTS[name]
        worth = {**dialect.contracts, **dialect.book_contracts}[kind]
        rows = rows.with_columns(amount=pl.col("amount") * 10.0**worth / price)
    return rows


def sandbox_of(*faults: Fault, now: Us = NOW) -> InProcess:
    sandbox = InProcess(now)
    sandbox.faults(*faults)
    return sandbox


BARS = [
    pytest.param(served, Symbol.parse(symbol), bar, id="-".join((*served, symbol, format_bar_span(bar))))
    for served in SERVED
    if served[2] is OHLC
    for symbol in SYMBOLS[served[1]]
    for bar in endpoint_of(served).spans
]


@pytest.mark.parametrize(("served", "symbol", "bar"), BARS)
def test_our_decoder_reads_the_bars_back_as_the_truth(served: Served, symbol: Symbol, bar: Us) -> None:
    """With an outage among them, with the quiet ones as the venue has them, whatever their length."""
    if isinstance(endpoint_of(served).paging, Recent):
        rows = page(served, replace(query(served, symbol, TimeRange(Us(0), NOW)), bar=bar))
        first, running = Us(int(rows["ts"].to_physical()[0])), Us(NOW - NOW % bar)
        assert rows["ts"].to_physical()[-1] == running
        rows, span, least = rows[:-1], TimeRange(first, running), endpoint_of(served).page_limit
    else:
        limit = min(300, endpoint_of(served).page_limit)
        start = Us(DAY_OF_AN_OUTAGE // bar * bar)
        span = TimeRange(start, Us(min(start + limit * bar, NOW // bar * bar)))
        rows, least = page(served, replace(query(served, symbol, span, limit), bar=bar)), 10
    assert rows.height >= least
    assert rows.equals(MARKET.truth_bars(served[0], symbol, bar, span))


@pytest.mark.parametrize(
    ("start", "end", "minutes"),
    [
        (0, MINUTE, [0]),
        (-1, MINUTE - 1, [0]),
        (1, MINUTE, []),
        (1, MINUTE + 1, [1]),
        (0, MINUTE + 1, [0, 1]),
        (MINUTE - 1, 2 * MINUTE, [1]),
    ],
)
@of(OHLC)
def test_half_open_microseconds_become_the_bars_inside(
    served: Served, start: int, end: int, minutes: list[int]
) -> None:
    """Whether a venue takes its bounds for inclusive or not, some show the one before besides."""
    if isinstance(endpoint_of(served).paging, Recent):
        return
    symbol, day = Symbol.parse(SYMBOLS[served[1]][0]), TimeRange(Us(NOW - DAY), NOW)
    traded = MARKET.truth_bars(served[0], symbol, MINUTE, day)["ts"].to_physical().to_list()
    opened = next(at for at in traded if at - MINUTE in traded and at + MINUTE in traded)
    rows = page(served, query(served, symbol, TimeRange(Us(opened + start), Us(opened + end)), 10))
    opens = rows["ts"].to_physical().to_list()
    inside = [at for at in opens if start <= at - opened < end]
    assert inside == [opened + minute * MINUTE for minute in minutes]
    asked = -(-start // SECOND) * SECOND
    early = [opened + asked // MINUTE * MINUTE] if served[0] in EARLY and asked % MINUTE else []
    late = [opened + MINUTE] if served[0] in LATE and not inside else []
    assert opens == [*early, *inside, *late]


@of(OHLC)
def test_the_running_bar_holds_the_trades_so_far(served: Served) -> None:
    """Where a venue shows one, and marks it by nothing."""
    symbol, today = Symbol.parse(SYMBOLS[served[1]][0]), Us(NOW - NOW % DAY)
    rows = page(served, replace(query(served, symbol, TimeRange(today, Us(today + DAY)), 10), bar=DAY))
    assert rows.is_empty() == (served[0] in FINAL_ONLY)
    if rows.height:
        trades = MARKET.truth_trades(served[0], symbol, TimeRange(today, NOW))
        row = rows.row(-1, named=True)
        assert row["ts"].isoformat() == "2024-06-05T00:00:00+00:00"
        assert (row["close"], row["trades"]) == (trades["price"][-1], row["trades"] and trades.height)
        assert row["volume"] == pytest.approx(trades["amount"].sum())


@of(OHLC)
def test_history_begins_with_the_listing(served: Served) -> None:
    if served[1] != "spot":
        return
    span = TimeRange(Us(UNLISTED + 8 * DAY), Us(LISTED + 2 * HOUR))
    first = MARKET.truth_bars(served[0], NEW, MINUTE, span)[:1]
    since = Us(LISTED - 30 * MINUTE)
    rows = page(served, query(served, NEW, TimeRange(since, span.end), 150), sandbox_of(now=span.end))
    assert rows[:1].equals(first)
    assert int(first["ts"].to_physical()[0]) >= LISTED
    assert first["volume"][0] > 0


@markets_of(TRADES)
def test_our_decoder_reads_the_trades_back_as_the_truth(served: Served, symbol: Symbol) -> None:
    endpoint, span = endpoint_of(served), TimeRange(RECENTLY, NOW)
    truth = MARKET.truth_trades(served[0], symbol, span)
    limit = min(100, endpoint.page_limit)
    if isinstance(endpoint.paging, IdWindows):
        for first in (0, 70, 500):
            expected = truth[first : first + limit]
            asked = replace(query(served, symbol, span, limit), first_id=int(expected["trade_id"][0]))
            assert page(served, asked).equals(expected)
        return
    rows = page(served, query(served, symbol, span, limit))
    assert rows.height >= min(60, limit)
    newest = isinstance(endpoint.paging, Recent)
    assert rows.equals(truth.tail(rows.height) if newest else truth.filter(_within(rows)))


def _within(rows: pl.DataFrame) -> pl.Expr:
    """A page may begin a little early and end inside a moment."""
    return pl.col("trade_id").is_in(rows["trade_id"].to_list())


@markets_of(ORDERBOOK)
def test_our_decoder_reads_the_book_back_as_the_truth_around_the_price(
    served: Served, symbol: Symbol
) -> None:
    """Best first; its time is when the venue made it, a moment ago, or when it answered."""
    at = Us(NOW + 34_567 * MILLISECOND)
    endpoint, asked = endpoint_of(served), query(served, symbol, TimeRange(at, at))
    body = answered(served[0], endpoint.request(asked), sandbox_of(now=at))
    book = ours(served, asked, endpoint.decode(body, at))
    truth = MARKET.truth_book(served[0], symbol, at, endpoint.page_limit)
    assert book.drop("ts", "amount").equals(truth.drop("ts", "amount"))
    assert book["amount"].to_list() == pytest.approx(truth["amount"].to_list(), rel=1e-9)
    assert endpoint.contracts or book["amount"].equals(truth["amount"])
    [told] = book["ts"].to_physical().unique()
    assert 0 <= at - told < 100 * MILLISECOND
    bid, ask = (book.filter(side=side, level=0)["price"].item() for side in ("bid", "ask"))
    last = MARKET.truth_trades(served[0], symbol, TimeRange(Us(at - 6 * HOUR), at))["price"][-1]
    assert bid < last < ask < last * 1.001


@of(ORDERBOOK)
def test_no_price_of_a_book_is_below_zero(served: Served) -> None:
    name = {"spot": "LOW/USDT", "linear": "LOW/USDT:USDT", "inverse": "LOW/USD:LOW"}[served[1]]
    sandbox = InProcess(NOW, symbols=[name])
    book = page(served, query(served, Symbol.parse(name), TimeRange(NOW, NOW)), sandbox)
    assert book["price"].gt(0).all()
    assert book.filter(side="ask").height > 20


@pytest.mark.parametrize("name", NAMES)
def test_our_requests_find_every_market(name: str) -> None:
    exchange, found = get(name), list[pl.DataFrame]()
    for first in exchange.markets.requests():
        request: Request | None = first
        while request is not None:
            body = answered(name, request)
            found.append(exchange.markets.decode(body))
            request = exchange.markets.more(request, body) if exchange.markets.more else None
    rows = pl.concat(found)
    kinds = {served[1] for served in SERVED if served[0] == name}
    known = [symbol for symbol in MARKET.instruments if symbol.market_type in kinds]
    assert sorted(rows["symbol"]) == sorted(str(symbol) for symbol in known)
    assert rows["active"].all()
    for row in rows.rows(named=True):
        symbol = Symbol.parse(row["symbol"])
        assert row["market"] == exchange.market(symbol)
        counted = any(endpoint_of(one).contracts for one in SERVED if one[:2] == (name, symbol.market_type))
        worth = DIALECTS[name].contracts.get(symbol.market_type)
        assert not counted or row["contract"] is not None
        assert worth is None or row["contract"] == pytest.approx(10.0**worth)


@pytest.mark.parametrize("served", [one for one in SERVED if endpoint_of(one).oldest], ids="-".join)
def test_the_very_first_rows_are_found(served: Served) -> None:
    """Bars may be asked for in weeks, so the first begins up to a week before the first trade."""
    symbol, endpoint = Symbol.parse(SYMBOLS[served[1]][0]), endpoint_of(served)
    assert endpoint.oldest
    asked = query(served, symbol, TimeRange(Us(0), NOW), 1)
    rows = endpoint.decode(answered(served[0], endpoint.oldest(asked)), NOW)
    first = MARKET.tape(served[0], symbol).first_time
    early = first - int(rows["ts"].to_physical()[0])
    assert early == 0 if served[2] is TRADES else -MINUTE <= early < 7 * DAY


@of(*DataType)
def test_before_the_first_trade_there_is_nothing(served: Served) -> None:
    """And no error of the venue."""
    if served[1] != "spot" or isinstance(endpoint_of(served).paging, IdWindows):
        return
    span = TimeRange(Us(UNLISTED - HOUR), UNLISTED)
    assert page(served, query(served, NEW, span), sandbox_of(now=UNLISTED)).is_empty()


@of(OHLC)
def test_before_the_first_trade_there_is_no_bar_of_any_length(served: Served) -> None:
    """Though one began that it will be in."""
    now = Us(LISTED - HOUR)
    for bar in endpoint_of(served).spans if served[1] == "spot" else ():
        span = TimeRange(Us(bar_open(now, bar)), Us(bar_open(now, bar) + bar))
        asked = replace(query(served, NEW, span), bar=bar)
        assert page(served, asked, sandbox_of(now=now)).is_empty(), format_bar_span(bar)


@of(OHLC, TRADES)
def test_nothing_is_told_of_the_future(served: Served) -> None:
    endpoint, symbol = endpoint_of(served), Symbol.parse(SYMBOLS[served[1]][0])
    asked = query(
        served, symbol, TimeRange(Us(NOW + HOUR), Us(NOW + 2 * HOUR)), min(100, endpoint.page_limit)
    )
    if isinstance(endpoint.paging, IdWindows):
        newest = int(MARKET.truth_trades(served[0], symbol, TimeRange(Us(NOW - HOUR), NOW))["trade_id"][-1])
        asked = replace(asked, first_id=newest + 1)
    rows = page(served, asked)
    assert rows.filter(pl.col("ts").cast(pl.Int64) >= NOW).is_empty()
    assert rows.is_empty() or isinstance(endpoint.paging, Recent | IdWindows)


@of(OHLC)
def test_bars_can_be_withheld(served: Served) -> None:
    symbol, start = Symbol.parse(SYMBOLS[served[1]][0]), Us(NOW // HOUR * HOUR - HOUR)
    fault = Fault(kind=FaultKind.GAPS, start=start, end=Us(start + 10 * MINUTE))
    asked = query(served, symbol, TimeRange(Us(start - 5 * MINUTE), Us(start + 20 * MINUTE)), 25)
    clean, rows = page(served, asked), page(served, asked, sandbox_of(fault))
    times = pl.col("ts").cast(pl.Int64)
    gap = times.is_between(start, start + 10 * MINUTE, closed="left")
    assert clean.filter(gap).height > 3
    assert rows.filter(gap).is_empty()
    assert clean.filter(~gap).join(rows, on="ts", how="anti").is_empty()


@of(TRADES)
def test_trades_can_be_withheld(served: Served) -> None:
    symbol, endpoint = Symbol.parse(SYMBOLS[served[1]][0]), endpoint_of(served)
    asked = query(served, symbol, TimeRange(RECENTLY, NOW), min(60, endpoint.page_limit))
    if isinstance(endpoint.paging, IdWindows):
        truth = MARKET.truth_trades(served[0], symbol, asked.span)
        asked = replace(asked, first_id=int(truth["trade_id"][0]))
    clean = page(served, asked)
    number = MARKET.tape(served[0], symbol).count_before(Us(int(clean["ts"].to_physical()[30])))
    fault = Fault(kind=FaultKind.MISSING_TRADES, first_id=number + 1, last_id=number + 2)
    rows = page(served, asked, sandbox_of(fault))
    assert clean.join(rows, on="trade_id", how="anti").height == 2


KINDS: dict[int, type[DccdError]] = {
    200: Unavailable,
    403: Banned,
    429: Throttled,
    451: Rejected,
    500: Unavailable,
    502: Unavailable,
    503: Unavailable,
    520: Unavailable,
}
"""What trouble of a status is; 200 has the venue's own error in its body."""


@pytest.mark.parametrize("status", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_trouble_comes_in_the_venue_s_words(name: str, status: int) -> None:
    served = next(one for one in SERVED if one[0] == name and one[2] is ORDERBOOK)
    symbol = Symbol.parse(SYMBOLS[served[1]][0])
    kind = FaultKind.ERROR_BODY if status == 200 else FaultKind.STATUS
    sandbox = sandbox_of(Fault(kind=kind, status=status))
    request = endpoint_of(served).request(query(served, symbol, TimeRange(NOW, NOW)))
    answer = sandbox.send("GET", f"/{name}{request.path}", b"", **request.params)
    error = get(name).verdict(Response(answer.status_code, dict(answer.headers), answer.content, NOW))
    assert answer.status_code == status or status == 200
    assert type(error) is KINDS[status]


UNTOLD = ("okx", ORDERBOOK, FaultKind.MISSING_FIELD)
"""A level of OKX is four texts of numbers, of which two are read: without its price it is another one."""


@pytest.mark.parametrize("kind", [FaultKind.WRONG_TYPE, FaultKind.MISSING_FIELD])
@of(*DataType)
def test_a_spoiled_row_is_never_read(served: Served, kind: FaultKind) -> None:
    endpoint, symbol = endpoint_of(served), Symbol.parse(SYMBOLS[served[1]][0])
    asked = query(served, symbol, TimeRange(Us(NOW - HOUR), NOW), min(100, endpoint.page_limit))
    if isinstance(endpoint.paging, IdWindows):
        truth = MARKET.truth_trades(served[0], symbol, asked.span)
        asked = replace(asked, first_id=int(truth["trade_id"][0]))
    sandbox = sandbox_of(Fault(kind=kind))
    if (served[0], served[2], kind) == UNTOLD:
        assert page(served, asked, sandbox).height == page(served, asked).height
        return
    with pytest.raises(DccdError, match="unexpected shape"):
        page(served, asked, sandbox)
