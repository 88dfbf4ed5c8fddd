"""Bybit's WebSocket, v5: spot, USDT and USDC perpetuals, inverse perpetuals.

Docs: https://bybit-exchange.github.io/docs/v5/ws/connect

Quirks:
- Every kind of market has its own address. Topics do not tell the kind, and spot has quotes that end in USD
  too, so requests are numbered with the kind, and the answer tells it. Bars that come before that wait for
  it: whether their volume counts contracts is not known yet.
- One unknown topic refuses its whole request, and spot refuses one of more than 10. A topic subscribed to
  before is refused too, but goes on. The answer to leaving is not waited for.
- UNSURE: in which words a connection says that its topics have too many characters; those that speak of a
  limit are taken for it.
- Trades: ids, sides and block trades as in history. ``type`` means nothing; one message has many, those
  of one moment may come in several; ids do not follow one another, nothing shows that one is missing.
- Bars are told while they grow; ``confirm`` says that one is final. UNSURE: whether one in which nothing was
  traded is told; if not, history is asked for it, which is not known to have it either.
- Inverse: trades and books count contracts of one USD, ``volume`` does, ``turnover`` is the base.
- Order book: a snapshot first, another one at any time. ``u`` grows by one with each message; 1 is a new
  beginning, taken as a snapshot whatever ``type`` says (UNSURE). One level comes in snapshots only, again
  with the same ``u`` after three quiet seconds. What leaves the depth is told as size 0, as one client
  measured. Depth 500 is gone. ``cts`` is the engine's time as in REST; ``ts`` stands in where it is missing.
- Keys stand in another order for spot than for contracts.
- A connection on which neither side says anything is cut after ten minutes; pings are answered.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Literal

import msgspec
import polars as pl

from dccd_core.adapter import wire
from dccd_core.adapter.contract import Limit
from dccd_core.adapter.frames import (
    TaggedRows,
    isolating,
    live_bars,
    live_trades,
    read_frames,
    rows_of,
    says_full,
)
from dccd_core.adapter.live import Ack, BookChange, Channel, DecodedBatch, Topic, WebSocketApi
from dccd_core.adapter.scraps import is_whole, texts_at
from dccd_core.domain.errors import PayloadError
from dccd_core.domain.timespan import MILLISECOND, MINUTE, Us
from dccd_core.exchanges.bybit import INTERVALS
from dccd_core.tables import DataType

_DOCS: Final = "https://bybit-exchange.github.io/docs/v5/websocket/public"
_ASKED: Final = re.compile(r"(spot|linear|inverse):(\d+)")
"""How requests are numbered: kind of market and number."""
_TOPIC: Final = re.compile(r"(?:publicTrade|kline\.\w+|orderbook\.\d+)\.[^.\s]+")
_LONG: Final = "too long"
"""What a connection says of the names of its topics, it is thought, when it takes no more."""
_MOST_EARLY: Final = 1_000
"""Bars that may wait for the answer that tells the kind of market, the newest."""
_SUBSCRIBED: Final = re.compile(r"already subscribed,\s*topic:\s*(\S+)")


class Pushed(msgspec.Struct, gc=False):
    """``{"topic":"kline.1.BTCUSDT","type":"snapshot","ts":1672324988882,"data":[..]}``, or an answer.

    That one is ``{"success":true,"ret_msg":"","conn_id":"..","req_id":"spot:1","op":"subscribe"}``.
    """

    topic: str = ""
    type: str | None = None
    ts: wire.Millis | None = None
    cts: wire.Millis | None = None
    data: msgspec.Raw = msgspec.Raw()
    success: bool | None = None
    ret_msg: str | None = None
    req_id: str | None = None
    op: str | None = None


class TradePushed(msgspec.Struct, gc=False):
    """``{"T":1672304486865,"s":"BTCUSDT","S":"Buy","v":"0.001","p":"16578.50","i":"20f4..","BT":false,..}``."""

    T: wire.Millis
    S: Literal["Buy", "Sell"]
    v: str
    p: str
    i: str


class KlinePushed(msgspec.Struct, gc=False):
    """``confirm``: it is closed."""

    start: wire.Millis
    open: str
    high: str
    low: str
    close: str
    volume: str
    turnover: str
    confirm: bool


class BookPushed(msgspec.Struct, gc=False):
    """``{"s":"BTCUSDT","b":[["30240.00","0"]],"a":[["30249.30","0.892"]],"u":177400507,"seq":66544703342}``."""

    b: list[tuple[str, str]]
    a: list[tuple[str, str]]
    u: wire.Whole


_READ_PUSHED: Final = msgspec.json.Decoder(list[Pushed])
_READ_TRADES: Final = msgspec.json.Decoder(list[list[TradePushed]])
_READ_KLINES: Final = msgspec.json.Decoder(list[list[KlinePushed]])
_READ_BOOKS: Final = msgspec.json.Decoder(list[BookPushed])


def name(topic: Topic) -> str:
    what = {
        DataType.TRADES: "publicTrade",
        DataType.OHLC: f"kline.{INTERVALS[topic.bar]}" if topic.bar else "",
        DataType.ORDERBOOK: f"orderbook.{topic.depth}",
    }
    return f"{what[topic.data_type]}.{topic.market}"


def _message(op: str, topics: Sequence[Topic], number: int) -> bytes:
    """Write a request; its answer comes with its ``req_id``."""
    asked = {
        "req_id": f"{topics[0].market_type}:{number}",
        "op": op,
        "args": [name(topic) for topic in topics],
    }
    return msgspec.json.encode(asked)


@dataclass(frozen=True, slots=True)
class Early:
    """Bars that came before the connection's kind of market was told."""

    bars: TaggedRows[KlinePushed]


def decode(frames: Sequence[bytes], received: Sequence[Us], state: object) -> DecodedBatch:
    """Take a batch; ``state`` is the connection's kind of market, before an answer has told it ``Early``."""
    told = {channel: TaggedRows[msgspec.Raw]() for channel in ("publicTrade", "kline")}
    decoded, books, newest = DecodedBatch(state=state), list[Pushed](), 0
    for message, came in zip(read_frames(_READ_PUSHED, frames), received, strict=True):
        channel = message.topic.partition(".")[0]
        if not channel:
            _answer(message, decoded)
            continue
        newest = max(newest, message.ts or 0)
        if channel == "orderbook":
            books.append(message)
        elif channel in told:
            told[channel].add(message.topic, came, message.data)
        else:
            raise PayloadError(f"a message of no channel of ours: {message.topic}", hint=wire.CHANGED)
    decoded.at = Us(newest * MILLISECOND) if newest else None
    decoded.trades = _trades(rows_of(_READ_TRADES, told["publicTrade"]))
    _decode_bars(rows_of(_READ_KLINES, told["kline"]), state, decoded)
    found = read_frames(_READ_BOOKS, [message.data for message in books])
    decoded.books = list(map(_book_change, books, found))
    return decoded


def _answer(message: Pushed, decoded: DecodedBatch) -> None:
    """Read an answer to a request of ours; an error without a number concerns all that were not answered."""
    op, said = message.op or "", message.ret_msg or ""
    if op not in ("", "subscribe"):  # pongs, answers to leaving, and what else tells of no topic
        return
    asked = _ASKED.fullmatch(message.req_id or "")
    agrees = message.success and op == "subscribe" and asked is not None
    if not agrees and message.success is not False:
        raise PayloadError("neither data nor an answer to a request", hint=wire.CHANGED)
    number = int(asked[2]) if asked else None
    if asked and not isinstance(decoded.state, str):
        decoded.state = asked[1]
    if before := _SUBSCRIBED.search(said):
        decoded.acks.append(Ack(before[1]))
    elif agrees:
        decoded.acks.append(Ack(id=number))
    else:
        why = said.partition("topic:")[0]
        full = _LONG in why or says_full(why)
        decoded.acks.append(Ack(id=number, error=said or "refused", full=full))


def _trades(tagged: TaggedRows[TradePushed]) -> pl.DataFrame | None:
    return live_trades(
        tagged,
        ts=wire.micros([row.T for row in tagged.rows]),
        price=[row.p for row in tagged.rows],
        amount=[row.v for row in tagged.rows],
        side=["buy" if row.S == "Buy" else "sell" for row in tagged.rows],
        trade_id=[row.i for row in tagged.rows],
    )


def _decode_bars(tagged: TaggedRows[KlinePushed], before: object, decoded: DecodedBatch) -> None:
    """Take bars, and those that wait in the state before; without a kind of market they all wait on."""
    if isinstance(before, Early):
        early = before.bars
        topics, times = early.topics + tagged.topics, early.times + tagged.times
        tagged = TaggedRows(topics, times, early.rows + tagged.rows)
    kind = decoded.state if isinstance(decoded.state, str) else None
    bars = _bars(tagged, kind)
    if kind is not None:
        decoded.bars = bars
    elif tagged.rows:
        newest = slice(-_MOST_EARLY, None)
        decoded.state = Early(TaggedRows(tagged.topics[newest], tagged.times[newest], tagged.rows[newest]))


def _bars(tagged: TaggedRows[KlinePushed], kind: str | None) -> pl.DataFrame | None:
    base, quote = "volume", "quote_volume"
    if kind == "inverse":
        base, quote = quote, base
    volumes = {base: [row.volume for row in tagged.rows], quote: [row.turnover for row in tagged.rows]}
    closed = [row.confirm for row in tagged.rows]
    return live_bars(tagged, closed, ts=wire.micros([row.start for row in tagged.rows]), **volumes)


def _book_change(message: Pushed, told: BookPushed) -> BookChange:
    if message.type not in ("snapshot", "delta"):
        raise PayloadError(f"a book that is neither whole nor a change: {message.type}", hint=wire.CHANGED)
    millis = message.ts if message.cts is None else message.cts
    at = None if millis is None else Us(millis * MILLISECOND)
    whole = message.type == "snapshot" or told.u == 1
    return BookChange(message.topic, at, told.b, told.a, whole, first=told.u, last=told.u)


def topics_in(frame: bytes, _: object) -> tuple[str, ...]:
    """Name the topics that a message is of which could not be understood."""
    told = dict.fromkeys(texts_at("topic", frame))
    ours = tuple(filter(_TOPIC.fullmatch, told))
    return ours or (tuple(name for name in told if "." in name) if is_whole(frame) else ())


_BOOKS: Final = Channel(docs=f"{_DOCS}/orderbook", depths=(1, 50, 200, 1_000))
LIVE = WebSocketApi(
    url=lambda topic: f"wss://stream.bybit.com/v5/public/{topic.market_type}",
    name=name,
    subscribe=partial(_message, "subscribe"),
    unsubscribe=lambda topics, number, _: _message("unsubscribe", topics, number),
    decode=isolating(decode),
    topics_in=topics_in,
    connects=Limit(500, Us(5 * MINUTE)),
    channels={
        DataType.TRADES: Channel(docs=f"{_DOCS}/trade"),
        DataType.OHLC: Channel(docs=f"{_DOCS}/kline", spans=tuple(INTERVALS)),
        DataType.ORDERBOOK: _BOOKS,
    },
    special={
        ("inverse", DataType.TRADES): Channel(docs=f"{_DOCS}/trade", contracts=True),
        ("inverse", DataType.ORDERBOOK): replace(_BOOKS, contracts=True),
    },
    batch=10,
    # A connection's topics may have 21,000 characters together: 52 each.
    most=400,
    ping=lambda _: b'{"op":"ping"}',
)
