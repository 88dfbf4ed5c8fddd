import asyncio
import logging
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import httpx
import polars as pl
import pytest

from dccd_core.adapter.contract import Exchange, Limit, Markets, Request, Response
from dccd_core.adapter.wire import retry_after
from dccd_core.domain.errors import (
    Banned,
    ConfigError,
    DccdError,
    ExchangeError,
    Rejected,
    Throttled,
    Unavailable,
    UnknownSymbol,
)
from dccd_core.domain.timespan import MINUTE, SECOND, Us, parse_time
from dccd_core.exchanges import get
from dccd_core.net.clock import ManualClock
from dccd_core.net.http import HttpTransport, open_transport
from dccd_core.net.ratelimit.limiter import RateLimiter, RateLimiters
from dccd_core.net.retry import retry

NOON = parse_time("2026-11-22T12:00:00Z")
DATE = "Sun, 22 Nov 2026 12:00:20 GMT"
PAGE = Request("/v1/trades", {"symbol": "BTC/USD", "limit": "2"}, weight=10)

Handler = Callable[[httpx.Request], httpx.Response]


def verdict(response: Response) -> DccdError | None:
    if response.status in (403, 418, 429):
        kind = Throttled if response.status == 429 else Banned
        return kind(f"HTTP {response.status}: too many", wait_s=retry_after(response))
    return UnknownSymbol("no such symbol") if b"unknown" in response.body else None


def used(headers: Mapping[str, str]) -> int | None:
    return int(headers["x-used"]) if "x-used" in headers else None


EXCHANGE = Exchange(
    name="testex",
    title="Test",
    rest_url="https://api.testex.com",
    since=NOON,
    finality_delay=SECOND,
    limits=(Limit(100, MINUTE),),
    kinds=frozenset({"spot"}),
    market=str,
    verdict=verdict,
    used=used,
    markets=Markets("", lambda: (), lambda _: pl.DataFrame()),
)


class Venue:
    """A venue behind httpx's mock: answers as told and notes what it was asked, and when."""

    def __init__(
        self, folder: Path, handler: Handler | None = None, clients: int = 4, exchange: Exchange = EXCHANGE
    ) -> None:
        self.clock = ManualClock(Us(NOON + 20 * SECOND))
        self.asked: list[str] = []
        self._handler = handler or answering()
        self._clients = [
            httpx.AsyncClient(transport=httpx.MockTransport(self._answer)) for _ in range(clients)
        ]
        self._exchange = exchange
        self._budgets = RateLimiters(exchange, exchange.rest_url, 1.0, self.clock, folder=folder)

    def transport(self, rest_url: str | None = None) -> HttpTransport:
        return HttpTransport(self._exchange, self._clients, self._budgets, self.clock, rest_url=rest_url)

    def send(self, request: Request = PAGE, rest_url: str | None = None) -> Response:
        return asyncio.run(self.transport(rest_url).send(request))

    @property
    def passed_s(self) -> float:
        return (self.clock.now() - NOON) / SECOND - 20

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(str(request.url))
        return self._handler(request)


def answering(*statuses: int, **headers: str) -> Handler:
    """Answer with these statuses one after the other, and with 200 once they are used up."""
    left = list(statuses)
    extra = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: httpx.Response(left.pop(0) if left else 200, headers=extra, content=b"[]")


def test_an_answer_comes_as_the_contract_says(tmp_path: Path) -> None:
    headers = [("X-Used", "7"), ("Date", DATE)]
    venue = Venue(tmp_path, lambda _: httpx.Response(200, headers=headers, content=b"[1]"))
    response = venue.send()
    assert (response.status, response.body, response.received) == (200, b"[1]", NOON + 20 * SECOND)
    assert response.headers["x-used"] == "7"
    assert response.venue_time == NOON + 20 * SECOND
    assert venue.asked == ["https://api.testex.com/v1/trades?symbol=BTC%2FUSD&limit=2"]


@pytest.mark.parametrize("rest_url", ["http://127.0.0.1:8900/testex", "http://127.0.0.1:8900/testex/"])
def test_another_rest_url_keeps_the_venue_s_path(tmp_path: Path, rest_url: str) -> None:
    venue = Venue(tmp_path)
    venue.send(Request("/v1/time", {}), rest_url)
    assert venue.asked == ["http://127.0.0.1:8900/testex/v1/time"]


def test_it_counts_what_it_did(tmp_path: Path) -> None:
    venue = Venue(tmp_path)
    transport = venue.transport()

    async def main() -> None:
        await asyncio.gather(*(transport.send(PAGE) for _ in range(11)))

    asyncio.run(main())
    assert (transport.requests, transport.weight) == (11, 110)
    assert transport.waited_s == venue.passed_s == pytest.approx(60)


def test_no_more_are_under_way_than_there_are_clients(tmp_path: Path) -> None:
    under_way, most = 0, 0

    async def slow(_: httpx.Request) -> httpx.Response:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await venue.clock.sleep(1)
        under_way -= 1
        return httpx.Response(200)

    venue = Venue(tmp_path)
    clients = [httpx.AsyncClient(transport=httpx.MockTransport(slow)) for _ in range(3)]
    budgets = RateLimiters(EXCHANGE, EXCHANGE.rest_url, 1.0, venue.clock, folder=tmp_path)
    transport = HttpTransport(EXCHANGE, clients, budgets, venue.clock)

    async def main() -> None:
        given_up = [asyncio.create_task(transport.send(PAGE)) for _ in range(2)]
        await asyncio.sleep(0)
        for task in given_up:
            task.cancel()
        await asyncio.wait(given_up)
        await asyncio.gather(*(transport.send(Request("/", {})) for _ in range(7)))

    asyncio.run(main())
    assert most == 3


def test_what_the_verdict_says_is_raised_and_opens_no_breaker(tmp_path: Path) -> None:
    venue = Venue(tmp_path, lambda _: httpx.Response(200, content=b"unknown"))
    with pytest.raises(UnknownSymbol):
        venue.send()
    with pytest.raises(UnknownSymbol):
        venue.send()
    assert venue.passed_s == 0


@pytest.mark.parametrize(
    ("status", "retry_after", "kind", "closed_s"),
    [(429, "7", Throttled, 7), (418, "90", Banned, 90), (403, None, Banned, 60), (429, None, Throttled, 60)],
)
def test_a_venue_that_shuts_us_out_is_left_alone_by_every_process(
    tmp_path: Path,
    status: int,
    retry_after: str | None,
    kind: type[ExchangeError],
    closed_s: float,
    caplog: pytest.LogCaptureFixture,
) -> None:
    headers = {"retry_after": retry_after} if retry_after else {}
    venue = Venue(tmp_path, answering(status, **headers))
    with pytest.raises(kind, match=str(status)), caplog.at_level(logging.WARNING):
        venue.send()
    assert f"HTTP {status}: too many" in caplog.text
    other = RateLimiter(tmp_path / "testex-api.testex.com.sqlite", EXCHANGE.limits, 1.0, venue.clock)
    asyncio.run(other.spend(1))
    assert venue.passed_s == closed_s
    assert len(venue.asked) == 1


@pytest.mark.parametrize(
    ("text", "closed_s", "said"),
    [
        ("1795867200", 3_600, "'1795867200' is cut to an hour"),
        ("9" * 400, 3_600, "is cut to an hour"),
        ("soon", 60, "'soon' cannot be read"),
        ("-1", 60, "'-1' cannot be read"),
        ("2.5", 2.5, ""),
    ],
)
def test_h5_no_header_shuts_the_breaker_for_longer_than_an_hour(
    tmp_path: Path, text: str, closed_s: float, said: str
) -> None:
    venue = Venue(tmp_path, answering(429, retry_after=text))
    with pytest.raises(Throttled) as caught:
        venue.send()
    assert said in caught.value.hint
    other = RateLimiter(
        tmp_path / "testex-api.testex.com.sqlite", EXCHANGE.limits, 1.0, venue.clock, patience_s=1e9
    )
    asyncio.run(other.spend(1))
    assert venue.passed_s == closed_s


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf"])
def test_h11_a_byte_order_mark_is_no_part_of_an_answer(tmp_path: Path, mark: bytes) -> None:
    venue = Venue(tmp_path, lambda _: httpx.Response(200, content=mark + b"[1]"))
    assert venue.send().body == b"[1]"


def test_persisting_through_a_breaker_waits_once(tmp_path: Path) -> None:
    venue = Venue(tmp_path, answering(429, 429, retry_after="30"))
    transport = venue.transport()
    response = asyncio.run(retry(lambda: transport.send(PAGE), venue.clock, chance=lambda: 1.0))
    assert response.status == 200
    assert venue.passed_s == 60


def test_the_venue_s_count_is_learnt(tmp_path: Path) -> None:
    venue = Venue(tmp_path, answering(x_used="95", date="Sun, 22 Nov 2026 12:00:37 GMT"))
    venue.send()
    venue.send()
    assert venue.passed_s == 23, "by the venue's clock its minute is over"


def test_a_venue_that_tells_no_count_is_not_asked_for_one(tmp_path: Path) -> None:
    answers = answering(x_used="100", date="Sun, 22 Nov 2026 12:00:20 GMT")
    venue = Venue(tmp_path, answers, exchange=replace(EXCHANGE, used=None))
    venue.send()
    venue.send()
    assert venue.passed_s == 0


@pytest.mark.parametrize("status", [301, 302, 307])
def test_a_redirect_is_an_error(tmp_path: Path, status: int) -> None:
    venue = Venue(tmp_path, answering(status, location="https://login.portal/"))
    with pytest.raises(Rejected, match=r"https://login\.portal/"):
        venue.send()
    assert len(venue.asked) == 1


@pytest.mark.parametrize(
    "failure",
    [
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
        httpx.RemoteProtocolError("cut"),
        httpx.DecodingError("gzip"),
    ],
)
def test_no_whole_answer_is_unavailable_and_says_where(tmp_path: Path, failure: httpx.RequestError) -> None:
    def fail(_: httpx.Request) -> httpx.Response:
        raise failure

    with pytest.raises(Unavailable) as caught:
        Venue(tmp_path, fail).send()
    for part in (type(failure).__name__, str(failure), "api.testex.com", "/v1/trades"):
        assert part in str(caught.value)
    assert caught.value.hint


def test_l15_a_certificate_that_is_not_trusted_is_called_that(tmp_path: Path) -> None:
    def fail(_: httpx.Request) -> httpx.Response:
        said = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed")
        said.verify_code, said.verify_message = 10, "certificate has expired"
        raise httpx.ConnectError(str(said)) from said

    with pytest.raises(Unavailable) as caught:
        Venue(tmp_path, fail).send()
    assert "the network or the venue has trouble" not in str(caught.value)
    for part in ("TLS certificate is not trusted: certificate has expired", "api.testex.com", "/v1/trades"):
        assert part in str(caught.value)
    assert "clock" in caught.value.hint


class TestOpenTransport:
    @pytest.fixture(autouse=True)
    def state(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DCCD_STATE_DIR", str(tmp_path / "state"))

    def test_it_speaks_http_with_few_connections(self, tmp_path: Path) -> None:
        heads: list[bytes] = []
        serving: list[asyncio.Task[None] | None] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            serving.append(asyncio.current_task())
            with suppress(asyncio.IncompleteReadError):
                while head := await reader.readuntil(b"\r\n\r\n"):
                    heads.append(head.lower())
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]")
            writer.close()
            await writer.wait_closed()

        async def main() -> Response:
            async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
                url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/testex"
                async with open_transport(EXCHANGE, rest_url=url, max_in_flight=2) as transport:
                    await asyncio.gather(*(transport.send(PAGE) for _ in range(6)))
                    response = await transport.send(PAGE)
                await asyncio.gather(*(task for task in serving if task))
            return response

        assert asyncio.run(main()).body == b"[]"
        assert len(serving) == 2
        assert heads[0].startswith(b"get /testex/v1/trades?symbol=btc%2fusd&limit=2 http/1.1\r\n")
        assert b"\r\nuser-agent: dccd/" in heads[0]
        assert [path.suffix for path in (tmp_path / "state").glob("testex-127.0.0.1_*.sqlite")]

    def test_nobody_there_is_unavailable(self) -> None:
        async def main() -> None:
            async with open_transport(EXCHANGE, rest_url="http://127.0.0.1:1") as transport:
                await transport.send(PAGE)

        with pytest.raises(Unavailable, match="ConnectError"):
            asyncio.run(main())

    @pytest.mark.parametrize(
        "rest_url", ["api.testex.com", "ftp://api.testex.com", "https://", "http://host:port"]
    )
    def test_an_impossible_address_is_refused(self, rest_url: str) -> None:
        async def main() -> None:
            async with open_transport(EXCHANGE, rest_url=rest_url):
                pass

        with pytest.raises(ConfigError, match="rest_url"):
            asyncio.run(main())


async def cancelled_after(steps: int, url: str) -> bool:
    """Cancel a request so many steps of the loop after it began; say whether the next one gets through."""
    request = Request("/x", {}, weight=1)
    async with open_transport(get("binance"), rest_url=url, max_in_flight=1) as transport:
        await transport.send(request)
        task = asyncio.create_task(transport.send(request))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        with suppress(TimeoutError):
            await asyncio.wait_for(transport.send(request), 10)
            return True
    return False


def test_a_request_cancelled_at_any_moment_leaves_a_way_to_ask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DCCD_STATE_DIR", str(tmp_path))

    ended: list[asyncio.Task[None]] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]")
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ended.append(asyncio.create_task(answer(reader, writer)))

    async def main() -> list[int]:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            stuck = [steps for steps in range(30) if not await cancelled_after(steps, url)]
            await asyncio.gather(*ended)
            return stuck

    assert asyncio.run(main()) == []
