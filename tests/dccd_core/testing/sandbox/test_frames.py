"""Control frames, seen as bytes: a client's library would answer them and keep them to itself."""

import socket
from collections.abc import Iterator
from typing import Self

import pytest

from dccd_core.domain.timespan import MILLISECOND, SECOND, Us, parse_time
from dccd_core.testing.sandbox.process import RunningSandbox, running_sandbox
from dccd_core.testing.sandbox.stream_faults import StreamFault, StreamFaultKind

NOW = parse_time("2024-06-05T12:00:00")
HANDSHAKE = (
    "GET /binance/ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
LIST = b'{"method":"LIST_SUBSCRIPTIONS","id":1}'
TEXT, CLOSE, PING, PONG = 0x81, 0x88, 0x89, 0x8A


class Raw:
    """A connection of whole frames."""

    def __init__(self, sandbox: RunningSandbox) -> None:
        host, _, port = sandbox.url.removeprefix("http://").partition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=30)
        self._bytes = self._socket.makefile("rb")
        self._socket.sendall(HANDSHAKE.encode())
        assert self._bytes.readline().split()[1] == b"101"
        while self._bytes.readline().strip():
            pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bytes.close()
        self._socket.close()

    def send(self, kind: int, payload: bytes) -> None:
        """Mask it with zeros."""
        self._socket.sendall(bytes([kind, 0x80 | len(payload), 0, 0, 0, 0]) + payload)

    def frame(self) -> tuple[int, bytes]:
        kind, length = self._bytes.read(2)
        assert length < 126
        return kind, self._bytes.read(length)

    def ends(self) -> bool:
        """Whether the connection ends here without another frame."""
        try:
            return self._bytes.read() == b""
        except ConnectionResetError:
            return True


@pytest.fixture(scope="module")
def started() -> Iterator[RunningSandbox]:
    with running_sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(started: RunningSandbox) -> RunningSandbox:
    started.reset()
    started.clock(NOW)
    return started


def test_a_ping_has_the_time_of_the_venue_as_its_payload(sandbox: RunningSandbox) -> None:
    with Raw(sandbox) as raw:
        sandbox.clock(Us(NOW + 21 * SECOND))
        assert raw.frame() == (PING, b"%d" % ((NOW + 20 * SECOND) // MILLISECOND))


def test_pings_of_the_client_are_answered(sandbox: RunningSandbox) -> None:
    with Raw(sandbox) as raw:
        raw.send(PING, b"hello")
        assert raw.frame() == (PONG, b"hello")


def test_who_is_silent_answers_no_pings(sandbox: RunningSandbox) -> None:
    sandbox.stream_faults([StreamFault(kind=StreamFaultKind.SILENCE, answers=True)])
    with Raw(sandbox) as raw:
        raw.send(TEXT, LIST)
        while not sandbox.stats().struck:
            pass
        raw.send(PING, b"hello")
        sandbox.disconnect_all(4_000)
        kind, payload = raw.frame()
        assert (kind, payload[:2]) == (CLOSE, (4_000).to_bytes(2, "big"))


def test_an_abort_is_no_close(sandbox: RunningSandbox) -> None:
    with Raw(sandbox) as raw:
        raw.send(TEXT, LIST)
        assert raw.frame() == (TEXT, b'{"result":[],"id":1}')
        sandbox.stream_faults([StreamFault(kind=StreamFaultKind.ABORT, answers=True)])
        raw.send(TEXT, LIST)
        assert raw.ends()
