"""Drift of every sort is seen, said and never raised; what is well is said too."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

import httpx
import msgspec
import polars as pl
import pytest

from dccd_core.adapter.contract import Exchange, Request, Response
from dccd_core.domain.errors import Unavailable
from dccd_core.domain.timespan import HOUR, MINUTE, SECOND, Us, parse_time
from dccd_core.exchanges import get
from dccd_core.fetch.doctor import Finding, examine
from dccd_core.fetch.venue import Venue
from dccd_core.net.clock import ManualClock
from dccd_core.tables import DataType
from dccd_core.testing.sandbox.faults import Fault, FaultKind
from dccd_core.testing.sandbox.options import Options
from dccd_core.testing.sandbox.server import VENUES, create_app

NOW = parse_time("2024-06-05T12:00:30")
Change = Callable[[Request, Response], Response]


class Wire:
    """A transport straight into the sandbox; ``change`` tampers with what comes back."""

    def __init__(self, exchange: Exchange, clock: ManualClock, change: Change) -> None:
        self.asked: Final = list[Request]()
        self._exchange, self._clock, self._change = exchange, clock, change
        self._app: Final = httpx.ASGITransport(create_app(Options()))

    async def send(self, request: Request) -> Response:
        self.asked.append(request)
        answer = await self._call("GET", f"/{self._exchange.name}{request.path}", params=request.params)
        headers = {name.lower(): value for name, value in answer.headers.items()}
        plain = Response(answer.status_code, headers, answer.content, self._clock.now())
        response = self._change(request, plain)
        if error := self._exchange.verdict(response):
            raise error
        return response

    async def order(self, name: str, order: object) -> None:
        await self._call("POST", f"/_control/{name}", content=msgspec.json.encode(order))

    async def _call(
        self, method: str, path: str, content: bytes = b"", params: Mapping[str, str] | None = None
    ) -> httpx.Response:
        async with httpx.AsyncClient(transport=self._app, base_url="http://sandbox") as client:
            return await client.request(method, path, content=content, params=params)


def examined(
    exchange: Exchange,
    *faults: Fault,
    now: Us = NOW,
    ours: Us | None = None,
    change: Change = lambda _, response: response,
) -> dict[str, Finding]:
    """Return the findings by what they are about; ``ours`` is our clock."""

    async def run() -> list[Finding]:
        clock = ManualClock(ours or now)
        wire = Wire(exchange, clock, change)
        await wire.order("clock", {"now": now})
        await wire.order("faults", faults)
        return await examine(Venue(exchange, wire, clock))

    findings = asyncio.run(run())
    assert len({one.subject for one in findings}) == len(findings)
    assert all("\n" not in str(one) for one in findings)
    return {one.subject: one for one in findings}


BINANCE = get("binance")
PAGES = [f"{kind} {data_type}" for kind in ("spot", "linear") for data_type in DataType]


def wrong(findings: dict[str, Finding]) -> set[str]:
    return {one.subject for one in findings.values() if not one.ok}


def at(path: str, change: Callable[[bytes], bytes]) -> Change:
    """Change the bodies of a path that ends so."""

    def changed(request: Request, response: Response) -> Response:
        return replace(response, body=change(response.body)) if request.path.endswith(path) else response

    return changed


@pytest.mark.parametrize("name", [venue.name for venue in VENUES])
def test_a_venue_that_answers_as_described_is_well(name: str) -> None:
    exchange = get(name)
    findings = examined(replace(exchange, closed=None))
    assert wrong(findings) == set(), findings
    served = {
        f"{kind} {data_type}"
        for kind in exchange.kinds
        for data_type in DataType
        if exchange.endpoint(kind, data_type)
    }
    assert findings.keys() - {"rate limits"} == {"connection", "clock", "symbols", *served}


def test_what_is_well_is_said_too() -> None:
    findings = examined(BINANCE)
    assert list(findings) == ["connection", "clock", "symbols", *PAGES, "rate limits"]
    assert str(findings["connection"]) == "ok connection: answered in 0 ms"
    assert findings["clock"].said == "in step with the venue's to the second"
    assert findings["symbols"].said == "15 markets; of those that trade 13 spot, 2 linear"
    assert findings["spot ohlc"].said == "10 bars of 1m of BTC/USDT, the newest of 2024-06-05T11:58:00Z"
    assert findings["linear trades"].said.startswith("10 trades of BTC/USDT:USDT, the newest of 2024-06-05")
    assert findings["spot orderbook"].said == "10 bids and 10 asks of BTC/USDT, 2024-06-05T12:00:30Z"
    assert findings["rate limits"].said == "9 of 9 answers told what was spent"


@pytest.mark.parametrize(
    ("off_s", "ok", "said"),
    [
        (0.9, True, "in step with the venue's to the second"),
        (3.5, True, "the venue's is 3 s behind this machine's"),
        (-3.5, True, "the venue's is 4 s ahead of this machine's"),
        (70, False, "the venue's is 70 s behind this machine's"),
        (-3_600, False, "the venue's is 3600 s ahead of this machine's"),
    ],
)
def test_the_clocks_are_compared_and_a_wrong_one_spoils_nothing_else(
    off_s: float,
    said: str,
    *,
    ok: bool,
) -> None:
    findings = examined(BINANCE, ours=Us(NOW - NOW % SECOND + round(off_s * 10) * SECOND // 10))
    clock = findings["clock"]
    assert (clock.ok, clock.said) == (ok, said)
    assert ("NTP" in clock.hint) is not ok
    assert wrong(findings) == (set() if ok else {"clock"})


def test_answers_without_a_date_leave_our_clock_to_decide() -> None:
    def dateless(_: Request, response: Response) -> Response:
        return replace(response, headers={})

    findings = examined(BINANCE, change=dateless)
    assert "this machine's clock decides" in findings["clock"].said
    assert findings["clock"].ok
    assert wrong(findings) == {"rate limits"}
    assert findings["rate limits"].said == "0 of 9 answers told what was spent"


def test_an_exchange_that_never_told_what_was_spent_is_not_asked_for_it() -> None:
    assert "rate limits" not in examined(replace(BINANCE, used=None))


class TestNobodyAnswers:
    def test_it_is_the_only_finding(self) -> None:
        def down(_: Request, __: Response) -> Response:
            raise Unavailable("ConnectError asking api.binance.com", hint="the network has trouble")

        [finding] = examined(BINANCE, change=down).values()
        assert (finding.subject, finding.ok) == ("connection", False)
        assert finding.said.startswith("ConnectError asking")
        assert finding.hint.startswith("gave up after 2 attempts")
        assert finding.hint.endswith("the network has trouble")

    def test_one_stumble_is_forgiven(self) -> None:
        assert wrong(examined(BINANCE, Fault(kind=FaultKind.STATUS, status=503, nth=1))) == set()

    def test_a_ban_is_told_in_the_venue_s_words(self) -> None:
        ban = Fault(kind=FaultKind.STATUS, status=418, retry_after_s=9_999)
        [finding] = examined(BINANCE, ban).values()
        assert "HTTP 418: -1003 Way too much request weight" in finding.said

    def test_a_closed_exchange_is_told_with_its_date(self) -> None:
        gone = replace(BINANCE, closed=parse_time("2024-06-01T04:00"))

        def down(_: Request, __: Response) -> Response:
            raise Unavailable("no such host")

        [finding] = examined(gone, change=down).values()
        assert (finding.ok, finding.said) == (False, "Binance closed on 2024-06-01")
        assert "exchanges.binance.rest_url" in finding.hint

    def test_a_closed_exchange_whose_history_another_server_has_is_examined(self) -> None:
        gone = replace(BINANCE, closed=parse_time("2024-06-01T04:00"))
        assert wrong(examined(gone)) == set()

    def test_an_exchange_that_will_close_is_still_open(self) -> None:
        later = replace(BINANCE, closed=parse_time("2024-07-01"))

        def down(_: Request, __: Response) -> Response:
            raise Unavailable("no such host")

        [finding] = examined(later, change=down).values()
        assert finding.said == "no such host"


class TestDrift:
    def test_another_shape_is_told_with_the_field_and_the_place(self) -> None:
        findings = examined(BINANCE, Fault(kind=FaultKind.MISSING_FIELD, field="price", path="aggTrades"))
        assert wrong(findings) == {"spot trades", "linear trades"}
        assert findings["spot trades"].said.startswith("[binance /api/v3/aggTrades BTC/USDT] unexpected")
        assert "missing required field `p`" in findings["spot trades"].said
        assert "update dccd" in findings["spot trades"].hint

    def test_an_endpoint_that_is_gone_is_told_the_others_are_well(self) -> None:
        gone = Fault(kind=FaultKind.STATUS, status=404, body="<html>", path="/fapi/v1/depth")
        findings = examined(BINANCE, gone)
        assert wrong(findings) == {"linear orderbook"}
        assert "HTTP 404" in findings["linear orderbook"].said

    def test_without_symbols_the_pages_are_still_looked_at(self) -> None:
        findings = examined(BINANCE, Fault(kind=FaultKind.STATUS, status=404, path="/fapi/v1/exchangeInfo"))
        assert wrong(findings) == {"symbols"}

    def test_a_kind_of_market_without_symbols_is_drift(self) -> None:
        def renamed(body: bytes) -> bytes:
            return body.replace(b'"PERPETUAL"', b'"FOREVER"')

        findings = examined(BINANCE, change=at("/fapi/v1/exchangeInfo", renamed))
        assert wrong(findings) == {"symbols"}
        assert findings["symbols"].said == "13 markets; of those that trade 13 spot, 0 linear"

    def test_the_first_symbol_is_asked_where_the_likely_ones_do_not_trade(self) -> None:
        def halted(body: bytes) -> bytes:
            info = msgspec.json.decode(body)
            for one in info["symbols"]:
                one["status"] = "BREAK" if one["baseAsset"] == "BTC" else "TRADING"
            return msgspec.json.encode(info)

        findings = examined(BINANCE, change=at("exchangeInfo", halted))
        assert "ETH/USDT:USDT" in findings["linear trades"].said
        assert "ETH/USDT," in findings["spot trades"].said

    def test_bars_that_stopped_are_told_with_the_newest(self) -> None:
        stopped = Fault(kind=FaultKind.GAPS, path="/api/v3/klines", start=NOW - 5 * MINUTE, end=NOW + HOUR)
        findings = examined(BINANCE, stopped)
        assert wrong(findings) == {"spot ohlc"}
        assert findings["spot ohlc"].said == (
            "bars of 1m of BTC/USDT were due up to 2024-06-05T11:58:00Z,"
            " the newest is of 2024-06-05T11:55:00Z"
        )

    def test_no_bars_at_all(self) -> None:
        findings = examined(BINANCE, change=at("/api/v3/klines", lambda _: b"[]"))
        assert findings["spot ohlc"].said.endswith("due up to 2024-06-05T11:58:00Z, there is none")

    def test_bars_that_are_missing_in_between(self) -> None:
        hole = Fault(
            kind=FaultKind.GAPS,
            path="/api/v3/klines",
            start=parse_time("2024-06-05T11:52"),
            end=parse_time("2024-06-05T11:54"),
        )
        finding = examined(BINANCE, hole)["spot ohlc"]
        assert finding.said.startswith("asked for 10 bars of 1m of BTC/USDT in [")
        assert finding.said.endswith("8 came")

    def test_bars_off_the_grid(self) -> None:
        def shifted(body: bytes) -> bytes:
            return msgspec.json.encode([[row[0] + 1_000, *row[1:]] for row in msgspec.json.decode(body)])

        finding = examined(BINANCE, change=at("/api/v3/klines", shifted))["spot ohlc"]
        assert "do not open on the grid: 2024-06-05T11:49:01Z" in finding.said

    def test_other_bars_than_those_asked_for(self) -> None:
        def earlier(body: bytes) -> bytes:
            return msgspec.json.encode([[row[0] - 3_600_000, *row[1:]] for row in msgspec.json.decode(body)])

        finding = examined(BINANCE, change=at("/api/v3/klines", earlier))["spot ohlc"]
        assert finding.said.endswith("10 others came")

    def test_ids_that_are_ignored(self) -> None:
        def other(body: bytes) -> bytes:
            rows = msgspec.json.decode(body)
            return msgspec.json.encode(
                [{**row, "a": row["a"] + 5_000} for row in rows if len(rows) > 1] or rows
            )

        finding = examined(BINANCE, change=at("/api/v3/aggTrades", other))["spot trades"]
        assert "it did not come" in finding.said

    def test_no_trades_at_all(self) -> None:
        finding = examined(BINANCE, change=at("/api/v3/aggTrades", lambda _: b"[]"))["spot trades"]
        assert finding.said == "no trade of BTC/USDT before 2024-06-05T12:00:30Z"

    def test_trades_from_the_future(self) -> None:
        def later(body: bytes) -> bytes:
            return msgspec.json.encode(
                [{**row, "T": row["T"] + 7_200_000} for row in msgspec.json.decode(body)]
            )

        finding = examined(BINANCE, change=at("/api/v3/aggTrades", later))["spot trades"]
        assert "comes from the future" in finding.said

    @pytest.mark.parametrize(
        ("body", "said"),
        [
            (b'{"lastUpdateId":1,"bids":[],"asks":[["2","1"]]}', "has 0 bids and 1 asks"),
            (
                b'{"lastUpdateId":1,"bids":[["3","1"]],"asks":[["2","1"]]}',
                "crossed or out of order: 3.0 / 2.0",
            ),
            (
                b'{"lastUpdateId":1,"bids":[["1","1"],["1.5","1"]],"asks":[["2","1"]]}',
                "crossed or out of order",
            ),
            (
                b'{"lastUpdateId":1,"T":17,"bids":[["1","1"]],"asks":[["2","1"]]}',
                "is of 1970-01-01T00:00:00.017Z",
            ),
        ],
    )
    def test_a_book_that_cannot_be(self, body: bytes, said: str) -> None:
        finding = examined(BINANCE, change=at("/fapi/v1/depth", lambda _: body))["linear orderbook"]
        assert said in finding.said

    def test_columns_of_another_sort(self) -> None:
        trades = BINANCE.endpoints[DataType.TRADES]

        def narrower(body: bytes, moment: Us) -> pl.DataFrame:
            return trades.decode(body, moment).drop("side")

        other = {**BINANCE.endpoints, DataType.TRADES: replace(trades, decode=narrower)}
        assert "columns" in examined(replace(BINANCE, endpoints=other))["spot trades"].said

    def test_a_required_value_that_is_missing(self) -> None:
        book = BINANCE.endpoints[DataType.ORDERBOOK]

        def holey(body: bytes, moment: Us) -> pl.DataFrame:
            return book.decode(body, moment).with_columns(amount=pl.lit(None, pl.Float64))

        other = {**BINANCE.endpoints, DataType.ORDERBOOK: replace(book, decode=holey)}
        finding = examined(replace(BINANCE, endpoints=other))["spot orderbook"]
        assert finding.said == "amount missing in 20 rows of BTC/USDT"

    def test_a_fault_of_our_own_is_a_finding_too(self) -> None:
        def broken(_body: bytes, _at: Us) -> pl.DataFrame:
            raise KeyError("no\nsuch")

        bars = replace(BINANCE.endpoints[DataType.OHLC], decode=broken)
        findings = examined(replace(BINANCE, endpoints={**BINANCE.endpoints, DataType.OHLC: bars}))
        assert wrong(findings) == {"spot ohlc"}
        assert findings["spot ohlc"].said.startswith("KeyError(")
