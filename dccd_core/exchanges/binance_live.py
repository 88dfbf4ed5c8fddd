"""Binance's WebSocket, of spot and of the perpetuals of USD-M futures.

Docs: https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams
Docs: https://developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams

Quirks:
- Messages come wrapped with the name of their stream, which is in lower case; what they hold says its kind.
  Answers come unwrapped. A NAME THAT NOBODY KNOWS IS AGREED TO, and stays silent.
- USD-M has one address for books and another for all else: a connection serves one of them only.
- ``aggTrade`` has the ids of history, which follow one another on either server. Only spot has ``1s`` bars.
- A bar is told again and again as it grows; ``x`` says that it is final. UNSURE: whether a bar in which
  nothing was traded is ever told to be final. Those that are not told are asked for: history has them, but
  has none of an outage, so they cannot be made up here.
- A book is pushed as changes only, and begins with what REST says. On spot ``U`` is the ``u`` of the message
  before plus one; on USD-M numbers have holes, and ``pu`` is the ``u`` of the message before.
- Five messages of ours a second, pongs included; the server pings every 20 s (spot) or 3 min (USD-M).
  Nothing else comes while nothing is traded, so the list of subscriptions is asked for as a sign of life.
- After 24 hours every connection is cut; ``serverShutdown`` says that it will be soon.
- UNSURE: whether USD-M still allows 1,024 streams a connection (clients take 200). Error 4, "Too many
  subscriptions", was seen where there were more than a connection takes.
- Streams that begin with ``!`` are of no market; of a new kind of these we asked for nothing.
"""

import re
from collections.abc import Sequence
from functools import partial
from itertools import compress
from typing import Final, TypeVar, cast

import msgspec

from dccd_core.adapter import wire
from dccd_core.adapter.contract import Limit, Query, Request
from dccd_core.adapter.frames import TaggedRows, isolating, live_bars, live_trades, read_frames, says_full
from dccd_core.adapter.live import Ack, BookChange, BookStart, Channel, DecodedBatch, Topic, WebSocketApi
from dccd_core.adapter.scraps import is_whole, texts_at
from dccd_core.domain.barspan import format_bar_span
from dccd_core.domain.errors import PayloadError
from dccd_core.domain.timespan import DAY, MILLISECOND, MINUTE, SECOND, TimeRange, Us
from dccd_core.exchanges.binance import READ_DEPTH, SPANS, depth_request
from dccd_core.tables import DataType

T = TypeVar("T")

_DOCS: Final = "https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams"
_USDM_DOCS: Final = (
    "https://developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams"
)
_BOOK_START: Final = 1_000
"""Levels a side to begin a book with; 5,000 would be five times as dear."""
_BOOK_CHECK: Final = 100
"""Levels a side to hold it against: a tenth of the price."""
_STREAM: Final = re.compile(r"[^@\s]+@(?:aggTrade|kline_\w+|depth@100ms)")
_TOO_MANY: Final = 4


class AggTradePushed(msgspec.Struct, gc=False, tag_field="e", tag="aggTrade"):
    """``{"e":"aggTrade","E":..,"s":"BNBBTC","a":12345,"p":"0.001","q":"100","f":1,"l":2,"T":..,"m":true}``."""

    a: wire.Whole
    p: str
    q: str
    T: wire.Millis
    m: bool
    E: wire.Millis | None = None


class Candle(msgspec.Struct, gc=False, rename={"open": "o", "high": "h", "low": "l", "close": "c"}):
    """What a ``kline`` message says of its bar; ``x``: it is closed."""

    t: wire.Millis
    open: str
    high: str
    low: str
    close: str
    v: str
    q: str
    n: wire.Whole
    x: bool


class KlinePushed(msgspec.Struct, gc=False, tag_field="e", tag="kline"):
    k: Candle
    E: wire.Millis | None = None


class DepthPushed(msgspec.Struct, gc=False, tag_field="e", tag="depthUpdate"):
    """``{"e":"depthUpdate","E":..,"s":"NKNUSDT","U":499869750,"u":499869752,"b":[["0.35","6195.0"]],"a":[]}``.

    Futures alone have ``pu``, the ``u`` of the message before, and ``T``, the engine's time.
    """

    U: wire.Whole
    u: wire.Whole
    b: list[tuple[str, str]]
    a: list[tuple[str, str]]
    pu: wire.Whole | None = None
    T: wire.Millis | None = None
    E: wire.Millis | None = None


class Shutdown(msgspec.Struct, gc=False, tag_field="e", tag="serverShutdown"):
    """``{"e":"serverShutdown","E":1770123456789}``."""


class Refusal(msgspec.Struct, gc=False):
    code: int | str | None = None
    msg: str | None = None


class Pushed(msgspec.Struct, gc=False):
    """``{"stream":"btcusdt@aggTrade","data":{..}}``, or an answer: ``{"result":null,"id":1}``, or an error.

    An error is ``{"code":2,"msg":".."}``, or has these inside of ``error``.
    """

    stream: str = ""
    data: AggTradePushed | KlinePushed | DepthPushed | Shutdown | None = None
    id: int | None = None
    code: int | str | None = None
    msg: str | None = None
    error: Refusal | None = None


class Named(msgspec.Struct, gc=False):
    stream: str


_READ_PUSHED: Final = msgspec.json.Decoder(list[Pushed])
_READ_NAMED: Final = msgspec.json.Decoder(Named)


def name(topic: Topic) -> str:
    what = {
        DataType.TRADES: "aggTrade",
        DataType.OHLC: f"kline_{format_bar_span(topic.bar)}" if topic.bar else "",
        DataType.ORDERBOOK: "depth@100ms",
    }
    return f"{topic.market.lower()}@{what[topic.data_type]}"


def url(topic: Topic) -> str:
    if topic.market_type == "spot":
        return "wss://stream.binance.com:9443/stream"
    category = "public" if topic.data_type is DataType.ORDERBOOK else "market"
    return f"wss://fstream.binance.com/{category}/stream"


def _message(method: str, topics: Sequence[Topic], number: int) -> bytes:
    return msgspec.json.encode({"method": method, "params": [name(topic) for topic in topics], "id": number})


def decode(frames: Sequence[bytes], received: Sequence[Us], _: object) -> DecodedBatch:
    try:
        messages = read_frames(_READ_PUSHED, frames)
    except PayloadError:
        if len(frames) == 1 and _of_no_market(frames[0]):
            return DecodedBatch()
        raise
    return _decoded(messages, received)


def _of_no_market(frame: bytes) -> bool:
    """Whether a message that is not understood says something of all markets, which nobody asked for."""
    named = wire.read_error(_READ_NAMED, frame)
    return named is not None and named.stream.startswith("!")


def _decoded(messages: Sequence[Pushed], received: Sequence[Us]) -> DecodedBatch:
    trades, pushed = _of(AggTradePushed, messages, received), _of(KlinePushed, messages, received)
    decoded, times = DecodedBatch(), [row.E for row in (*trades.rows, *pushed.rows)]
    if len(times) < len(messages):
        times += _take_others(messages, decoded)
    newest = max((at for at in times if at is not None), default=0)
    decoded.at = Us(newest * MILLISECOND) if newest else None
    decoded.trades = live_trades(
        trades,
        ts=wire.micros([row.T for row in trades.rows]),
        price=[row.p for row in trades.rows],
        amount=[row.q for row in trades.rows],
        side=["sell" if row.m else "buy" for row in trades.rows],
        trade_id=[row.a for row in trades.rows],
    )
    bars = TaggedRows(pushed.topics, pushed.times, [row.k for row in pushed.rows])
    decoded.bars = live_bars(
        bars,
        [row.x for row in bars.rows],
        ts=wire.micros([row.t for row in bars.rows]),
        volume=[row.v for row in bars.rows],
        quote_volume=[row.q for row in bars.rows],
        trades=[row.n for row in bars.rows],
    )
    return decoded


def _of(kind: type[T], messages: Sequence[Pushed], received: Sequence[Us]) -> TaggedRows[T]:
    """Return what is of one kind: a step for each message costs most of what decoding does."""
    which = [message.data.__class__ is kind for message in messages]
    data = [message.data for message in compress(messages, which)]
    topics = [message.stream for message in compress(messages, which)]
    if not all(topics):
        raise _nameless()
    return TaggedRows(topics, list(compress(received, which)), cast("list[T]", data))


def _take_others(messages: Sequence[Pushed], decoded: DecodedBatch) -> list[int | None]:
    """Take what are neither trades nor bars; return the times that they tell."""
    times = list[int | None]()
    for message in messages:
        match message.data:
            case DepthPushed(E=at) as depth:
                if not message.stream:
                    raise _nameless()
                decoded.books.append(_book_change(message.stream, depth))
                times.append(at)
            case Shutdown():
                decoded.restart = "Binance is about to shut this server down"
            case None:
                decoded.acks.append(_ack(message))
            case _:
                pass
    return times


def _nameless() -> PayloadError:
    return PayloadError("data of no stream", hint=wire.CHANGED)


def _book_change(stream: str, depth: DepthPushed) -> BookChange:
    millis = depth.E if depth.T is None else depth.T
    at = None if millis is None else Us(millis * MILLISECOND)
    return BookChange(stream, at, depth.b, depth.a, first=depth.U, last=depth.u, previous=depth.pu)


def _ack(message: Pushed) -> Ack:
    """Read an answer; one without an error agrees, even to names that nobody knows."""
    if message.stream or (message.id is None and message.code is None and message.error is None):
        raise PayloadError("neither data nor an answer", hint=wire.CHANGED)
    error = message.error or (Refusal(message.code, message.msg) if message.code is not None else None)
    if error is None:
        return Ack(id=message.id)
    said = f"{error.code} {error.msg}"
    return Ack(id=message.id, error=said, full=error.code == _TOO_MANY or says_full(said))


def topics_in(frame: bytes, _: object) -> tuple[str, ...]:
    """Name the streams that a message is of which could not be understood."""
    told = dict.fromkeys(texts_at("stream", frame))
    ours = tuple(filter(_STREAM.fullmatch, told))
    return ours or (tuple(name for name in told if "@" in name) if is_whole(frame) else ())


def book_start_request(topic: Topic, levels: int = _BOOK_START) -> Request:
    nowhen = TimeRange(Us(0), Us(0))
    return depth_request(Query(topic.market, nowhen, levels, market_type=topic.market_type))


def decode_book_start(body: bytes, topic: str) -> BookChange:
    book = wire.read(READ_DEPTH, body)
    at = None if book.T is None else Us(book.T * MILLISECOND)
    return BookChange(topic, at, book.bids, book.asks, whole=True, last=book.lastUpdateId)


LIVE = WebSocketApi(
    url=url,
    name=name,
    subscribe=partial(_message, "SUBSCRIBE"),
    unsubscribe=lambda topics, number, _: _message("UNSUBSCRIBE", topics, number),
    decode=isolating(decode),
    topics_in=topics_in,
    connects=Limit(300, Us(5 * MINUTE)),
    channels={
        DataType.TRADES: Channel(docs=f"{_DOCS}#aggregate-trade-streams", consecutive=True),
        DataType.OHLC: Channel(docs=f"{_DOCS}#klinecandlestick-streams-for-utc", spans=SPANS["spot"]),
        DataType.ORDERBOOK: Channel(
            docs=f"{_DOCS}#diff-depth-stream",
            start=BookStart(book_start_request, decode_book_start, _BOOK_START),
            check=BookStart(partial(book_start_request, levels=_BOOK_CHECK), decode_book_start, _BOOK_CHECK),
        ),
    },
    special={
        ("linear", DataType.OHLC): Channel(
            docs=f"{_USDM_DOCS}/Kline-Candlestick-Streams", spans=SPANS["linear"]
        )
    },
    # Five messages of ours a second, pongs included.
    pace=Us(SECOND // 4),
    ping=lambda number: _message("LIST_SUBSCRIPTIONS", (), number),
    ping_every=Us(30 * SECOND),
    silence=Us(75 * SECOND),
    lifetime=DAY,
)
