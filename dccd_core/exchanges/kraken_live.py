"""Kraken's WebSocket, v2.

Docs: https://docs.kraken.com/api/docs/websocket-v2/trade

Quirks:
- It has names of its own, ``BTC/USD`` for XBTUSD, which only symbol discovery knows (``wsname``).
- A subscription may name several symbols of one channel, but a refusal names only the symbol: one topic per
  message, so that the message's number says whose answer it is.
- Numbers of a book are JSON numbers. The checksum wants them with all decimals of the pair, so they stay
  text, and what zeros are missing are put back. Levels pushed out of the depth are not told.
- ``type`` stands beside ``data``. A book's snapshot may tell no time.
- Bars are told when something trades, without a word that one is over and without quiet ones, which REST
  has: flat at the last price. ``timestamp`` is where a bar ENDS.
- A topic of bars begins with those of the last minutes, oldest first as far as it was seen, without the quiet
  ones among them. They may have ended long ago.
- Ids of trades are consecutive per market, here and in REST. UNSURE: whether they are the same ids (all that
  is known says so). The official examples tell the time of a trade in microseconds, REST in tenths of one.
- No message says of a topic that nothing happened: what is silent has to be asked for by REST.
- Heartbeats tell no time, so pings ask for it. While trading is down for maintenance nothing is told.
- Of a message that is not understood its symbol can mostly be read.
- A topic that is subscribed already is refused with these words: it is taken for agreed. What cannot be left
  was left before, or goes on.
- UNSURE: how many messages of ours a second are too many. Ten are sent at most.
"""

import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Annotated, Final, Literal, TypeAlias, TypeVar

import msgspec

from dccd_core.adapter import wire
from dccd_core.adapter.contract import Limit
from dccd_core.adapter.frames import (
    TaggedRows,
    isolating,
    live_bars,
    live_trades,
    read_frames,
    says_full,
)
from dccd_core.adapter.live import (
    Ack,
    BookChange,
    Channel,
    DecodedBatch,
    Pairs,
    Precision,
    Topic,
    WebSocketApi,
)
from dccd_core.adapter.scraps import is_whole, texts_at
from dccd_core.domain.errors import PayloadError
from dccd_core.domain.timespan import MINUTE, SECOND, Us
from dccd_core.exchanges.kraken import SPANS
from dccd_core.tables import DataType

T = TypeVar("T")

_DOCS: Final = "https://docs.kraken.com/api/docs/websocket-v2"
_CHANNELS: Final = {DataType.TRADES: "trade", DataType.OHLC: "ohlc", DataType.ORDERBOOK: "book"}
_TYPES: Final = ("snapshot", "update")
_INTERVAL: Final = re.compile(rb'"interval"\s*:\s*(\d+)\s*[,}]')
_STANDS: Final = re.compile("already subscribed", re.IGNORECASE)
_DOWN: Final = ("maintenance", "offline")
_INTERVALS: Final = tuple(span // MINUTE for span in SPANS)
_PLAIN: Final = re.compile(r"(?:[0-9]+(?:\.[0-9]+)? )*")
"""Numbers as the checksum wants them: without exponents."""
_LEVELS: Final = 10
"""The checksum is of so many."""


class TradePushed(msgspec.Struct, gc=False):
    """``{"symbol":"BTC/USD","side":"buy","price":105944.20,"qty":0.00027625,"trade_id":10218208,..}``."""

    symbol: str
    side: Literal["buy", "sell"]
    price: float
    qty: float
    trade_id: wire.Whole
    timestamp: str


class CandlePushed(msgspec.Struct, gc=False):
    """``{"symbol":"BTC/USD","open":..,"trades":12,"interval_begin":"2023-10-04T16:25:00.000000000Z",..}``."""

    symbol: str
    open: float
    high: float
    low: float
    close: float
    vwap: float
    volume: float
    trades: wire.Whole
    interval: Annotated[int, msgspec.Meta(ge=1, le=21_600)]
    interval_begin: str


class LevelPushed(msgspec.Struct, gc=False):
    """``{"price":105944.20,"qty":0.136}``."""

    price: msgspec.Raw
    qty: msgspec.Raw


class BookPushed(msgspec.Struct, gc=False):
    symbol: str
    bids: list[LevelPushed]
    asks: list[LevelPushed]
    checksum: wire.Whole
    timestamp: str | None = None


class Status(msgspec.Struct, gc=False):
    system: str


class Subscribed(msgspec.Struct, gc=False):
    channel: str = ""
    symbol: str = ""
    interval: int | None = None


class Pushed(msgspec.Struct, gc=False):
    """``{"channel":"trade","type":"update","data":[..]}``, or an answer.

    Such as ``{"method":"subscribe","req_id":1,"result":{..},"success":true,"time_in":"..","time_out":".."}``.
    """

    channel: str = ""
    type: str = ""
    data: msgspec.Raw = msgspec.Raw(b"[]")
    method: str = ""
    req_id: int | None = None
    result: Subscribed | None = None
    success: bool = False
    error: str | None = None
    time_out: str | None = None


Messages: TypeAlias = Sequence[tuple[Pushed, Us]]
"""Messages and when they came."""
_READ_PUSHED: Final = msgspec.json.Decoder(list[Pushed])
_READ_TRADES_PUSHED: Final = msgspec.json.Decoder(list[list[TradePushed]])
_READ_CANDLES_PUSHED: Final = msgspec.json.Decoder(list[list[CandlePushed]])
_READ_BOOKS_PUSHED: Final = msgspec.json.Decoder(list[list[BookPushed]])
_READ_STATUS: Final = msgspec.json.Decoder(list[list[Status]])


def _name(channel: str, symbol: str, interval: int | None = None) -> str:
    return f"{channel}@{symbol}" if interval is None else f"{channel}-{interval}@{symbol}"


def _symbol(topic: Topic) -> str:
    """Return the WebSocket's name of a market; where none was told, that of REST, which it refuses."""
    return topic.live_name or topic.market


def name(topic: Topic) -> str:
    interval = None if topic.bar is None else topic.bar // MINUTE
    return _name(_CHANNELS[topic.data_type], _symbol(topic), interval)


def _message(method: str, topics: Sequence[Topic], number: int) -> bytes:
    [topic] = topics
    params: dict[str, object] = {"channel": _CHANNELS[topic.data_type], "symbol": [_symbol(topic)]}
    if topic.data_type is DataType.ORDERBOOK:
        params["depth"] = topic.depth
    if topic.bar is not None:
        params["interval"] = topic.bar // MINUTE
    if method == "subscribe":
        params["snapshot"] = topic.data_type is not DataType.TRADES
    return msgspec.json.encode({"method": method, "params": params, "req_id": number})


def decode(frames: Sequence[bytes], received: Sequence[Us], _: object) -> DecodedBatch:
    decoded, answered = DecodedBatch(), list[str | None]()
    told: dict[str, list[tuple[Pushed, Us]]] = {channel: [] for channel in _CHANNELS.values()}
    for message, came in zip(read_frames(_READ_PUSHED, frames), received, strict=True):
        if message.channel in told and message.type in _TYPES:
            told[message.channel].append((message, came))
        else:
            _decode_other(message, decoded)
            answered.append(message.time_out)
    _decode_trades_and_books(told, answered, decoded)
    _decode_bars(told["ohlc"], decoded)
    return decoded


def _decode_other(message: Pushed, decoded: DecodedBatch) -> None:
    match message.channel or message.method:
        case "heartbeat" | "pong":
            pass
        case "status":
            [told] = read_frames(_READ_STATUS, [bytes(message.data)])
            if down := next((status.system for status in told if status.system in _DOWN), None):
                decoded.restart = f"Kraken's engine is down: {down}"
        case "subscribe" | "error":
            decoded.acks.append(_ack(message))
        case "unsubscribe":
            pass  # what could not be ended was over, or goes on: both are heard
        case other:
            raise PayloadError(f"unexpected message of {other!r}", hint=wire.CHANGED)


def _ack(message: Pushed) -> Ack:
    """Read an answer: a refusal does not name the channel, so the message's number says what it is about."""
    if message.success and (told := message.result) is not None:
        return Ack(_name(told.channel, told.symbol, told.interval))
    error = message.error or "refused without a word"
    if message.success or _STANDS.search(error):
        return Ack(id=message.req_id)
    return Ack(id=message.req_id, error=error, full=says_full(error))


def _rows_of(
    decoder: msgspec.json.Decoder[list[list[T]]], messages: Messages
) -> Iterator[tuple[Pushed, Us, T]]:
    data = read_frames(decoder, [bytes(message.data) for message, _ in messages])
    return (
        (message, came, row) for (message, came), rows in zip(messages, data, strict=True) for row in rows
    )


def _decode_trades_and_books(
    told: Mapping[str, Messages], answered: Sequence[str | None], decoded: DecodedBatch
) -> None:
    trades = TaggedRows[TradePushed]()
    for _, came, row in _rows_of(_READ_TRADES_PUSHED, told["trade"]):
        trades.add(_name("trade", row.symbol), came, row)
    books = [(message, row) for message, _, row in _rows_of(_READ_BOOKS_PUSHED, told["book"])]
    texts = [row.timestamp for row in trades.rows], [row.timestamp for _, row in books]
    times = wire.iso_micros([*texts[0], *texts[1], *answered])
    decoded.trades = live_trades(
        trades,
        ts=times.head(len(trades.rows)),
        price=[row.price for row in trades.rows],
        amount=[row.qty for row in trades.rows],
        side=[row.side for row in trades.rows],
        trade_id=[row.trade_id for row in trades.rows],
    )
    moments: list[Us | None] = times.to_physical().to_list()
    decoded.at = max((at for at in moments if at is not None), default=None)
    for (message, row), at in zip(books, moments[len(trades.rows) :], strict=False):
        topic, bids, asks = _name("book", row.symbol), _levels(row.bids), _levels(row.asks)
        whole = message.type == "snapshot"
        decoded.books.append(BookChange(topic, at, bids, asks, whole=whole, checksum=row.checksum))


def _levels(levels: Sequence[LevelPushed]) -> list[tuple[str, str]]:
    told = [(str(level.price, "utf8", "replace"), str(level.qty, "utf8", "replace")) for level in levels]
    text = "".join(f"{price} {amount} " for price, amount in told)
    if not _PLAIN.fullmatch(text):
        raise PayloadError(f"unexpected message: {text[:40]!r}.. are no levels", hint=wire.CHANGED)
    return told


def _decode_bars(messages: Messages, decoded: DecodedBatch) -> None:
    """Keep rows as they came; those that a topic begins with oldest first, whatever their order there."""
    bars, opens = TaggedRows[CandlePushed](), list[Us]()
    rows = list(_rows_of(_READ_CANDLES_PUSHED, messages))
    times: list[Us] = wire.iso_micros([row.interval_begin for *_, row in rows]).to_physical().to_list()
    for _, group in groupby(zip(times, rows, strict=True), key=lambda one: id(one[1][0])):
        for opened, (_, came, row) in sorted(group, key=itemgetter(0)):
            bars.add(_name("ohlc", row.symbol, row.interval), came, row)
            opens.append(opened)
    decoded.bars = live_bars(
        bars,
        [None] * len(opens),
        ts=wire.micros(opens, Us(1)),
        volume=[row.volume for row in bars.rows],
        quote_volume=[row.vwap * row.volume for row in bars.rows],
        trades=[row.trades for row in bars.rows],
    )


def checksum(bids: Pairs, asks: Pairs, precision: Precision | None) -> int:
    """Return the checksum of the best levels; without a ``precision`` numbers are taken as they are."""
    decimals = (precision.price, precision.amount) if precision else (0, 0)
    numbers = (pair for side in (asks, bids) for level in side for pair in zip(level, decimals, strict=True))
    return zlib.crc32("".join(_digits(text, shown) for text, shown in numbers).encode())


def _digits(text: str, decimals: int) -> str:
    whole, _, fraction = text.partition(".")
    return (whole + fraction.ljust(decimals, "0")).lstrip("0")


def topics_in(frame: bytes, _: object) -> tuple[str, ...]:
    """Name the topics of a message that is not understood: all of its symbol if its channel is unheard of."""
    channels, symbols = texts_at("channel", frame), texts_at("symbol", frame)
    words = (*channels, *texts_at("method", frame))
    known = [channel for channel in channels if channel in _CHANNELS.values()]
    if not symbols:
        return words if words and not known and is_whole(frame) else ()  # of none that we know
    told = [int(text) for text in _INTERVAL.findall(frame)]
    intervals = told if told and {*told} <= {*_INTERVALS} else _INTERVALS
    names = [
        _name(channel, symbol, interval)
        for channel in (known if known and len(known) == len(channels) else _CHANNELS.values())
        for symbol in symbols
        for interval in (intervals if channel == "ohlc" else (None,))
    ]
    return tuple(dict.fromkeys(names))


LIVE = WebSocketApi(
    url=lambda _: "wss://ws.kraken.com/v2",
    name=name,
    subscribe=partial(_message, "subscribe"),
    unsubscribe=lambda topics, number, _: _message("unsubscribe", topics, number),
    decode=isolating(decode),
    topics_in=topics_in,
    connects=Limit(120, Us(10 * MINUTE)),
    channels={
        DataType.TRADES: Channel(docs=f"{_DOCS}/trade", consecutive=True, named=True),
        DataType.OHLC: Channel(docs=f"{_DOCS}/ohlc", spans=SPANS, fills_quiet=True, named=True),
        DataType.ORDERBOOK: Channel(
            docs=f"{_DOCS}/book",
            depths=(10, 25, 100, 500, 1_000),
            checksum=checksum,
            checked=_LEVELS,
            cuts=True,
            rest_decimals=3,
            named=True,
        ),
    },
    batch=1,
    pace=Us(SECOND // 10),
    ping=lambda number: msgspec.json.encode({"method": "ping", "req_id": number}),
    ping_every=Us(10 * SECOND),
    silence=Us(30 * SECOND),
)
