import asyncio
import socket as sockets
import struct
from collections.abc import Sequence
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from dccd_core.domain.timespan import MINUTE, SECOND, Us, parse_time
from dccd_core.net import websocket
from dccd_core.net.clock import ManualClock
from dccd_core.net.websocket import Disconnected, Socket
from tests.dccd_core.net.wire import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    eventually,
    frame,
    goodbye,
    listening,
    opened,
    read_frame,
    run,
    sending,
    serving,
    shake_hands,
)

NOON = parse_time("2026-11-22T12:00:00Z")
LONG = 3_600.0


async def collect(socket: Socket) -> tuple[list[bytes], Disconnected]:
    """Take all messages until the connection is over."""
    messages = list[bytes]()
    try:
        while True:
            batch, moments = await socket.receive()
            assert len(moments) == len(batch)
            messages += batch
    except Disconnected as e:
        return messages, e


class TestReceive:
    def test_messages_come_whole_and_in_order(self) -> None:
        sent = [f'{{"n":{n}}}'.encode() for n in range(5_000)]

        async def handler(ws: ServerConnection) -> None:
            for message in sent:
                await ws.send(message.decode())

        async def test() -> None:
            async with serving(handler) as url, opened(url) as socket:
                messages, _ = await collect(socket)
            assert messages == sent

        run(test())

    def test_what_is_read_at_once_is_one_batch_of_one_moment(self) -> None:
        async def test() -> None:
            frames = b"".join(frame(TEXT, text) for text in (b"a", b"b", b"c"))
            async with sending(frames) as url, opened(url, ManualClock(NOON)) as socket:
                assert await socket.receive() == ([b"a", b"b", b"c"], [NOON] * 3)

        run(test())

    def test_a_batch_waits_for_more_and_its_moments_are_those_of_reading(self) -> None:
        clock = ManualClock(NOON)
        heard_first = asyncio.Event()

        async def handler(ws: ServerConnection) -> None:
            clock.set(Us(NOON + SECOND))
            await ws.send("first")
            await heard_first.wait()
            await ws.send("second")

        async def test() -> None:
            async with serving(handler) as url, opened(url, clock, gather_s=LONG) as socket:
                await eventually(lambda: socket.heard == NOON + SECOND)
                clock.set(Us(NOON + MINUTE))
                heard_first.set()
                messages, moments = await socket.receive()
            assert messages == [b"first", b"second"]
            assert moments == [NOON + SECOND, NOON + MINUTE]

        run(test())

    def test_a_crowd_comes_in_portions_and_others_take_their_turn(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """0e899d4: up to 50,000 messages at once, each of which cost nearly twice as much then."""
        monkeypatch.setattr(websocket, "AT_ONCE", 100)
        turns, sent = 0, [b"%d" % n for n in range(1_000)]

        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        async def test() -> None:
            async with sending(b"".join(frame(TEXT, text) for text in sent)) as url, opened(url) as socket:
                received, portions, taken = (await socket.receive())[0], list[int](), list[int]()
                waiting = asyncio.create_task(others())
                while len(received) < len(sent):
                    before = turns
                    messages, _ = await socket.receive()
                    received += messages
                    portions.append(len(messages))
                    taken.append(turns - before)
                waiting.cancel()
            assert received == sent
            assert max(portions) <= 100
            assert min(taken) >= 1

        run(test())

    def test_a_batch_comes_although_the_next_message_does_not(self) -> None:
        async def test() -> None:
            async with sending(frame(TEXT, b"lonely")) as url, opened(url) as socket:
                messages, _ = await socket.receive()
            assert messages == [b"lonely"]

        run(test())

    @settings(max_examples=25, deadline=None)
    @given(
        messages=st.lists(
            st.tuples(
                st.sampled_from([TEXT, BINARY]),
                st.lists(st.binary(max_size=200), min_size=1, max_size=4),
                st.booleans(),
            ),
            max_size=12,
        ),
        cut=st.integers(1, 400),
    )
    def test_parts_are_put_together_however_they_come(
        self, messages: Sequence[tuple[int, Sequence[bytes], bool]], cut: int
    ) -> None:
        wire = b""
        for opcode, parts, pinged in messages:
            for n, part in enumerate(parts):
                wire += frame(CONTINUATION if n else opcode, part, fin=n == len(parts) - 1)
                wire += frame(PING, b"?") if pinged else b""
        wire += frame(CLOSE, struct.pack("!H", 1000))
        chunks = [wire[at : at + cut] for at in range(0, len(wire), cut)]

        async def test() -> None:
            async with sending(*chunks) as url, opened(url, gather_s=0.0) as socket:
                received, _ = await collect(socket)
            assert received == [b"".join(parts) for _, parts, _ in messages]

        run(test())

    def test_a_message_of_many_megabytes_is_one(self) -> None:
        message = bytes(range(256)) * 80_000

        async def test() -> None:
            async with sending(frame(TEXT, message), frame(TEXT, b"next")) as url, opened(url) as socket:
                received = list[bytes]()
                while len(received) < 2:
                    received += (await socket.receive())[0]
            assert received == [message, b"next"]

        run(test())

    def test_who_is_cancelled_while_waiting_loses_nothing(self) -> None:
        ended = asyncio.Event()
        clock = ManualClock(NOON)

        async def handler(ws: ServerConnection) -> None:
            clock.set(Us(NOON + SECOND))
            await ws.send("kept")
            await ended.wait()

        async def test() -> None:
            async with serving(handler) as url, opened(url, clock, gather_s=LONG) as socket:
                waiting = asyncio.create_task(socket.receive())
                await eventually(lambda: socket.heard == NOON + SECOND)
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
                ended.set()
                assert await socket.receive() == ([b"kept"], [NOON + SECOND])

        run(test())


class TestBackPressure:
    @pytest.mark.parametrize("limit", ["MAX_WAITING", "MAX_BYTES"])
    def test_nothing_more_is_read_while_too_much_waits(
        self, limit: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(websocket, limit, {"MAX_WAITING": 1_000, "MAX_BYTES": 200_000}[limit])
        total, sent = 300_000, 0

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            await shake_hands(reader, writer)
            while sent < total:
                writer.write(b"".join(frame(TEXT, b"%0100d" % n) for n in range(sent, sent + 1_000)))
                await writer.drain()
                sent += 1_000
            writer.write(frame(CLOSE))
            await goodbye(reader)

        async def stalled() -> None:
            before, calm = -1, 0
            while calm < 10:
                calm = calm + 1 if sent == before else 0
                before = sent
                await asyncio.sleep(0.01)

        async def test() -> None:
            async with listening(talk) as url, opened(url) as socket:
                await stalled()
                assert 0 < sent < total
                first, _ = await socket.receive()
                assert 1_000 <= len(first) < 10_000
                rest, _ = await collect(socket)
            assert first + rest == [b"%0100d" % n for n in range(total)]

        run(test())

    def test_one_message_as_long_as_all_that_may_wait_comes_through(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(websocket, "MAX_BYTES", 1_000)

        async def test() -> None:
            frames = [frame(TEXT, b"x" * 1_000)] * 5
            async with sending(*frames, frame(CLOSE)) as url, opened(url, gather_s=LONG) as socket:
                messages, _ = await collect(socket)
            assert [len(message) for message in messages] == [1_000] * 5

        run(test())

    def test_what_fills_the_room_is_handed_over_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(websocket, "MAX_WAITING", 1)

        async def test() -> None:
            async with sending(frame(TEXT, b"full")) as url, opened(url, gather_s=LONG) as socket:
                assert (await socket.receive())[0] == [b"full"]

        run(test())

    def test_what_is_paused_can_be_left(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(websocket, "MAX_WAITING", 1)
        monkeypatch.setattr(websocket, "_GOODBYE_S", LONG)
        codes = list[int | None]()
        clock = ManualClock(NOON)

        async def handler(ws: ServerConnection) -> None:
            clock.set(Us(NOON + SECOND))
            with suppress(ConnectionClosed):
                while True:
                    await ws.send("x" * 1_000)
            codes.append(ws.close_code)

        async def test() -> None:
            async with serving(handler) as url, opened(url, clock) as socket:
                await eventually(lambda: socket.heard == NOON + SECOND)
            with pytest.raises(Disconnected, match="on our side"):
                await socket.receive()
            await eventually(lambda: bool(codes))
            assert codes == [1000]

        run(test())


class TestSend:
    def test_a_message_arrives_as_text(self) -> None:
        async def handler(ws: ServerConnection) -> None:
            async for message in ws:
                await ws.send(repr(message))

        async def test() -> None:
            async with serving(handler) as url, opened(url) as socket:
                await socket.send(b'{"op":"ping"}')
                messages, _ = await socket.receive()
            assert messages == [b"""'{"op":"ping"}'"""]

        run(test())

    def test_it_waits_while_the_other_side_does_not_read(self) -> None:
        may_read = asyncio.Event()
        message = b"x" * 20_000_000

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await shake_hands(reader, writer)
            await may_read.wait()
            await reader.readexactly(14 + len(message))
            await goodbye(reader)

        async def test() -> None:
            async with listening(talk) as url, opened(url) as socket:
                waiting = asyncio.create_task(socket.send(message))
                await asyncio.sleep(0.05)
                assert not waiting.done()
                may_read.set()
                await waiting

        run(test())

    def test_who_waits_to_send_is_told_when_the_connection_is_over(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(websocket, "_GOODBYE_S", 0.02)

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await shake_hands(reader, writer)
            await reader.readexactly(1)
            writer.write(frame(CLOSE, struct.pack("!H", 1013)))
            await asyncio.Event().wait()

        async def test() -> None:
            async with listening(talk) as url, opened(url) as socket:
                with pytest.raises(Disconnected, match="1013 try again later"):
                    await socket.send(b"x" * 20_000_000)

        run(test())

    def test_nothing_is_sent_on_a_connection_that_is_over(self) -> None:
        async def test() -> None:
            async with sending(frame(CLOSE)) as url, opened(url) as socket:
                await collect(socket)
                with pytest.raises(Disconnected, match="closed the connection"):
                    await socket.send(b"late")

        run(test())


class TestSignsOfLife:
    def test_a_ping_is_answered_with_its_own_words_and_heard(self) -> None:
        clock = ManualClock(NOON)
        answered = asyncio.Event()

        async def handler(ws: ServerConnection) -> None:
            clock.set(Us(NOON + SECOND))
            await (await ws.ping(b"1795340073848"))  # waits for a pong of the same payload
            answered.set()
            await ws.wait_closed()

        async def test() -> None:
            async with serving(handler) as url, opened(url, clock) as socket:
                await answered.wait()
                assert socket.heard == NOON + SECOND

        run(test())

    def test_who_is_silent_is_asked_and_the_answer_is_heard(self) -> None:
        clock = ManualClock(NOON)

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await shake_hands(reader, writer)
            opcode, payload = await read_frame(reader)
            assert opcode == PING
            clock.set(Us(NOON + MINUTE))
            writer.write(frame(PONG, payload))
            await goodbye(reader)

        async def test() -> None:
            async with listening(talk) as url, opened(url, clock, ping_every_s=0.01) as socket:
                assert socket.heard == NOON
                await eventually(lambda: socket.heard == NOON + MINUTE)

        run(test())

    def test_who_talks_is_not_asked(self) -> None:
        asked = list[int]()

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await shake_hands(reader, writer)
            talking = asyncio.create_task(chatter(writer))
            asked.append((await read_frame(reader))[0])
            talking.cancel()

        async def chatter(writer: asyncio.StreamWriter) -> None:
            while True:
                writer.write(frame(TEXT, b"news"))
                await asyncio.sleep(0.002)

        async def test() -> None:
            async with listening(talk) as url, opened(url, ping_every_s=0.2) as socket:
                for _ in range(20):
                    await socket.receive()
            await eventually(lambda: bool(asked))
            assert asked == [CLOSE]

        run(test())


class TestEnd:
    @pytest.mark.parametrize(
        ("payload", "said"),
        [
            (struct.pack("!H", 1000) + b"bye", "1000 ok 'bye'"),
            (struct.pack("!H", 1012) + b"service restart", "1012 service restart 'service restart'"),
            (struct.pack("!H", 4004) + "trop tôt".encode(), "4004 a code of its own 'trop tôt'"),
            (struct.pack("!H", 1008), "1008 policy violation ''"),
            (b"", "it did not say why"),
        ],
    )
    def test_it_says_why_after_the_last_message(self, payload: bytes, said: str) -> None:
        async def test() -> None:
            wire = frame(TEXT, b"last words") + frame(CLOSE, payload) + frame(TEXT, b"from the grave")
            async with sending(wire) as url, opened(url) as socket:
                messages, error = await collect(socket)
                assert messages == [b"last words"]
                assert f"127.0.0.1 closed the connection: {said}" in str(error)
                assert error.hint
                assert error.retryable
                with pytest.raises(Disconnected):
                    await socket.receive()

        run(test())

    def test_a_close_is_answered(self) -> None:
        answers = list[tuple[int, bytes]]()

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await shake_hands(reader, writer)
            writer.write(frame(CLOSE, struct.pack("!H", 1001)))
            answers.append(await read_frame(reader))
            assert not await reader.read()

        async def test() -> None:
            async with listening(talk) as url, opened(url) as socket:
                await collect(socket)
            await eventually(lambda: bool(answers))
            assert answers == [(CLOSE, struct.pack("!H", 1000))]

        run(test())

    @pytest.mark.parametrize("reset", [True, False])
    def test_a_connection_that_breaks_off_is_over(self, *, reset: bool) -> None:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await shake_hands(reader, writer)
            writer.write(frame(TEXT, b"last words") + frame(TEXT, b"never whole")[:5])
            await read_frame(reader)
            if reset:
                line = writer.get_extra_info("socket")
                line.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, struct.pack("ii", 1, 0))

        async def test() -> None:
            async with listening(talk) as url, opened(url) as socket:
                assert (await socket.receive())[0] == [b"last words"]
                await socket.send(b"go")
                assert "127.0.0.1 broke off without a goodbye" in str((await collect(socket))[1])

        run(test())

    @pytest.mark.parametrize(
        ("wire", "said"),
        [
            (frame(0x3, b"?"), "opcode"),
            (frame(PING, b"?", fin=False), "fragmented control"),
            (bytes([0x81, 0x81, 1, 2, 3, 4, 5]), "masked"),
            (frame(CONTINUATION, b"of nothing"), "mixed up"),
            (frame(TEXT, b"a", fin=False) + frame(TEXT, b"b"), "mixed up"),
            (frame(CLOSE, struct.pack("!H", 999)), "close code"),
            (b"\x82\x7f" + struct.pack("!Q", 65 * 2**20), "payload size"),
        ],
    )
    def test_who_breaks_the_protocol_is_left(self, wire: bytes, said: str) -> None:
        async def test() -> None:
            async with sending(frame(TEXT, b"good") + wire) as url, opened(url) as socket:
                messages, error = await collect(socket)
            assert messages == [b"good"]
            assert "did not keep to the WebSocket protocol" in str(error)
            assert said in str(error).lower()

        run(test())

    def test_parts_that_never_end_are_left(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(websocket, "MAX_BYTES", 1_000)

        async def test() -> None:
            more = frame(CONTINUATION, b"x" * 500, fin=False)
            async with sending(frame(TEXT, b"", fin=False) + 3 * more) as url, opened(url) as socket:
                assert "beyond 1000 bytes" in str((await collect(socket))[1])

        run(test())


class TestLeave:
    def test_it_says_goodbye(self) -> None:
        codes = list[int | None]()

        async def handler(ws: ServerConnection) -> None:
            await ws.wait_closed()
            codes.append(ws.close_code)

        async def test() -> None:
            async with serving(handler) as url:
                async with opened(url) as socket:
                    pass
                with pytest.raises(Disconnected, match="on our side"):
                    await socket.receive()
                with pytest.raises(Disconnected, match="on our side"):
                    await socket.send(b"late")
                await eventually(lambda: bool(codes))
            assert codes == [1000]

        run(test())

    @pytest.mark.parametrize("cancelled", [True, False])
    def test_it_does_not_wait_long_for_who_does_not_answer(
        self, monkeypatch: pytest.MonkeyPatch, *, cancelled: bool
    ) -> None:
        monkeypatch.setattr(websocket, "_GOODBYE_S", LONG if cancelled else 0.02)
        cut = asyncio.Event()
        inside = asyncio.Event()

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await shake_hands(reader, writer)
            with suppress(ConnectionError):
                while await reader.read(1_000):
                    pass
            cut.set()

        async def visit(url: str) -> None:
            async with opened(url):
                inside.set()

        async def test() -> None:
            async with listening(talk) as url:
                visiting = asyncio.create_task(visit(url))
                await inside.wait()
                if cancelled:
                    visiting.cancel()
                    await asyncio.sleep(0)
                    visiting.cancel()
                await asyncio.gather(visiting, return_exceptions=True)
                assert visiting.cancelled() is cancelled
                await cut.wait()

        run(test())

    def test_what_went_wrong_inside_comes_out(self) -> None:
        async def test() -> None:
            async with sending() as url:
                with pytest.raises(KeyError):
                    async with opened(url):
                        raise KeyError

        run(test())
