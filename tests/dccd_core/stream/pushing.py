"""A venue that pushes, a clock that costs no time and a disk that gets full: what a recorder's tests share.

Every second the venue pushes, of each topic that was subscribed to, a trade whose id is that second: so it is
known what is to be there. Topics of order books get one change a second, numbered by the second.
"""

import asyncio
import json
import threading
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from dccd_core.adapter.contract import Limit, Request
from dccd_core.adapter.frames import TaggedRows, live_trades
from dccd_core.adapter.live import Ack, BookChange, BookStart, Channel, DecodedBatch, Topic, WebSocketApi
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import Unavailable
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import MINUTE, SECOND, TimeRange, Us, parse_time, union
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.live.segments import SegmentInfo, find, opened
from dccd_core.lake.store.opening import live_folder
from dccd_core.net.clock import ManualClock
from dccd_core.net.websocket import Disconnected
from dccd_core.stream.api import StreamPlan
from dccd_core.stream.compare import Snapshot
from dccd_core.stream.connection import Group, StreamContext
from dccd_core.stream.venuetime import VenueTime
from dccd_core.stream.wanted import Seen, Wanted
from dccd_core.stream.windows import Windows
from dccd_core.tables import DataType
from tests.promises.streams import Told

START = parse_time("2024-06-05T12:10")
URL = "wss://x/"
PLAIN = Channel(docs="")


def _begin_book(topic: Topic) -> Request:
    return Request("/depth", {"symbol": topic.market})


def _decode_start(body: bytes, topic: str) -> BookChange:
    return BookChange(topic, None, [("9", "1")], [("11", "1")], whole=True, last=int(body))


STARTED = Channel(docs="", start=BookStart(_begin_book, _decode_start, 100))
"""Its venue pushes only changes of books."""


def decode(frames: Sequence[bytes], received: Sequence[Us], state: object) -> DecodedBatch:
    """Read messages of the venue below: lists whose first says what the others are."""
    heard, came = DecodedBatch(state=state), TaggedRows[tuple[int, int]]()
    for frame, moment in zip(frames, received, strict=True):
        match json.loads(frame):
            case ["trade", topic, at, number]:
                came.add(topic, moment, (at, number))
                heard.at = max(heard.at or Us(0), Us(at))
            case ["change", topic, at, number]:
                heard.books.append(BookChange(topic, Us(at), [("9", "1")], first=number, last=number))
            case ["book", topic, at, number]:
                levels = [("9", "1")], [("11", "1")]
                heard.books.append(BookChange(topic, Us(at), *levels, whole=True, last=number))
            case ["ack", topic, error]:
                heard.acks.append(Ack(topic, error=error))
            case ["restart", reason]:
                heard.restart = reason
            case _:
                heard.bad.append((frame, "no such message"))
    if came.rows:
        heard.trades = live_trades(
            came,
            ts=pl.Series([at for at, _ in came.rows]),
            price=[10.0] * len(came.rows),
            amount=[1.0] * len(came.rows),
            trade_id=[number for _, number in came.rows],
        )
    return heard


def _say(verb: str) -> Callable[[Sequence[Topic], int], bytes]:
    return lambda topics, number: json.dumps([verb, number, *map(name_of, topics)]).encode()


def name_of(topic: Topic) -> str:
    return f"{topic.market.split('/')[0].lower()}.{topic.data_type}"


LIVE = WebSocketApi(
    url=lambda topic: URL if topic.market_type == "spot" else f"{URL}{topic.market_type}",
    name=name_of,
    subscribe=_say("sub"),
    unsubscribe=lambda topics, number, _: _say("leave")(topics, number),
    decode=decode,
    connects=Limit(1, MINUTE),
    channels={DataType.TRADES: PLAIN, DataType.ORDERBOOK: STARTED},
    pace=Us(SECOND // 5),
    silence=Us(30 * SECOND),
)


def wanted(symbol: str, data_type: DataType = DataType.TRADES, channel: Channel = PLAIN) -> Wanted:
    one = Symbol.parse(symbol)
    dataset = Dataset("x", one, data_type)
    return Wanted(dataset, Topic(data_type, symbol, one.market_type), channel, depth=1, every=SECOND)


def group(*ones: Wanted, url: str = URL) -> Group:
    return Group(url, {name_of(one.topic): [one] for one in ones})


A, B = wanted("A/USD"), wanted("B/USD")
BOOK = wanted("C/USD", DataType.ORDERBOOK, STARTED)


class PushingSocket:
    """The client's end of a connection to the venue below."""

    def __init__(self, venue: "PushingVenue") -> None:
        self.sent: list[list[object]] = []
        self.topics: set[str] = set()
        self.ended: str | None = None
        self._venue = venue
        self._frames: list[bytes] = []
        self._moments: list[Us] = []
        self._ready = asyncio.Event()

    @property
    def heard(self) -> Us:
        return self._moments[-1] if self._moments else Us(0)

    async def receive(self) -> tuple[list[bytes], list[Us]]:
        await self._ready.wait()
        if not self._frames:
            raise Disconnected(self.ended or "")
        batch = self._frames, self._moments
        self._frames, self._moments = [], []
        if self.ended is None:
            self._ready.clear()
        return batch

    async def send(self, message: bytes) -> None:
        verb, number, *topics = json.loads(message)
        self.sent.append([verb, number, *topics])
        for topic in topics:
            self._venue.answer(self, verb, topic)

    def say(self, *message: object) -> None:
        self._frames.append(json.dumps(message).encode())
        self._moments.append(self._venue.clock.now())
        self._ready.set()

    def end(self, why: str) -> None:
        self.ended = why
        self._ready.set()


class PushingVenue:
    """``refuses`` and ``mute`` are topics, ``closed`` the errors of the next attempts to connect."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.refuses: dict[str, str] = {}
        self.mute: set[str] = set()
        self.silent = False
        self.leap = 0
        """How much the venue's clock is ahead."""
        self.closed: list[Exception] = []
        self.shut: dict[str, Exception] = {}
        """Addresses that let nobody in."""
        self.skipped: set[tuple[str, int]] = set()
        """Changes of books that are not sent."""
        self.attempts: list[Us] = []
        self.sockets: list[PushingSocket] = []
        self.open = 0
        self.most_open = 0

    @asynccontextmanager
    async def connect(self, url: str) -> AsyncGenerator[PushingSocket]:
        self.attempts.append(self.clock.steady())
        if url in self.shut:
            raise self.shut[url]
        if self.closed:
            raise self.closed.pop(0)
        socket = PushingSocket(self)
        self.sockets.append(socket)
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        pushing = asyncio.create_task(self._push(socket))
        try:
            yield socket
        finally:
            self.open -= 1
            pushing.cancel()
            await asyncio.gather(pushing, return_exceptions=True)

    def answer(self, socket: PushingSocket, verb: str, topic: str) -> None:
        if verb == "leave":
            socket.topics.discard(topic)
        elif topic in self.refuses:
            socket.say("ack", topic, self.refuses[topic])
        else:
            socket.topics.add(topic)
            socket.say("ack", topic, None)

    async def _push(self, socket: PushingSocket) -> None:
        while True:
            now = self.clock.now()
            await self.clock.sleep(((now // SECOND + 1) * SECOND - now) / SECOND)
            second = self.second()
            for topic in sorted(socket.topics - self.mute if not self.silent else ()):
                what = "change" if topic.endswith("orderbook") else "trade"
                if (topic, second) not in self.skipped:
                    socket.say(what, topic, second * SECOND, second)

    def second(self) -> int:
        return self.clock.now() // SECOND + self.leap


@dataclass
class Stage:
    """What a recorder is given, made for a test."""

    folder: Path
    live: WebSocketApi = LIVE
    clock: ManualClock = field(default_factory=lambda: ManualClock(START))
    told: Told = field(default_factory=Told)
    unstarted: list[Exception] = field(default_factory=list[Exception])
    """What happens to the next snapshots of books."""

    def __post_init__(self) -> None:
        self.lake = LakeStore(self.folder)
        self.venue = PushingVenue(self.clock)

    def context(self, *ones: Wanted) -> StreamContext:
        seen = {one.dataset: Seen() for one in ones}
        return StreamContext(
            exchange="x",
            live=self.live,
            lake=self.lake,
            clock=self.clock,
            connect=self.venue.connect,
            start_book=self.start_book,
            show_book=self.show_book,
            listener=self.told,
            seen=seen,
            time=VenueTime(self.clock.now(), self.clock.steady()),
            windows=Windows(),
        )

    async def start_book(self, one: Wanted, name: str) -> tuple[BookChange, Us]:
        await self.clock.sleep(0.3)
        if self.unstarted:
            raise self.unstarted.pop(0)
        return _decode_start(b"%d" % self.venue.second(), name), self.clock.now()

    async def show_book(self, one: Wanted, name: str) -> Snapshot:
        raise Unavailable("nobody shows books here")

    async def find(self, _: StreamPlan, dataset: Dataset) -> Wanted | None:
        """Look up what is added later."""
        return wanted(str(dataset.symbol), dataset.data_type)

    def notes(self, part: str) -> list[str]:
        return [text for text, _ in self.told.notes if part in text]

    def segments(self) -> list[SegmentInfo]:
        return self.lake.segments("x")

    def recorded(self, one: Wanted) -> tuple[list[int], list[TimeRange]]:
        """Return the seconds of the rows that are in segments, as often as they are, and what these cover."""
        seconds: list[int] = []
        for path, family in find(live_folder(self.folder)):
            with opened(path, family) as segment:
                assert segment
                for batch in segment.batches():
                    rows = pl.DataFrame(batch.rows).filter(symbol=str(one.dataset.symbol))
                    seconds += (rows["ts"].cast(pl.Int64) // SECOND).to_list()
        with self.lake.harvest("x", one.dataset.data_type) as harvest:
            spans = [
                span
                for dataset, key in harvest.parts
                if dataset == one.dataset
                for span in harvest.covered(dataset, key)
            ]
        return sorted(seconds), union(spans)


def repeated(seconds: Sequence[int]) -> list[int]:
    return [second for second, times in Counter(seconds).items() if times > 1]


def consecutive(seconds: Sequence[int]) -> bool:
    return sorted(set(seconds)) == list(range(min(seconds), max(seconds) + 1))


def play(scene: Coroutine[object, object, None]) -> None:
    """Run a scene; it must leave no task behind."""

    async def whole() -> None:
        await asyncio.wait_for(scene, 60)
        for _ in range(50):
            await asyncio.sleep(0)
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert [task for task in left if "ManualClock._move" not in repr(task.get_coro())] == []

    asyncio.run(whole())


def lacking(seconds: Sequence[int], covered: Sequence[TimeRange]) -> list[int]:
    """Return the seconds of which a row is lacking, although they are said to be covered."""
    said = {second for span in covered for second in range(-(-span.start // SECOND), -(-span.end // SECOND))}
    return sorted(said - set(seconds))


class Disk:
    """``room`` is how many bytes can still be written; what writes waits while ``stuck``."""

    def __init__(self) -> None:
        self.room = 1 << 40
        self.free = threading.Event()
        self.free.set()
        self.reached = threading.Event()
