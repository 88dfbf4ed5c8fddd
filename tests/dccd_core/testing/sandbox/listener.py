"""The adapter of a venue at the other end of a connection to its simulation, and the books it hears of."""

from collections.abc import Sequence
from typing import TypeAlias
from urllib.parse import urlsplit

import polars as pl

from dccd_core.adapter.live import BookChange, Channel, DecodedBatch, Precision, Topic, WebSocketApi
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import SECOND, Us
from dccd_core.exchanges import get
from dccd_core.stream.book import Book
from dccd_core.tables import DataType
from dccd_core.testing.sandbox.dialect import DIALECTS
from dccd_core.testing.sandbox.line import Line
from dccd_core.testing.sandbox.live import Act
from dccd_core.testing.sandbox.market import Market
from dccd_core.testing.sandbox.server import LIVES
from dccd_core.testing.sandbox.stream_faults import StreamFault, StreamInjector
from tests.dccd_core.testing.sandbox.talk import Talk, messages

Served: TypeAlias = tuple[str, str, DataType]
"""An exchange, a kind of market, and a data type that it pushes of it."""
WHOLE = 1_200
"""Levels a side of a book that has no depth to ask for."""


def live_of(name: str) -> WebSocketApi:
    live = get(name).live
    assert live
    return live


def channel_of(served: Served) -> Channel:
    name, kind, data_type = served
    channel = live_of(name).channel(kind, data_type)
    assert channel
    return channel


class Listener:
    """One connection, opened at ``now``, on which the topics are subscribed to; all of it is understood."""

    def __init__(self, name: str, *topics: Topic, market: Market, now: Us, enforced: bool = False) -> None:
        self.name, self.live = name, live_of(name)
        [path] = {urlsplit(self.live.url(topic)).path for topic in topics}
        self.talk = Talk(LIVES[name], path, now, market, enforced=enforced)
        self.state: object = None
        self.heard: list[DecodedBatch] = []
        self.acts: list[Act] = []
        self.hear(self.talk.greeting)
        for words in self.live.greeting:
            self.say(words)
        for number, topic in enumerate(topics, 1):
            self.say(self.live.subscribe([topic], number))

    def say(self, words: bytes) -> DecodedBatch:
        return self.hear(self.talk.say(words.decode()))

    def until(self, end: Us) -> DecodedBatch:
        return self.hear(self.talk.until(end))

    def hear(self, acts: Sequence[Act]) -> DecodedBatch:
        heard = understood(self.name, acts, self.state)
        self.state = heard.state
        self.heard.append(heard)
        self.acts += acts
        return heard

    @property
    def books(self) -> list[BookChange]:
        return [change for heard in self.heard for change in heard.books]

    def trades(self, since: Us) -> pl.DataFrame:
        """Return each trade once, as it came first, of those that happened since."""
        rows = pl.concat(heard.trades for heard in self.heard if heard.trades is not None)
        times = pl.col("ts").cast(pl.Int64)
        return rows.unique("trade_id", keep="first", maintain_order=True).filter(times >= since)

    def bars(self) -> pl.DataFrame:
        """Return the last word on each bar."""
        rows = pl.concat(heard.bars for heard in self.heard if heard.bars is not None)
        return rows.unique("ts", keep="last").sort("ts")


def understood(name: str, acts: Sequence[Act], state: object = None) -> DecodedBatch:
    """Return what the adapter of a venue makes of what was sent, which is to have nothing odd in it."""
    sent = messages(acts)
    found = live_of(name).decode([act.text.encode() for act in sent], [act.at for act in sent], state)
    assert found.bad == []
    return found


def struck(listener: Listener, fault: StreamFault, seconds: int = 3) -> DecodedBatch:
    """Return what is heard of so many seconds, the answers among it, that meet a fault once or more."""
    struck = list[object]()
    listener.until(Us(listener.talk.now + seconds * SECOND))
    name, side = listener.name, listener.talk.side
    line = Line(name, LIVES[name], side, lambda _, message: struck.append(message))
    sent = line.sent(listener.acts, StreamInjector([fault], 1), listener.talk.now)
    assert struck
    return understood(name, sent)


def contract_of(served: Served) -> float | None:
    """Return what an amount of a channel is worth, where the engine is the one to convert it."""
    name, kind, _ = served
    return 10.0 ** DIALECTS[name].contracts[kind] if channel_of(served).contracts else None


def kept_of(served: Served, topic: Topic, market: Market, symbol: Symbol) -> Book:
    return Book(channel_of(served), topic.depth, Precision(market.instruments[symbol].price_scale, 8))


def same_book(served: Served, topic: Topic, book: Book, market: Market, symbol: Symbol, at: Us) -> None:
    """Assert that a book has the levels that there were, with amounts as the venue counts them."""
    depth, contract = topic.depth or WHOLE, contract_of(served)
    truth = market.truth_book(served[0], symbol, at, depth)
    if contract is not None:
        price = pl.col("price") if symbol.market_type == "inverse" else 1.0
        truth = truth.with_columns(amount=(pl.col("amount") * price / contract).round(9))
    assert book.lost is None
    for name, side in (("bid", book.bids), ("ask", book.asks)):
        levels = [(float(price), float(amount)) for price, amount in side.best(depth)]
        assert levels == truth.filter(side=name).select("price", "amount").rows()
