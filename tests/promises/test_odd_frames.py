"""One market's odd messages end nobody else's record: scripts of what was seen of the real venues."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from dccd_core.adapter.contract import Request, Response
from dccd_core.domain.dataset import Dataset, partition_key
from dccd_core.domain.errors import Rejected
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import MILLISECOND, SECOND, TimeRange, Us, iso, parse_time
from dccd_core.exchanges import get
from dccd_core.fetch.venue import Venue
from dccd_core.lake.lake import LakeStore
from dccd_core.net.clock import ManualClock
from dccd_core.net.websocket import Disconnected
from dccd_core.stream.api import StreamPlan
from dccd_core.stream.fold import fold_all
from dccd_core.stream.run import run_stream
from dccd_core.tables import DataType
from tests.promises.streams import Told

START = parse_time("2024-06-05T12:10")
LENGTH = 60

Say = Callable[[object], None]


@pytest.fixture(autouse=True)
def _inline(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction] -- by pytest
    """Do at once what else a thread does: the clock would run on meanwhile."""

    async def at_once(do: Callable[..., object], *arguments: object) -> object:
        return do(*arguments)

    monkeypatch.setattr(asyncio, "to_thread", at_once)


class Script:
    """What a venue says on one connection."""

    def asked(self, message: dict[str, object], say: Say) -> None:
        """Answer a message."""

    def second(self, number: int, now: Us, say: Say) -> None:
        """Say what is due, each second, ``number`` seconds after the connection was opened."""


@dataclass
class Line:
    """The client's end of a connection."""

    clock: ManualClock
    script: Script
    frames: list[bytes] = field(default_factory=list[bytes])
    ready: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def heard(self) -> Us:
        return self.clock.now()

    def say(self, message: object) -> None:
        self.frames.append(json.dumps(message).encode())
        self.ready.set()

    async def receive(self) -> tuple[list[bytes], list[Us]]:
        await self.ready.wait()
        frames, self.frames = self.frames, []
        self.ready.clear()
        if not frames:
            raise Disconnected("over")
        return frames, [self.clock.now()] * len(frames)

    async def send(self, message: bytes) -> None:
        self.script.asked(json.loads(message), self.say)


@dataclass
class Desk:
    """The REST side: it lists symbols, and serves nothing else."""

    symbols: object

    async def send(self, request: Request) -> Response:
        if "conf" in request.path or request.path == "/products":
            return Response(200, {}, json.dumps(self.symbols).encode(), Us(0))
        raise Rejected("not now")


@dataclass
class Outcome:
    covered: dict[Dataset, list[TimeRange]]
    told: Told
    connections: int


def play(
    folder: Path, exchange: str, symbols: object, datasets: Sequence[Dataset], script: Callable[[], Script]
) -> Outcome:
    """Record a script for a minute."""
    clock, lake, told = ManualClock(START), LakeStore(folder), Told()
    venue, opened = Venue(get(exchange), Desk(symbols), clock), list[Line]()

    @asynccontextmanager
    async def connect(_: str) -> AsyncGenerator[Line]:
        line = Line(clock, script())
        opened.append(line)
        pushing = asyncio.create_task(push(line))
        try:
            yield line
        finally:
            pushing.cancel()
            await asyncio.gather(pushing, return_exceptions=True)

    async def push(line: Line) -> None:
        number = 0
        while True:
            await clock.sleep(1)
            number += 1
            line.script.second(number, clock.now(), line.say)

    async def go() -> None:
        stop = asyncio.Event()
        plan = StreamPlan("x", tuple(datasets), depth=1)
        running = asyncio.create_task(run_stream(plan, venue, connect, lake, stop, told))
        await clock.sleep(LENGTH)
        stop.set()
        await running
        kinds = dict.fromkeys((one.data_type, one.span) for one in datasets)
        await fold_all(venue, lake, kinds, told)

    asyncio.run(asyncio.wait_for(go(), 60))
    covered: dict[Dataset, list[TimeRange]] = {}
    for dataset in datasets:
        state = lake.state(dataset, partition_key(dataset.grain, START))
        covered[dataset] = state.ledger.covered() if state else []
    return Outcome(covered, told, len(opened))


def of(exchange: str, symbol: str, data_type: DataType) -> Dataset:
    return Dataset(exchange, Symbol.parse(symbol), data_type)


class Coinbase(Script):
    """Books of ``products``; of the odd one all messages are ``odd``, three times."""

    def __init__(self, odd: dict[str, object]) -> None:
        self._odd, self._products = odd, list[str]()

    def asked(self, message: dict[str, object], say: Say) -> None:
        channels = cast(list[dict[str, Any]], message["channels"])
        [products] = [
            cast(list[str], one["product_ids"]) for one in channels if one["name"] == "level2_batch"
        ]
        if message["type"] == "unsubscribe":
            return
        self._products += [one for one in products if one not in self._products]
        say({"type": "subscriptions", "channels": [{"name": "level2_50", "product_ids": self._products}]})
        for product in products:
            book = {"bids": [["10", "1"]], "asks": [["11", "1"]]}
            say({"type": "snapshot", "product_id": product, **book})

    def second(self, number: int, now: Us, say: Say) -> None:
        for product in self._products:
            change = {"changes": [["buy", "10", str(number)]], "time": iso(now)}
            say({"type": "l2update", "product_id": product, **change})
        if number in (10, 11, 30):
            say({"product_id": "OLD-USD", **self._odd})


@pytest.mark.parametrize(
    "odd",
    [
        {"type": "l2update", "changes": [["buy", "10", "1"]], "time": "0001-01-01T00:00:00.000000Z"},
        {"type": "snapshot", "bids": [["40531.19", "0.-10000"]], "asks": []},
    ],
    ids=["time", "level"],
)
def test_l8_one_product_s_odd_message_leaves_the_books_of_others_alone(
    odd: dict[str, object], tmp_path: Path
) -> None:
    rest = {"status": "online", "trading_disabled": False}
    symbols = [
        {"id": f"{base}-USD", "base_currency": base, "quote_currency": "USD", **rest}
        for base in ("BTC", "OLD")
    ]
    mine, other = (of("coinbase", f"{base}/USD", DataType.ORDERBOOK) for base in ("BTC", "OLD"))
    outcome = play(tmp_path, "coinbase", symbols, [mine, other], lambda: Coinbase(odd))
    whole, *more = outcome.covered[mine]
    assert more == [], [text for text, wrong in outcome.told.notes if wrong]
    assert whole.start <= START + 5 * SECOND
    assert whole.end >= START + (LENGTH - 5) * SECOND
    assert len(outcome.covered[other]) > 1, "its own book was lost"
    assert outcome.connections == 1


class Bitfinex(Script):
    """A trade a second of two channels, the second of which is answered for only after 7 seconds."""

    def __init__(self) -> None:
        self._number, self._late = 0, False

    def _told(self, channel: int, now: Us, *what: object) -> list[object]:
        self._number += 1
        return [channel, *what, self._number, now // MILLISECOND]

    def asked(self, message: dict[str, object], say: Say) -> None:
        if message["event"] == "conf":
            say({"event": "info", "version": 2})
            say({"event": "conf", "status": "OK"})
        elif message.get("symbol") == "tBTCUSD":
            say({"event": "subscribed", "channel": "trades", "chanId": 1, "symbol": "tBTCUSD"})
        else:
            self._late = True

    def second(self, number: int, now: Us, say: Say) -> None:
        say(self._told(1, now, "te", [now // SECOND, now // MILLISECOND, 1, 10]))
        if not self._late:
            return
        if number < 8:
            say(self._told(2, now, "hb"))
            return
        if number == 8:
            say({"event": "subscribed", "channel": "trades", "chanId": 2, "symbol": "tETHUSD"})
        say(self._told(2, now, "te", [now // SECOND, now // MILLISECOND, 1, 10]))


def test_l7_heartbeats_before_the_answer_to_their_subscription_end_no_connection(tmp_path: Path) -> None:
    mine, late = (of("bitfinex", f"{base}/USD", DataType.TRADES) for base in ("BTC", "ETH"))
    outcome = play(tmp_path, "bitfinex", [["BTCUSD", "ETHUSD"]], [mine, late], Bitfinex)
    assert outcome.connections == 1, [text for text, wrong in outcome.told.notes if wrong]
    for dataset, start in ((mine, START + 5 * SECOND), (late, START + 15 * SECOND)):
        [whole] = outcome.covered[dataset]
        assert whole.start <= start
        assert whole.end >= START + (LENGTH - 10) * SECOND
