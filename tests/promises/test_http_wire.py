"""What a client of HTTP meets on the wire, to the byte: a whole answer, or an error of ours; never two."""

import asyncio
import gzip
import re
import socket as sockets
import zlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext
from struct import pack

import httpx
import pytest

from dccd_core.adapter.contract import Request, Response
from dccd_core.domain.errors import DccdError, Rejected, Unavailable
from dccd_core.net import http
from dccd_core.net.http import HttpTransport, open_transport
from tests.dccd_core.net.test_handshake import black_hole, certified
from tests.dccd_core.net.test_http import EXCHANGE
from tests.dccd_core.net.wire import listening, run

TIME = Request("/v1/time", {}, weight=1)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DCCD_STATE_DIR", str(tmp_path / "state"))
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@dataclass
class Server:
    """Gives each connection's requests these answers, one after the other, and then the last again.

    An empty answer hangs up; ``closes`` hangs up after each.
    """

    answers: tuple[bytes, ...]
    closes: bool = False
    resets: bool = False
    heads: list[bytes] = field(default_factory=list[bytes])
    connections: int = 0
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while True:
            self.heads.append(await reader.readuntil(b"\r\n\r\n"))
            answer = self.answers[min(len(self.heads), len(self.answers)) - 1]
            writer.write(answer)
            await writer.drain()
            if self.resets:
                sock = writer.get_extra_info("socket")
                sock.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, pack("ii", 1, 0))
            if self.closes or self.resets or not answer:
                writer.close()
                await writer.wait_closed()
                self.hung_up.set()
                return

    @asynccontextmanager
    async def asked(self, tls: SSLContext | None = None) -> AsyncGenerator[HttpTransport]:
        async with (
            listening(self.talk, tls) as url,
            open_transport(EXCHANGE, rest_url=address(url), max_in_flight=1) as transport,
        ):
            yield transport

    @property
    def first(self) -> list[str]:
        return self.heads[0].decode("latin-1").split("\r\n")


def address(url: str) -> str:
    return re.sub("^ws", "http", url).removesuffix("/stream")


def answered(*answers: bytes, closes: bool = False, request: Request = TIME) -> Response:
    """Return what is understood of the last of the answers."""

    async def main() -> Response:
        server = Server(answers, closes)
        async with asyncio.timeout(30), server.asked() as transport:
            for _ in answers[1:]:
                await transport.send(request)
            return await transport.send(request)

    return asyncio.run(main())


def refused(*answers: bytes, closes: bool = False, resets: bool = False) -> tuple[DccdError, Server]:
    """Return the error that it is, and the server afterwards."""
    server = Server(answers, closes, resets)

    async def main() -> DccdError:
        async with asyncio.timeout(30), server.asked() as transport:
            with pytest.raises(DccdError) as caught:
                await transport.send(TIME)
        return caught.value

    return asyncio.run(main()), server


def page(body: bytes, *headers: bytes) -> bytes:
    lines = [b"HTTP/1.1 200 OK", b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join([*lines, b"", body])


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        page(b"[1]"),
        b"HTTP/1.1 200\r\nContent-Length: 3\r\n\r\n[1]",
        b"HTTP/1.1 200 \r\ncontent-length:3\r\n\r\n[1]",
        CHUNKED + b"1\r\n[\r\n2\r\n1]\r\n0\r\n\r\n",
        CHUNKED + b"3;name=value\r\n[1]\r\n0\r\nTrailer: x\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + page(b"[1]"),
        b"HTTP/1.1 100 Continue\r\n\r\n" + page(b"[1]"),
        page(gzip.compress(b"[1]", mtime=0), b"Content-Encoding: gzip"),
        page(zlib.compress(b"[1]"), b"Content-Encoding: deflate"),
        page(b"[1]", b"Content-Encoding: identity"),
        page(b"[1]", b"Content-Security-Policy: " + b"x" * 30_000),
        page(b"[1]", *(b"X-Header-%d: %d" % (n, n) for n in range(300))),
        page(b"[1]", b"X-Title: caf\xe9"),
        page(b"[1]", b"Set-Cookie: a=b; Domain=else.where", b"Set-Cookie: \xff"),
        page(b"\xef\xbb\xbf[1]"),
    ],
)
@pytest.mark.parametrize("closes", [False, True])
def test_what_is_a_whole_answer_is_taken(answer: bytes, closes: bool) -> None:  # noqa: FBT001
    response = answered(answer, closes=closes)
    assert (response.status, response.body) == (200, b"[1]")


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.0 200 OK\r\n\r\n"])
def test_an_answer_of_unknown_length_ends_with_its_connection(head: bytes) -> None:
    assert answered(head + b"[1]", closes=True).body == b"[1]"


def test_an_answer_of_many_megabytes_is_whole() -> None:
    body = b"[%s]" % (b"1," * 5_000_000 + b"1")
    assert answered(page(body)).body == body
    assert answered(CHUNKED + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)).body == body
    assert answered(page(gzip.compress(body, mtime=0), b"Content-Encoding: gzip")).body == body


@pytest.mark.parametrize("status", [204, 304, 404, 418, 500, 520, 599])
def test_every_status_comes_as_it_is(status: int) -> None:
    empty = status in (204, 304)
    answer = b"HTTP/1.1 %d \r\n%s\r\n" % (status, b"" if empty else b"Content-Length: 2\r\n")

    async def main() -> int:
        server = Server((answer if empty else answer + b"[]",))
        async with asyncio.timeout(30), server.asked() as transport:
            try:
                return (await transport.send(TIME)).status
            except DccdError as e:
                return int(re.findall(r"HTTP (\d+)", str(e))[0])

    assert asyncio.run(main()) == status


def test_headers_come_in_lower_case_and_the_last_of_a_name_counts() -> None:
    headers = answered(page(b"[]", b"X-Used: 7", b"DATE: soon", b"x-used: 8", b"X-Odd: caf\xe9")).headers
    assert (headers["x-used"], headers["date"], headers["x-odd"]) == ("8", "soon", "café")


@pytest.mark.parametrize(
    ("answer", "closes"),
    [
        (b"", True),
        (b"HTTP/1.1 200 OK\r\nContent-Le", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[1]", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", True),
        (CHUNKED + b"9\r\n[1]", True),
        (CHUNKED + b"3\r\n[1]\r\n", True),
        (CHUNKED + b"pear\r\n[1]\r\n", False),
        (b"this is no HTTP\r\n\r\n", False),
        (b"HTTP/1.1 abc OK\r\nContent-Length: 2\r\n\r\n[]", False),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n[]", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n[]", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\n[]", False),
        (b"HTTP/1.1 200 OK\r\nno colon in here\r\nContent-Length: 2\r\n\r\n[]", False),
        (page(b"no gzip", b"Content-Encoding: gzip"), False),
        (page(gzip.compress(b"[1]", mtime=0)[:-5] + b"wrong", b"Content-Encoding: gzip"), False),
        (page(b"no deflate", b"Content-Encoding: deflate"), False),
        (page(b"[]", b"X-Long: " + b"x" * 2_000_000), False),
    ],
)
def test_what_is_no_whole_answer_is_unavailable_and_says_where(answer: bytes, closes: bool) -> None:  # noqa: FBT001
    error, server = refused(answer, closes=closes)
    assert type(error) is Unavailable, repr(error)
    for part in ("127.0.0.1", "/v1/time"):
        assert part in str(error)
    assert not re.search(r"0x[0-9a-f]{6}|<", str(error)), "no address in memory, no object"
    assert error.hint
    assert len(server.heads) == 1, "asked once: what is asked again is paid for again"


def test_a_reset_is_unavailable() -> None:
    error, server = refused(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[1]", resets=True)
    assert type(error) is Unavailable
    assert len(server.heads) == 1


def test_a_line_that_was_hung_up_while_idle_is_not_asked_on() -> None:
    async def test() -> None:
        server = Server((OK,), closes=True)
        async with server.asked() as transport:
            for asked in range(1, 5):
                assert (await transport.send(TIME)).body == b"[]"
                await server.hung_up.wait()
                server.hung_up.clear()
                assert (server.connections, len(server.heads)) == (asked, asked)

    run(test())


def test_a_request_is_never_sent_twice_for_one_payment() -> None:
    async def test() -> None:
        server = Server((OK, b"", OK))
        async with server.asked() as transport:
            await transport.send(TIME)
            with pytest.raises(Unavailable):
                await transport.send(TIME)
            assert len(server.heads) == transport.requests == 2
            assert (await transport.send(TIME)).body == b"[]"

    run(test())


@pytest.mark.parametrize("after", [b"HTTP/1.1 200 OK\r\n", b"\r\n", b"more"])
def test_what_comes_unasked_is_never_the_next_answer(after: bytes) -> None:
    async def test() -> None:
        server = Server((page(b"[1]") + after, page(b"[2]")))
        async with server.asked() as transport:
            assert (await transport.send(TIME)).body == b"[1]"
            try:
                following = await transport.send(TIME)
            except Unavailable:
                following = await transport.send(TIME)
            assert following.body == b"[2]"

    run(test())


@pytest.mark.parametrize(
    ("path", "params", "line"),
    [
        (
            "/v1/trades",
            {"symbol": "BTC/USD", "at": "a b+c&d=%"},
            "/v1/trades?symbol=BTC%2FUSD&at=a+b%2Bc%26d%3D%25",
        ),
        ("/v2/candles/trade:1m:tBTCUSD/hist", {"sort": "1"}, "/v2/candles/trade:1m:tBTCUSD/hist?sort=1"),
        ("/x", {"time": "2024-03-13T11:00:17.710679Z"}, "/x?time=2024-03-13T11%3A00%3A17.710679Z"),
        ("/0/public/OHLC", {"pair": "ÄPFEL/€"}, "/0/public/OHLC?pair=%C3%84PFEL%2F%E2%82%AC"),
        ("/a%2Fb", {}, "/a%2Fb"),
        ("/x", {"columns": '["price","size"]'}, "/x?columns=%5B%22price%22%2C%22size%22%5D"),
    ],
)
def test_what_is_asked_goes_over_the_wire_as_it_was_written(
    path: str, params: dict[str, str], line: str
) -> None:
    async def test() -> None:
        server = Server((OK,))
        async with server.asked() as transport:
            await transport.send(Request(path, params, weight=1))
        assert server.first[0] == f"GET {line} HTTP/1.1"
        names = [header.partition(":")[0].lower() for header in server.first[1:] if header]
        assert sorted(names) == ["accept", "accept-encoding", "connection", "host", "user-agent"]
        assert any(re.fullmatch(r"(?i)user-agent: dccd/\S+", header) for header in server.first)
        assert any(
            re.fullmatch(r"(?i)accept-encoding: gzip, deflate(, br)?(, zstd)?", h) for h in server.first
        )
        assert any(re.fullmatch(r"(?i)host: 127\.0\.0\.1:\d+", header) for header in server.first)

    run(test())


def test_cookies_are_sent_back_once() -> None:
    async def test() -> None:
        server = Server((page(b"[]", b"Set-Cookie: a=b; Path=/"), OK))
        async with server.asked() as transport:
            for _ in range(2):
                await transport.send(TIME)
        cookies = re.findall(rb"(?i)\r\ncookie: ([^\r]*)", server.heads[1])
        assert cookies in ([b"a=b"], [])

    run(test())


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    error, server = refused(b"HTTP/1.1 %d X\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n" % status)
    assert type(error) is Rejected
    assert "/login" in str(error)
    assert len(server.heads) == 1


class TestPatience:
    @pytest.fixture(autouse=True)
    def hurry(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(http, "_TIMEOUT", httpx.Timeout(0.3, connect=0.3))

    @pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[1]"])
    def test_who_says_nothing_is_not_waited_for(self, begun: bytes) -> None:
        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(begun)
            await asyncio.Event().wait()

        async def test() -> None:
            async with listening(silent) as url, open_transport(EXCHANGE, rest_url=address(url)) as transport:
                with pytest.raises(Unavailable, match="ReadTimeout"):
                    await transport.send(TIME)

        run(test())

    def test_who_neither_lets_in_nor_refuses_is_not_waited_for(self) -> None:
        async def test() -> None:
            with black_hole() as (host, port):
                async with open_transport(EXCHANGE, rest_url=f"http://{host}:{port}") as transport:
                    with pytest.raises(Unavailable, match="ConnectTimeout"):
                        await transport.send(TIME)

        run(test())

    def test_a_handshake_that_never_ends_is_not_waited_for(self) -> None:
        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await asyncio.Event().wait()

        async def test() -> None:
            async with (
                listening(silent) as url,
                open_transport(EXCHANGE, rest_url=address(url).replace("http:", "https:")) as transport,
            ):
                with pytest.raises(Unavailable, match="ConnectTimeout"):
                    await transport.send(TIME)

        run(test())


def test_a_name_that_nobody_knows_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async def unknown(*_: object, **__: object) -> list[object]:
            raise sockets.gaierror(-2, "Name or service not known")

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
        async with open_transport(EXCHANGE, rest_url="http://nobody.example") as transport:
            with pytest.raises(Unavailable, match=r"ConnectError .*Name or service not known") as caught:
                await transport.send(TIME)
        assert "<" not in str(caught.value)

    run(test())


class TestTls:
    def server(self, folder: Path) -> SSLContext:
        context = SSLContext(PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certified(folder))
        return context

    def test_whom_the_system_trusts_is_believed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tls = self.server(tmp_path)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "server.pem"))

        async def test() -> None:
            server = Server((page(b"[1]"),))
            async with server.asked(tls) as transport:
                for _ in range(3):
                    assert (await transport.send(TIME)).body == b"[1]"
            assert server.connections == 1

        run(test())

    @pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[1]"])
    def test_l15_a_venue_that_is_slow_is_not_said_to_speak_no_tls(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun: bytes
    ) -> None:
        tls = self.server(tmp_path)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "server.pem"))
        monkeypatch.setattr(http, "_TIMEOUT", httpx.Timeout(0.3, connect=10.0))

        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(begun)
            await asyncio.Event().wait()

        async def test() -> None:
            async with (
                listening(silent, tls) as url,
                open_transport(EXCHANGE, rest_url=address(url)) as transport,
            ):
                with pytest.raises(Unavailable, match="ReadTimeout") as caught:
                    await transport.send(TIME)
            assert "TLS" not in str(caught.value)
            assert "run it again later" in caught.value.hint

        run(test())

    def test_whom_nobody_signed_is_not(self, tmp_path: Path) -> None:
        async def test() -> None:
            async with Server((OK,)).asked(self.server(tmp_path)) as transport:
                with pytest.raises(Unavailable, match="not trusted: self-signed certificate") as caught:
                    await transport.send(TIME)
            assert "SSL_CERT_FILE" in caught.value.hint

        run(test())

    def test_a_certificate_for_another_name_is_not(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tls = self.server(tmp_path)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "server.pem"))

        async def test() -> None:
            async with (
                listening(Server((OK,)).talk, tls) as url,
                open_transport(
                    EXCHANGE, rest_url=address(url).replace("127.0.0.1", "localhost")
                ) as transport,
            ):
                with pytest.raises(Unavailable, match="not trusted: Hostname mismatch") as caught:
                    await transport.send(TIME)
            assert "rest_url" in caught.value.hint

        run(test())

    def test_who_speaks_no_tls_is_said_to_speak_none(self) -> None:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            await writer.drain()

        async def test() -> None:
            async with (
                listening(talk) as url,
                open_transport(EXCHANGE, rest_url=address(url).replace("http:", "https:")) as transport,
            ):
                with pytest.raises(Unavailable, match="the TLS handshake failed: ") as caught:
                    await transport.send(TIME)
            assert "speaks no TLS there" in caught.value.hint

        run(test())


class TestProxies:
    def test_it_asks_through_the_one_of_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def test() -> None:
            proxy = Server((page(b"[1]"),))
            async with listening(proxy.talk) as url:
                at = address(url).removeprefix("http://")
                monkeypatch.setenv("HTTP_PROXY", f"http://me:pass%40word@{at}")
                async with open_transport(EXCHANGE, rest_url="http://venue.example:81") as transport:
                    sent = await transport.send(Request("/v1/x", {"a": "b/c"}, weight=1))
            assert sent.body == b"[1]"
            assert proxy.first[0] == "GET http://venue.example:81/v1/x?a=b%2Fc HTTP/1.1"
            assert "host: venue.example:81" in [line.lower() for line in proxy.first]
            assert "proxy-authorization: basic bwu6cgfzc0b3b3jk" in [line.lower() for line in proxy.first]

        run(test())

    def test_it_leaves_it_out_where_it_is_told_to(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        assert answered(page(b"[1]")).body == b"[1]"

    @pytest.mark.parametrize("status", [403, 407, 502])
    def test_a_proxy_that_refuses_a_tunnel_is_unavailable(
        self, monkeypatch: pytest.MonkeyPatch, status: int
    ) -> None:
        async def test() -> None:
            proxy = Server((b"HTTP/1.1 %d No Way\r\nContent-Length: 0\r\n\r\n" % status,))
            async with listening(proxy.talk) as url:
                monkeypatch.setenv("HTTPS_PROXY", address(url))
                async with open_transport(EXCHANGE, rest_url="https://venue.example") as transport:
                    with pytest.raises(Unavailable, match=f"ProxyError {status} No Way"):
                        await transport.send(TIME)
            assert proxy.first[0] == "CONNECT venue.example:443 HTTP/1.1"

        run(test())

    def test_it_asks_through_a_tunnel(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        tls = SSLContext(PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certified(tmp_path))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "server.pem"))
        connects = list[str]()

        async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            connects.append(head)
            host, port = head.split()[1].split(":")
            there, back = await asyncio.open_connection(host, int(port))
            writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")

            async def pump(one: asyncio.StreamReader, other: asyncio.StreamWriter) -> None:
                while some := await one.read(65_536):
                    other.write(some)
                other.close()

            await asyncio.gather(pump(reader, back), pump(there, writer))

        async def test() -> None:
            server = Server((page(b"[1]"),))
            async with listening(tunnel) as proxy, listening(server.talk, tls) as url:
                monkeypatch.setenv("HTTPS_PROXY", address(proxy))
                async with open_transport(EXCHANGE, rest_url=address(url), max_in_flight=1) as transport:
                    for _ in range(3):
                        assert (await transport.send(TIME)).body == b"[1]"
            assert (len(connects), server.connections) == (1, 1)

        run(test())


def test_no_more_connections_than_may_be_under_way() -> None:
    async def test() -> None:
        open_now, most = 0, 0

        async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal open_now, most
            open_now += 1
            most = max(most, open_now)
            try:
                while await reader.readuntil(b"\r\n\r\n"):
                    await asyncio.sleep(0)
                    writer.write(OK)
            finally:
                open_now -= 1

        async with (
            listening(slow) as url,
            open_transport(EXCHANGE, rest_url=address(url), max_in_flight=3) as transport,
        ):
            await asyncio.gather(*(transport.send(TIME) for _ in range(40)))
        assert most == 3

    run(test())


def test_what_is_given_up_leaves_no_connection_behind() -> None:
    async def test() -> None:
        here, gone = asyncio.Event(), asyncio.Event()

        async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            here.set()
            assert not await reader.read()
            gone.set()

        async with listening(silent) as url:
            async with open_transport(EXCHANGE, rest_url=address(url), max_in_flight=1) as transport:
                task = asyncio.create_task(transport.send(TIME))
                await here.wait()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            await gone.wait()

    run(test())
