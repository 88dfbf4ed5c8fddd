"""A connection to what a venue pushes of two markets, with faults on it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from typing import TypeAlias
from urllib.parse import urlsplit

import msgspec
import pytest

from dccd_core.adapter.live import BookChange, Topic
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import MINUTE, SECOND, TimeRange, Us, parse_time
from dccd_core.exchanges import NAMES, get
from dccd_core.tables import DataType
from dccd_core.testing.sandbox.line import Line
from dccd_core.testing.sandbox.live import Act, Message, Opening
from dccd_core.testing.sandbox.market import Market
from dccd_core.testing.sandbox.server import LIVES
from dccd_core.testing.sandbox.stream_faults import StreamFault, StreamFaultKind, StreamInjector

Served: TypeAlias = tuple[str, str, DataType]
"""An exchange, a kind of market, and a data type that it pushes of it."""
Kind = StreamFaultKind

NOW = parse_time("2024-06-05T12:00:20.05")
END = Us(NOW + 30 * SECOND)
SYMBOLS = {
    "spot": ("BTC/USDT", "ETH/USDT"),
    "linear": ("BTC/USDT:USDT", "ETH/USDT:USDT"),
    "inverse": ("BTC/USD:BTC", "ETH/USD:ETH"),
}
DENSITY = {symbol: 2_000_000 for both in SYMBOLS.values() for symbol in both}
TRUTH = Market(["ETH/USD:ETH"], DENSITY)
DEPTH = 25
DIGITS = {"kraken": 8}
"""Decimals of amounts, where a checksum needs to know them."""
UNNUMBERED = ("kraken", "coinbase")
"""Venues whose order books have no numbers."""
UNASKED = ("binance",)
"""Venues that never push a whole book."""


def served() -> list[Served]:
    found = list[Served]()
    for name in NAMES:
        live = get(name).live
        kinds = [kind for kind in SYMBOLS if kind in get(name).kinds] if live else []
        for kind in kinds:
            for data_type in DataType:
                channel = live.channel(kind, data_type) if live else None
                if channel and not channel.from_trades:
                    found.append((name, kind, data_type))
    return found


SERVED = served()
BOOKS = [one for one in SERVED if one[2] is DataType.ORDERBOOK]
each_served = pytest.mark.parametrize("what", SERVED, ids="-".join)
each_book = pytest.mark.parametrize("what", BOOKS, ids="-".join)


def fault(kind: Kind, **more: object) -> StreamFault:
    return msgspec.convert({"kind": kind, **more}, StreamFault)


@dataclass
class Struck:
    kind: Kind
    message: Message


@dataclass
class Wire:
    """A connection to one channel of two markets; time passes only by ``until``."""

    what: Served
    injector: StreamInjector
    now: Us = NOW
    got: list[Act] = field(default_factory=list[Act])
    struck: list[Struck] = field(default_factory=list[Struck])
    state: object = None
    heard: int = 0

    def __post_init__(self) -> None:
        name, kind, data_type = self.what
        live = get(name).live
        assert live
        self.live = live
        channel = live.channel(kind, data_type)
        assert channel
        self.channel = channel
        bar = MINUTE if data_type is DataType.OHLC else None
        depth = channel.depth(DEPTH) if data_type is DataType.ORDERBOOK else 0
        self.symbols = [Symbol.parse(text) for text in SYMBOLS[kind]]
        self.topics = [
            Topic(data_type, get(name).market(symbol), kind, bar, depth or 0, str(symbol))
            for symbol in self.symbols
        ]
        path = urlsplit(live.url(self.topics[0])).path
        side = LIVES[name].open(Opening(TRUTH, path, {}, self.now))
        self.line = Line(name, LIVES[name], side, lambda one, of: self.struck.append(Struck(one.kind, of)))
        self.send(side.opened(self.now))
        for words in live.greeting:
            self.say(words)
        self.subscribe(*self.topics)

    def send(self, acts: Sequence[Act]) -> None:
        self.got += self.line.sent(acts, self.injector, self.now)

    def say(self, words: bytes) -> None:
        self.send(self.line.side.heard(words.decode(), self.now))

    def subscribe(self, *topics: Topic) -> None:
        for number in range(0, len(topics), self.live.batch):
            self.say(self.live.subscribe(topics[number : number + self.live.batch], number))

    def unsubscribe(self, topic: Topic) -> None:
        self.hear()
        self.say(self.live.unsubscribe([topic], 77, self.state))

    def until(self, end: Us, step: Us = SECOND) -> "Wire":
        """Let time pass in steps."""
        while self.now < end:
            span = TimeRange(self.now, min(end, Us(self.now + step)))
            self.now = span.end
            self.send(self.line.side.due(span))
        return self

    def hear(self) -> list[BookChange]:
        """Return what is new of order books, as the venue's adapter reads it."""
        acts = [act for act in self.got[self.heard :] if isinstance(act, Message)]
        self.heard = len(self.got)
        heard = self.live.decode([act.text.encode() for act in acts], [act.at for act in acts], self.state)
        self.state = heard.state
        return heard.books

    def name(self, which: int = 0) -> str:
        """Return what faults call a topic."""
        own = self.live.name(self.topics[which])
        return {"binance": {"linear": f"usdm:{own}"}, "bybit": {"spot": own}}.get(self.what[0], {}).get(
            self.what[1], f"{self.what[1]}:{own}" if self.what[0] == "bybit" else own
        )

    def of(self, which: int = 0) -> list[Message]:
        return [act for act in self.got if isinstance(act, Message) and act.topic == self.name(which)]

    def answers(self) -> list[Message]:
        return [act for act in self.got if isinstance(act, Message) and not act.topic]


def wire(what: Served, *faults: StreamFault) -> Wire:
    return Wire(what, StreamInjector(faults, 0))


@cache
def quiet(what: Served) -> Wire:
    """Return what is sent when nothing is wrong."""
    return wire(what).until(END)


def name_of(what: Served, which: int = 0) -> str:
    return quiet(what).name(which)


def unnumbered(messages: Sequence[Message]) -> list[tuple[Us, str]]:
    """Return when and what, without the numbers of the connection."""
    return [(one.at, re.sub(r",\d+,\d+\]$", "]", one.text)) for one in messages]


def numbers_of(what: Served, messages: Sequence[Message]) -> list[list[int]]:
    numbers = LIVES[what[0]].numbers
    assert numbers
    return [[int(number) for number in numbers.findall(one.text)] for one in messages]


def counted_without_a_gap(one: Wire) -> None:
    """The numbers that run through a connection."""
    if LIVES[one.what[0]].counted:
        messages = [act for act in one.got if isinstance(act, Message)]
        numbers = [number for [number] in filter(None, numbers_of(one.what, messages))]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert len(numbers) > 3


def in_order(one: Wire) -> None:
    """Nothing shows in the numbers of what was sent."""
    counted_without_a_gap(one)
    if one.what[0] in UNNUMBERED or LIVES[one.what[0]].counted:
        return
    rows = numbers_of(one.what, one.of())
    match one.what[:2]:
        case ("binance", "spot"):
            assert all(after[0] == before[1] + 1 for before, after in pairwise(rows))
        case ("binance", _):
            assert all(after[2] == before[1] for before, after in pairwise(rows))
        case ("bybit", _):
            assert all(after[0] == before[0] + 1 for before, after in pairwise(rows))
        case _:
            assert all(after[0] == before[-1] for before, after in pairwise(rows) if len(after) == 2)
