import asyncio
import re
import socket as sockets
from collections.abc import Generator
from contextlib import AbstractAsyncContextManager, ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from dccd_core.domain.errors import Banned, ConfigError, ExchangeError, Rejected, Throttled, Unavailable
from dccd_core.net import handshake, websocket
from tests.dccd_core.net.wire import (
    CLOSE,
    TEXT,
    frame,
    goodbye,
    listening,
    opened,
    read_frame,
    run,
    sending,
    shake_hands,
)


def answering(answer: bytes) -> AbstractAsyncContextManager[str]:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()

    return listening(talk)


@contextmanager
def black_hole() -> Generator[tuple[str, int]]:
    """Give an address where connections are neither made nor refused, as its queue of them is full."""
    with ExitStack() as stack:
        full = stack.enter_context(sockets.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            waiting = stack.enter_context(sockets.socket())
            waiting.settimeout(0)
            waiting.connect_ex(full.getsockname())
        yield full.getsockname()


async def refusal(url: str, patience_s: float = 10.0) -> ExchangeError:
    with pytest.raises(ExchangeError) as caught:
        async with opened(url, patience_s=patience_s):
            pass
    assert "127.0.0.1" in str(caught.value)
    assert caught.value.hint
    return caught.value


class TestConnect:
    @pytest.mark.parametrize(
        ("answer", "kind", "said", "wait_s"),
        [
            (b"429 Too Many Requests\r\nRetry-After: 7\r\n", Throttled, "HTTP 429", 7.0),
            (b"429 Too Many Requests\r\n", Throttled, "HTTP 429", None),
            (b"403 Forbidden\r\n", Banned, "HTTP 403", None),
            (b"418 I'm a teapot\r\nretry-after: 120\r\n", Banned, "HTTP 418", 120.0),
            (b"404 Not Found\r\nContent-Length: 7\r\n\r\nno path", Rejected, "no path", None),
            (b"451 Unavailable For Legal Reasons\r\n", Rejected, "HTTP 451", None),
            (b"302 Found\r\nLocation: https://else/where\r\n", Rejected, "https://else/where", None),
            (b"503 Service Unavailable\r\n", Unavailable, "HTTP 503", None),
            (b"520 \r\n", Unavailable, "HTTP 520", None),
            (b"599\r\n", Unavailable, "HTTP 599", None),
            (b"200 OK\r\n", Unavailable, "HTTP 200", None),
            (b"101 Switching Protocols\r\nUpgrade: h2c\r\n", Unavailable, "speaks no WebSocket", None),
        ],
    )
    def test_an_answer_that_is_no_handshake_says_what_it_means(
        self, answer: bytes, kind: type[ExchangeError], said: str, wait_s: float | None
    ) -> None:
        async def test() -> None:
            async with answering(b"HTTP/1.1 " + answer + b"\r\n") as url:
                error = await refusal(url)
            assert type(error) is kind
            assert said in str(error)
            assert not isinstance(error, Throttled) or error.wait_s == wait_s

        run(test())

    @pytest.mark.parametrize("answer", [b"", b"\x15\x03\x01\x00\x02\x02\x16 garbage\r\n\r\n", b"x" * 40_000])
    def test_who_speaks_no_http_is_unavailable(self, answer: bytes) -> None:
        async def test() -> None:
            async with answering(answer) as url:
                assert type(await refusal(url)) is Unavailable

        run(test())

    def test_who_does_not_answer_is_given_up_and_left(self) -> None:
        left = asyncio.Event()

        async def talk(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
            await reader.read()
            left.set()

        async def test() -> None:
            async with listening(talk) as url:
                for address in (url, url.replace("ws:", "wss:")):
                    left.clear()
                    error = await refusal(address, patience_s=0.05)
                    assert type(error) is Unavailable
                    assert "within 0.05 s" in str(error)
                    await left.wait()

        run(test())

    def test_who_is_cancelled_while_connecting_leaves_nothing_open(self) -> None:
        came, left = asyncio.Event(), asyncio.Event()

        async def talk(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            came.set()
            await reader.read()
            left.set()

        async def test() -> None:
            async with listening(talk) as url:
                connecting = asyncio.create_task(opened(url).__aenter__())
                await came.wait()
                connecting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await connecting
                await left.wait()

        run(test())

    def test_where_nobody_listens_is_unavailable(self) -> None:
        async def test() -> None:
            with sockets.create_server(("127.0.0.1", 0)) as unused:
                port = unused.getsockname()[1]
            error = await refusal(f"ws://127.0.0.1:{port}")
            assert type(error) is Unavailable
            assert "cannot be reached" in str(error)

        run(test())

    def test_all_addresses_of_a_host_are_tried(self, monkeypatch: pytest.MonkeyPatch) -> None:
        stream = (sockets.AF_INET, sockets.SOCK_STREAM, 6, "")

        async def test() -> None:
            async with sending(frame(TEXT, b"here")) as url:
                here = ("127.0.0.1", int(re.findall(r":(\d+)/", url)[0]))
                with sockets.create_server(("127.0.0.1", 0)) as unused:
                    gone = unused.getsockname()
                with black_hole() as silent:

                    async def three(*_: object, **__: object) -> list[tuple[object, ...]]:
                        return [(*stream, address) for address in (gone, silent, here)]

                    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", three)
                    async with opened("ws://three.example", patience_s=1.0) as socket:
                        assert (await socket.receive())[0] == [b"here"]

        run(test())

    @pytest.mark.parametrize(
        "url",
        ["", "stream", "http://host/x", "ws://", "ws://host:port", "ws://host:99999", "wss://host/#part"],
    )
    def test_what_is_no_address_is_refused(self, url: str) -> None:
        async def test() -> None:
            with pytest.raises(ConfigError, match="wss://host/path"):
                async with opened(url):
                    pass

        run(test())

    def test_it_says_what_it_wants_and_who_it_is(self) -> None:
        requests = list[str]()

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            requests.append(await shake_hands(reader, writer))
            await goodbye(reader)

        async def test() -> None:
            async with listening(talk) as url, opened(f"{url}?streams=btcusdt@aggTrade/ethusdt@aggTrade"):
                pass
            first, *headers = requests[0].splitlines()
            assert first == "GET /stream?streams=btcusdt@aggTrade/ethusdt@aggTrade HTTP/1.1"
            assert any(re.match(r"User-Agent: dccd/\d", header) for header in headers)
            assert f"Host: {url.split('/')[2]}" in headers

        run(test())


class TestTls:
    def test_whom_the_system_trusts_is_believed_and_held_back_too(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(websocket, "MAX_WAITING", 100)
        certificate = certified(tmp_path)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        server = SSLContext(PROTOCOL_TLS_SERVER)
        server.load_cert_chain(certificate)
        sent = [b"%05d" % n * 20 for n in range(20_000)]

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await shake_hands(reader, writer)
            assert await read_frame(reader) == (TEXT, b"go")
            writer.write(b"".join(frame(TEXT, message) for message in sent) + frame(CLOSE))
            await goodbye(reader)

        async def test() -> None:
            async with listening(talk, server) as url, opened(url) as socket:
                await socket.send(b"go")
                received = list[bytes]()
                while len(received) < len(sent):
                    received += (await socket.receive())[0]
            assert received == sent

        handshake._trust.cache_clear()  # pyright: ignore[reportPrivateUsage]
        run(test())
        handshake._trust.cache_clear()  # pyright: ignore[reportPrivateUsage]

    def test_others_are_not(self, tmp_path: Path) -> None:
        server = SSLContext(PROTOCOL_TLS_SERVER)
        server.load_cert_chain(certified(tmp_path))

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await shake_hands(reader, writer)

        async def test() -> None:
            async with listening(talk, server) as url:
                error = await refusal(url)
            assert type(error) is Unavailable
            assert "certificate" in str(error).lower()

        run(test())

    def test_l15_a_certificate_nobody_signed_is_called_that_and_not_trouble_of_the_network(
        self, tmp_path: Path
    ) -> None:
        server = SSLContext(PROTOCOL_TLS_SERVER)
        server.load_cert_chain(certified(tmp_path))

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await shake_hands(reader, writer)

        async def test() -> None:
            async with listening(talk, server) as url:
                error = await refusal(url)
            assert "the network or the venue has trouble" not in str(error)
            assert "its TLS certificate is not trusted: self-signed certificate" in str(error)
            assert "SSL_CERT_FILE" in error.hint

        run(test())

    def test_l15_who_speaks_no_tls_is_said_to_speak_none(self) -> None:
        async def test() -> None:
            async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await reader.read(1)
                writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                await writer.drain()

            async with listening(talk) as url:
                error = await refusal(url.replace("ws:", "wss:"))
            assert type(error) is Unavailable
            assert "the network or the venue has trouble" not in str(error)
            assert "the TLS handshake failed: " in str(error)
            assert "speaks no TLS there" in error.hint

        run(test())


def certified(folder: Path) -> Path:
    """Return the file of a key and a certificate for 127.0.0.1 that nobody has signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    file = folder / "server.pem"
    file.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain) + certificate.public_bytes(pem)
    )
    return file
