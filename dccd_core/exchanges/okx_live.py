"""OKX's WebSocket, v5: spot, linear and inverse perpetuals.

Docs: https://www.okx.com/docs-v5/en/

Quirks:
- The hosts of a country are ``wseea.okx.com`` and ``wsus.okx.com``.
- Trades and bars have another address than books. ``trades-all`` has every fill, with the ids of REST;
  ``trades`` joins the fills of one order.
- Bars and pongs tell no time: a running bar shows that it has begun, a closed one that it is over.
- ``prevSeqId`` is the ``seqId`` of the message before, also where ``seqId`` starts anew from a smaller one.
  Both are the same when nothing changed. ``checksum`` is always 0: it proves nothing.
- Errors name no topic. UNSURE: whether they echo the ``id``; if not, they concern all that is unanswered.
- UNSURE: that a book's levels beyond the 400th are said to be gone (amount 0), as those of others are.
- UNSURE: how many topics a connection may have; it is to be fewer than 30 books.
- An hour has 480 messages of ours per connection; more, or trouble, is an error: a new connection is due.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated, Final, Literal

import msgspec

from dccd_core.adapter import wire
from dccd_core.adapter.contract import Limit
from dccd_core.adapter.frames import Came, isolating, live_bars, live_trades, read_frames, rows_of
from dccd_core.adapter.live import Ack, BookChange, Channel, Heard, Live, Topic
from dccd_core.domain.datatype import DataType
from dccd_core.domain.errors import PayloadError
from dccd_core.domain.timespan import MILLISECOND, SECOND, Ns
from dccd_core.exchanges.okx import (
    BARS,
    DOCS,
    OVERLOADED,
    TOO_MANY,
    Book,
    Candle,
    Trade,
    pairs,
    trade_columns,
)

_GOING_DOWN: Final = "64008"
_ELSEWHERE: Final = ("60014", "63999", *TOO_MANY, *OVERLOADED)
"""Errors that another connection may not meet."""
_PUSHED_BARS: Final = {f"candle{name}": bar for bar, name in BARS.items()}
_PUSHED: Final = {
    "trades-all": DataType.TRADES,
    "books": DataType.ORDERBOOK,
    **dict.fromkeys(_PUSHED_BARS, DataType.OHLC),
}


class BookPushed(Book, gc=False):
    """``{"asks":[..],"bids":[..],"ts":"1597026383085","checksum":0,"prevSeqId":123456,"seqId":123457}``."""

    prevSeqId: Annotated[int, msgspec.Meta(ge=-1)]
    seqId: wire.Whole


class Arg(msgspec.Struct, gc=False):
    channel: str
    instId: str

    @property
    def name(self) -> str:
        return f"{self.channel}:{self.instId}"


class Pushed(msgspec.Struct, gc=False):
    """``{"arg":{"channel":"trades-all","instId":"BTC-USDT"},"data":[..]}``, of books with ``action``.

    Or it is an ``event``: ``{"event":"subscribe","arg":{..}}``, ``{"event":"error","code":"60012",..}``.
    """

    arg: Arg | None = None
    data: msgspec.Raw = msgspec.Raw(b"")
    action: Literal["snapshot", "update"] | None = None
    event: str = ""
    id: str = ""
    code: str = ""
    msg: str = ""


_READ_PUSHED: Final = msgspec.json.Decoder(list[Pushed])
_READ_CANDLES: Final = msgspec.json.Decoder(list[list[Candle]], strict=False)
_READ_TRADES: Final = msgspec.json.Decoder(list[list[Trade]], strict=False)
_READ_BOOKS: Final = msgspec.json.Decoder(list[list[BookPushed]], strict=False)


def _arg(topic: Topic) -> Arg:
    if topic.data_type is DataType.ORDERBOOK:
        return Arg("books", topic.market)
    return Arg(f"candle{BARS[topic.bar]}" if topic.bar else "trades-all", topic.market)


def name(topic: Topic) -> str:
    return _arg(topic).name


def url(topic: Topic) -> str:
    where = "public" if topic.data_type is DataType.ORDERBOOK else "business"
    return f"wss://ws.okx.com:8443/ws/v5/{where}"


def _message(op: str, topics: Sequence[Topic], number: int) -> bytes:
    return msgspec.json.encode({"id": str(number), "op": op, "args": [_arg(topic) for topic in topics]})


def hear(frames: Sequence[bytes], received: Sequence[Ns], _: object) -> Heard:
    heard, books = Heard(), Came[Pushed]()
    told = {DataType.TRADES: Came[msgspec.Raw](), DataType.OHLC: Came[msgspec.Raw]()}
    spoken = [(frame, came) for frame, came in zip(frames, received, strict=True) if frame != b"pong"]
    messages = read_frames(_READ_PUSHED, [frame for frame, _ in spoken])
    for message, (_, came) in zip(messages, spoken, strict=True):
        data_type = _PUSHED.get(message.arg.channel) if message.arg else None
        if message.event:
            _hear_event(message, heard)
        elif message.arg is None or data_type is None:
            raise PayloadError(f"a message of no channel of ours: {message.arg}", hint=wire.CHANGED)
        elif data_type is DataType.ORDERBOOK:
            books.add(message.arg.name, came, message)
        else:
            told[data_type].add(message.arg.name, came, message.data)
    trades = rows_of(_READ_TRADES, told[DataType.TRADES])
    bars = rows_of(_READ_CANDLES, told[DataType.OHLC])
    heard.books = _book_changes(books)
    heard.trades = live_trades(trades, **trade_columns(trades.rows))
    ours = list(zip(bars.topics, bars.rows, strict=True))
    heard.bars = live_bars(
        bars,
        [row.confirm == "1" for row in bars.rows],
        ts=wire.nanos([row.ts for row in bars.rows]),
        volume=[row.volCcy if topic.endswith("-SWAP") else row.vol for topic, row in ours],
        quote_volume=[row.volCcyQuote for row in bars.rows],
    )
    times = [row.ts * MILLISECOND for row in trades.rows]
    times += [_begun(topic, row) for topic, row in ours]
    times += [change.at for change in heard.books if change.at is not None]
    heard.at = Ns(max(times)) if times else None
    return heard


def _begun(topic: str, bar: Candle) -> int:
    """Return the latest moment that a bar shows to have come: its end only if it is closed."""
    lasted = _PUSHED_BARS[topic.partition(":")[0]] if bar.confirm == "1" else 0
    return bar.ts * MILLISECOND + lasted


def _book_changes(told: Came[Pushed]) -> list[BookChange]:
    books = read_frames(_READ_BOOKS, [message.data for message in told.rows])
    if any(message.action is None for message in told.rows):
        raise PayloadError("a book that is neither a snapshot nor an update", hint=wire.CHANGED)
    return [
        BookChange(
            topic,
            Ns(book.ts * MILLISECOND),
            pairs(book.bids),
            pairs(book.asks),
            whole=message.action == "snapshot",
            last=book.seqId,
            previous=None if message.action == "snapshot" else book.prevSeqId,
        )
        for topic, message, found in zip(told.topics, told.rows, books, strict=True)
        for book in found
    ]


def _hear_event(message: Pushed, heard: Heard) -> None:
    said = f"{message.code} {message.msg}"
    topic = message.arg.name if message.arg else None
    match message.event:
        case "subscribe" if topic:
            heard.acks.append(Ack(topic))
        case "unsubscribe" | "channel-conn-count":
            pass
        case "error" if message.code in _ELSEWHERE:
            heard.restart = f"OKX serves this connection no further: {said}"
        case "error":
            number = int(message.id) if message.id.isdecimal() else None
            heard.acks.append(Ack(topic, number, said))
        case "notice" if message.code == _GOING_DOWN:
            heard.restart = f"OKX is about to close this connection: {said}"
        case "channel-conn-count-error":
            # It took back what it had agreed to, and does not say of which topic.
            heard.restart = "OKX gave a subscription up: too many connections have one of its kind"
        case _:
            raise PayloadError(f"an unheard-of event: {message.event} {said}", hint=wire.CHANGED)


_CHANNELS: Final = {
    DataType.OHLC: Channel(
        docs=f"{DOCS}#order-book-trading-market-data-ws-candlesticks-channel", spans=tuple(BARS)
    ),
    DataType.TRADES: Channel(docs=f"{DOCS}#order-book-trading-market-data-ws-all-trades-channel"),
    DataType.ORDERBOOK: Channel(
        docs=f"{DOCS}#order-book-trading-market-data-ws-order-book-channel", depths=(400,)
    ),
}

LIVE = Live(
    url=url,
    name=name,
    subscribe=partial(_message, "subscribe"),
    unsubscribe=lambda topics, number, _: _message("unsubscribe", topics, number),
    hear=isolating(hear),
    connects=Limit(3, SECOND),
    channels=_CHANNELS,
    special={
        (kind, data_type): replace(_CHANNELS[data_type], contracts=True)
        for kind in ("linear", "inverse")
        for data_type in (DataType.TRADES, DataType.ORDERBOOK)
    },
    most=25,
    ping=lambda _: b"ping",
    silence=Ns(50 * SECOND),
)
