import asyncio
from collections.abc import Callable, Coroutine, MutableMapping
from typing import Any

import msgspec
import pytest

from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, HOUR, MILLISECOND, MINUTE, SECOND, TimeRange, Us, parse_time
from dccd_core.testing.sandbox import connection
from dccd_core.testing.sandbox.binance_live import LIVE
from dccd_core.testing.sandbox.clock import SandboxClock
from dccd_core.testing.sandbox.connection import Connections, Endpoint
from dccd_core.testing.sandbox.frames import EXTENSION
from dccd_core.testing.sandbox.live import Act, Live, Opening, Side
from dccd_core.testing.sandbox.options import Options
from dccd_core.testing.sandbox.stream_faults import StreamFault, StreamFaultKind

NOW = parse_time("2024-06-05T12:00")
BTC = Symbol.parse("BTC/USDT")
TOPIC = "btcusdt@aggTrade"


class WireFrames:
    """What the server's protocol would do."""

    def __init__(self, got: asyncio.Queue[MutableMapping[str, Any]]) -> None:
        self.ponged = False
        self.aborted = asyncio.Event()
        self._got = got

    def ping(self, payload: bytes) -> None:
        self._got.put_nowait({"type": "ping", "payload": payload})

    def abort(self) -> None:
        self.aborted.set()
        if not self._got.full():
            self._got.put_nowait({"type": "abort"})

    def fall_silent(self) -> None:
        self._got.put_nowait({"type": "silent"})


class Client:
    """The other end of a connection."""

    def __init__(self, shared: Connections, live: Live = LIVE, query: str = "", room: int = 0) -> None:
        self._said = asyncio.Queue[dict[str, Any]]()
        self._got = asyncio.Queue[MutableMapping[str, Any]](room)
        self.frames = WireFrames(self._got)
        scope = {
            "type": "websocket",
            "path_params": {},
            "query_string": query.encode(),
            "extensions": {EXTENSION: {"frames": self.frames}},
        }
        self._said.put_nowait({"type": "websocket.connect"})
        endpoint = Endpoint(shared, "binance", live, "/stream")
        self.served = asyncio.create_task(endpoint(scope, self._said.get, self._got.put))

    async def event(self) -> MutableMapping[str, Any]:
        return await self._got.get()

    async def message(self) -> Any:
        """Return the next message; pings may come before it."""
        while (event := await self.event())["type"] == "ping":
            pass
        assert event["type"] == "websocket.send", event
        return msgspec.json.decode(event["text"])

    def say(self, words: object) -> None:
        self._said.put_nowait({"type": "websocket.receive", "text": msgspec.json.encode(words).decode()})

    async def subscribe(self, *names: str) -> None:
        self.say({"method": "SUBSCRIBE", "params": names, "id": 1})
        assert await self.message() == {"result": None, "id": 1}

    async def leave(self, code: int = 1000) -> None:
        self._said.put_nowait({"type": "websocket.disconnect", "code": code})
        await self.served

    async def opened(self) -> "Client":
        assert (await self.event())["type"] == "websocket.accept"
        return self


def connections(now: Us = NOW, **options: Any) -> Connections:
    shared = Connections(Options(**options), Options(**options).market())
    shared.clock.set(now, frozen=True)
    return shared


def play(scene: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await scene()

    asyncio.run(bounded())


def test_what_is_due_by_the_clock_is_sent_and_counted() -> None:
    async def scene() -> None:
        shared = connections()
        client = await Client(shared).opened()
        await client.subscribe(TOPIC)
        shared.clock.set(Us(NOW + 10 * MINUTE), frozen=True)
        ids = shared.market.truth_trades("binance", BTC, TimeRange(NOW, Us(NOW + 10 * MINUTE)))["trade_id"]
        got = [await client.message() for _ in range(len(ids))]
        assert [str(row["data"]["a"]) for row in got] == ids.to_list()
        client.say({"method": "LIST_SUBSCRIPTIONS", "id": 2})
        assert await client.message() == {"result": [TOPIC], "id": 2}
        stats = shared.tally.venue("binance")
        assert (stats.opened, stats.open, stats.heard) == (1, 1, 2)
        assert stats.messages == {"": 2, TOPIC: len(ids)}
        await client.leave(1001)
        assert (stats.open, stats.closed) == (0, {"1001": 1})

    play(scene)


@pytest.mark.parametrize("jump", [2 * HOUR, -DAY])
def test_a_long_jump_of_the_clock_is_not_made_up_for(jump: int) -> None:
    async def scene() -> None:
        shared = connections()
        client = await Client(shared, query=f"streams={TOPIC}").opened()
        shared.clock.set(Us(NOW + jump), frozen=True)
        client.say({"method": "LIST_SUBSCRIPTIONS", "id": 2})
        assert await client.message() == {"result": [TOPIC], "id": 2}
        shared.clock.set(Us(NOW + jump + 10 * MINUTE), frozen=True)
        first = (await client.message())["data"]["a"]
        assert first == shared.market.tape("binance", BTC).count_before(Us(NOW + jump))
        await client.leave()

    play(scene)


@pytest.mark.parametrize(("answers", "limits"), [(True, True), (False, True), (False, False)])
def test_who_does_not_answer_pings_is_dropped_where_limits_hold(answers: bool, limits: bool) -> None:  # noqa: FBT001
    async def scene() -> None:
        shared = connections(rate_limits=limits)
        client = await Client(shared).opened()
        kinds, pings = list[str](), list[bytes]()
        for step in range(1, 8):
            shared.clock.set(Us(NOW + step * 25 * SECOND), frozen=True)
            client.say({"method": "LIST_SUBSCRIPTIONS", "id": step})
            while (event := await client.event())["type"] == "ping":
                pings.append(event["payload"])
            kinds.append(event["type"])
            client.frames.ponged = answers
            if event["type"] == "websocket.close":
                assert (event["code"], event["reason"]) == (1008, "Pong timeout")
                break
        assert ("websocket.close" in kinds) == (limits and not answers)
        assert pings[0] == b"%d" % ((NOW + 20 * SECOND) // MILLISECOND)
        await client.leave(1008)

    play(scene)


def test_a_jump_of_the_clock_leaves_time_to_answer() -> None:
    async def scene() -> None:
        shared = connections(rate_limits=True)
        client = await Client(shared).opened()
        shared.clock.set(Us(NOW + 10 * MINUTE), frozen=True)
        for _ in range(29):
            assert (await client.event())["type"] == "ping"
        client.frames.ponged = True
        client.say({"method": "LIST_SUBSCRIPTIONS", "id": 1})
        assert (await client.message())["id"] == 1
        await client.leave()

    play(scene)


def test_a_connection_lives_as_long_as_told() -> None:
    async def scene() -> None:
        shared = connections(stream_lifetime_s=1.5)
        client = await Client(shared).opened()
        shared.clock.set(Us(NOW + 2 * SECOND), frozen=True)
        assert (await client.event())["code"] == 1001
        await client.leave(1001)

    play(scene)


@pytest.mark.parametrize("code", [1001, 1006])
def test_all_can_be_disconnected(code: int) -> None:
    async def scene() -> None:
        shared = connections()
        clients = [await Client(shared).opened() for _ in range(2)]
        shared.disconnect(code)
        for client in clients:
            event = await client.event()
            assert event == {"type": "abort"} if code == 1006 else event["code"] == code
            await client.leave(code)
        assert shared.tally.venue("binance").closed == {str(code): 2}
        assert not shared.open

    play(scene)


def test_a_reset_begins_anew() -> None:
    async def scene() -> None:
        shared = connections()
        shared.set_faults([StreamFault(kind=StreamFaultKind.REFUSE)])
        refused = Client(shared)
        assert (await refused.event())["status"] == 503
        shared.set_faults([])
        client = await Client(shared).opened()
        shared.reset(SandboxClock())
        assert (await client.event())["code"] == 1012
        await client.leave(1012)
        assert not shared.tally.strikes

    play(scene)


def test_faults_strike_and_are_told_with_their_time() -> None:
    async def scene() -> None:
        shared = connections(stream_faults=[StreamFault(kind=StreamFaultKind.SILENCE, nth=3)])
        client = await Client(shared, query=f"streams={TOPIC}").opened()
        shared.clock.set(Us(NOW + 10 * MINUTE), frozen=True)
        ids = [(await client.message())["data"]["a"] for _ in range(2)]
        assert await client.event() == {"type": "silent"}
        [struck] = shared.tally.strikes
        trade = shared.market.tape("binance", BTC).by_id(ids[0] + 2, 1)
        assert (struck.venue, struck.topic, struck.kind) == ("binance", TOPIC, "silence")
        assert struck.at == trade.time[0]
        assert msgspec.json.decode(struck.text)["data"]["a"] == ids[0] + 2
        await client.leave()
        assert shared.tally.venue("binance").messages == {TOPIC: 2}

    play(scene)


@pytest.mark.parametrize(("limits", "opened"), [(True, 300), (False, 301)])
def test_too_many_connections_are_refused_where_limits_hold(limits: bool, opened: int) -> None:  # noqa: FBT001
    async def scene() -> None:
        shared = connections(rate_limits=limits)
        clients = [Client(shared) for _ in range(301)]
        events = [await client.event() for client in clients]
        assert [event["type"] for event in events].count("websocket.accept") == opened
        assert [event.get("status") for event in events].count(429) == 301 - opened
        for client, event in zip(clients, events, strict=True):
            if event["type"] == "websocket.accept":
                await client.leave()
        assert shared.tally.venue("binance").refused == 301 - opened

    play(scene)


def test_a_mistake_in_a_simulation_is_told_to_the_client(capsys: pytest.CaptureFixture[str]) -> None:
    class Broken(Side):
        def heard(self, text: str, now: Us) -> list[Act]:
            raise LookupError(text)

    def opened(opening: Opening) -> Side:
        return Broken(opening, LIVE.open(opening).habits)

    async def scene() -> None:
        client = await Client(connections(), Live(paths=("/stream",), open=opened)).opened()
        client.say("hello")
        event = await client.event()
        assert (event["code"], event["reason"]) == (1011, "LookupError('\"hello\"')")
        await client.leave(1011)

    play(scene)
    assert "LookupError" in capsys.readouterr().err


def test_a_client_that_reads_too_slowly_is_dropped_where_limits_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_SLOW_S", 0.01)

    async def scene() -> None:
        shared = connections(rate_limits=True)
        client = await Client(shared, room=2).opened()
        await client.subscribe(TOPIC)
        shared.clock.set(Us(NOW + 10 * MINUTE), frozen=True)
        await asyncio.wait_for(client.frames.aborted.wait(), 30)
        await client.leave(1006)

    play(scene)


def test_a_client_that_went_away_is_no_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    async def scene() -> None:
        shared = connections()
        client = await Client(shared).opened()

        async def gone(_: object) -> None:
            raise BrokenPipeError

        [connection] = shared.open
        connection._send = gone  # pyright: ignore[reportPrivateUsage]
        client.say({"method": "LIST_SUBSCRIPTIONS", "id": 2})
        await client.leave(1006)
        assert shared.tally.venue("binance").closed == {"1006": 1}

    play(scene)
    assert capsys.readouterr().err == ""
