"""The connection under httpx. What its client makes of it: tests/promises/test_http_wire.py."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from struct import pack

import httpcore
import httpx
import pytest

from dccd_core.net.line import Line, open_client
from tests.dccd_core.net.wire import Talk, listening, run

MANY = 4 << 20


@asynccontextmanager
async def connected(talk: Talk) -> AsyncGenerator[Line]:
    async with listening(talk) as url:
        address = httpx.URL(url)
        loop = asyncio.get_running_loop()
        _, line = await loop.create_connection(Line, address.host, address.port or 0)
        try:
            yield line
        finally:
            await line.aclose()


async def write_on(line: Line) -> None:
    await asyncio.sleep(0.05)
    while True:
        await line.write(b".")
        await asyncio.sleep(0.01)


async def nothing(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


def test_what_came_is_read_at_once_and_then_the_end() -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        await reader.readexactly(1)

    async def main() -> None:
        async with connected(greet) as line:
            assert await line.read(2, 5.0) == b"hello"
            assert not line.get_extra_info("is_readable")
            await line.write(b".")
            assert await line.read(2, 5.0) == b""
            assert line.get_extra_info("is_readable")

    run(main())


def test_what_came_before_a_reset_is_read_before_it_is_told() -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"part")
        await reader.readexactly(1)
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, pack("ii", 1, 0))

    async def main() -> None:
        async with connected(reset) as line:
            with pytest.raises(httpcore.WriteError):
                await write_on(line)
            assert await line.read(2, 5.0) == b"part"
            with pytest.raises(httpcore.ReadError):
                await line.read(2, 5.0)
            assert line.get_extra_info("is_readable")

    run(main())


def test_who_is_not_read_is_held_back_and_loses_nothing() -> None:
    sent = 0

    async def flood(__: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.transport.set_write_buffer_limits(0)
        for _ in range(MANY >> 16):
            writer.write(bytes(1 << 16))
            await writer.drain()
            sent += 1 << 16
        writer.close()

    async def main() -> None:
        async with connected(flood) as line:
            before = -1
            while sent > before or not sent:  # until it gets no further
                before = sent
                await asyncio.sleep(0.2)
            held = len(line._came)  # pyright: ignore[reportPrivateUsage] -- what is in memory is the point
            assert (1 << 18) <= held < (1 << 20)
            came = 0
            while some := await line.read(1 << 16, 5.0):
                came += len(some)
            assert came == MANY

    run(main())


def test_who_says_nothing_and_who_takes_nothing_are_not_waited_for() -> None:
    async def main() -> None:
        async with connected(nothing) as line:
            assert not line.get_extra_info("is_readable")
            with pytest.raises(httpcore.ReadTimeout):
                await line.read(1, 0.01)
            with pytest.raises(httpcore.WriteTimeout):
                await line.write(bytes(8 * MANY), 0.01)

    run(main())


def test_a_line_tells_its_ends() -> None:
    async def main() -> None:
        async with connected(nothing) as line:
            here, there = line.get_extra_info("client_addr"), line.get_extra_info("server_addr")
            assert isinstance(here, tuple)
            assert isinstance(there, tuple)
            assert here != there
            assert line.get_extra_info("ssl_object") is None

    run(main())


def test_a_read_that_was_given_up_leaves_the_line_as_it_was() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(1))
        await asyncio.Event().wait()

    async def main() -> None:
        async with connected(answer) as line:
            reading = asyncio.create_task(line.read(1, 5.0))
            await asyncio.sleep(0)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            await line.write(b"x")
            assert await line.read(1, 5.0) == b"x"

    run(main())


@pytest.mark.parametrize("proxy", ["", "http://127.0.0.1:9"])
def test_where_a_proxy_is_named_httpx_finds_its_own_way(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    if proxy:
        monkeypatch.setenv("http_proxy", proxy)

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await asyncio.Event().wait()

    async def main() -> None:
        patience = httpx.Timeout(5.0)
        async with (
            listening(greet) as url,
            open_client(httpx.create_ssl_context(), {}, patience) as client,
        ):
            asked = client.get(url.replace("ws", "http", 1))
            if proxy:
                with pytest.raises(httpx.ConnectError):
                    await asked
            else:
                answer = await asked
                assert answer.status_code == 204
                assert isinstance(answer.extensions["network_stream"], Line)

    run(main())
