"""Coinbase Exchange's WebSocket: trades and order books; bars are built from the trades.

Docs: https://docs.cdp.coinbase.com/exchange/websocket-feed/channels

Quirks:
- A connection on which nothing is subscribed to within 5 seconds is closed.
- Every change of subscriptions is answered with the list of all there are. Books are subscribed to as
  ``level2_batch``, without a key, and listed as ``level2_50``. A product that is refused is named in the
  text of an error, nowhere else; the error may come once per channel, the other products are subscribed.
- ``last_match`` is the last trade before the subscription, however old: a trade, but not the time of day.
- ``side`` of a trade is the MAKER's, as in history; the sides of a book's changes are those of the orders.
- A book comes whole, then in changes of 50 ms: no number, no checksum, so nothing proves that none is
  missing. The snapshot of a busy product has megabytes and tells no time (``time`` is taken if it is there).
- A level is gone when its amount is a zero, in any spelling: ``0``, ``0.0``, ``0.00000000``.
- Delivery is not promised. Ids of trades are consecutive, and the heartbeat knows the last one, so a trade
  that never came shows. Some come a little later than the heartbeat that knows them.
- The heartbeat of a product comes each second; it is subscribed to with whatever is wanted of a product,
  for its time and as a word of its trades, of which it speaks, and never given up again.
- There is no ping of ours, and no known end of a connection's life.
- UNSURE, so handled either way: whether an error fails the other products of its message too, whether a
  snapshot of the book comes again for who subscribes again without having left.
- UNSURE: the texts of errors. One that does not speak of a subscription ends the connection; one that speaks
  of leaving something is passed over: what was left already is what was wanted.
- A product's ``l2update`` may have the time of year 1, its levels amounts like ``0.-10000``: such a message
  says nothing that can be believed, and names its product.
- UNSURE: whether ``last_trade_id`` is always told; a 0, as there once was, promises nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final, Literal

import msgspec

from dccd_core.adapter import wire
from dccd_core.adapter.contract import Limit
from dccd_core.adapter.frames import TaggedRows, isolating, live_trades, read_frames, says_full
from dccd_core.adapter.live import Ack, BookChange, Channel, DecodedBatch, Topic, WebSocketApi, Word
from dccd_core.adapter.scraps import is_whole, texts_at
from dccd_core.domain.timespan import SECOND, Us
from dccd_core.exchanges.coinbase import EXCHANGE, Trade, trade_columns
from dccd_core.tables import DataType

_DOCS: Final = "https://docs.cdp.coinbase.com/exchange/websocket-feed/channels"
_MATCHES: Final = "matches"
_BOOK: Final = "level2_batch"
_HEARTBEAT: Final = "heartbeat"
_LISTED_AS: Final[Mapping[str, str]] = {"level2_50": _BOOK}
_ROWS_OF: Final[Mapping[str, str]] = {
    "match": _MATCHES,
    "last_match": _MATCHES,
    "heartbeat": _MATCHES,
    "snapshot": _BOOK,
    "l2update": _BOOK,
}
"""The channel that messages of a type are of, or speak of."""


class MatchPushed(Trade, tag_field="type", tag="match", gc=False):
    """``{"type":"match","trade_id":9,"side":"sell","size":"1","price":"2","product_id":"BTC-USD","time":..}``."""

    product_id: str


class LastMatchPushed(MatchPushed, tag_field="type", tag="last_match", gc=False):
    pass


class SnapshotPushed(msgspec.Struct, tag_field="type", tag="snapshot", gc=False):
    """``{"type":"snapshot","product_id":"BTC-USD","bids":[["10101.10","0.45"]],"asks":[..]}``."""

    product_id: str
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]
    time: str | None = None


class UpdatePushed(msgspec.Struct, tag_field="type", tag="l2update", gc=False):
    """``{"type":"l2update","product_id":"BTC-USD","changes":[["buy","10101.8","0.16"]],"time":..}``."""

    product_id: str
    changes: list[tuple[Literal["buy", "sell"], str, str]]
    time: str


class HeartbeatPushed(msgspec.Struct, tag_field="type", tag="heartbeat", gc=False):
    """``{"type":"heartbeat","sequence":90,"last_trade_id":20,"product_id":"BTC-USD","time":..}``."""

    product_id: str
    time: str
    last_trade_id: wire.Whole | None = None


class Listed(msgspec.Struct, gc=False):
    name: str
    product_ids: list[str] | None = None


class SubscriptionsPushed(msgspec.Struct, tag_field="type", tag="subscriptions", gc=False):
    """``{"type":"subscriptions","channels":[{"name":"matches","product_ids":["BTC-USD"]}]}``."""

    channels: list[Listed]


class ErrorPushed(msgspec.Struct, tag_field="type", tag="error", gc=False):
    """``{"type":"error","message":"Failed to subscribe","reason":"A-B is not a valid product"}``."""

    message: str
    reason: str = ""


Pushed = (
    MatchPushed
    | LastMatchPushed
    | SnapshotPushed
    | UpdatePushed
    | HeartbeatPushed
    | SubscriptionsPushed
    | ErrorPushed
)
_READ_PUSHED: Final = msgspec.json.Decoder(list[Pushed])


def name(topic: Topic) -> str:
    return f"{_BOOK if topic.data_type is DataType.ORDERBOOK else _MATCHES}:{topic.market}"


def _channels(topics: Sequence[Topic]) -> list[dict[str, object]]:
    products: dict[str, list[str]] = {}
    for topic in topics:
        channel, _, product = name(topic).partition(":")
        products.setdefault(channel, []).append(product)
    return [{"name": channel, "product_ids": own} for channel, own in products.items()]


def subscribe(topics: Sequence[Topic], _: int) -> bytes:
    beats = {"name": _HEARTBEAT, "product_ids": list(dict.fromkeys(topic.market for topic in topics))}
    return msgspec.json.encode({"type": "subscribe", "channels": [*_channels(topics), beats]})


def unsubscribe(topics: Sequence[Topic], _: int, __: object) -> bytes:
    return msgspec.json.encode({"type": "unsubscribe", "channels": _channels(topics)})


def decode(frames: Sequence[bytes], received: Sequence[Us], _: object) -> DecodedBatch:
    trades, books, beats = (
        TaggedRows[MatchPushed](),
        list[SnapshotPushed | UpdatePushed](),
        list[HeartbeatPushed](),
    )
    decoded = DecodedBatch()
    for message, came in zip(read_frames(_READ_PUSHED, frames), received, strict=True):
        match message:
            case MatchPushed():
                trades.add(f"{_MATCHES}:{message.product_id}", came, message)
            case SnapshotPushed() | UpdatePushed():
                books.append(message)
            case HeartbeatPushed():
                beats.append(message)
            case SubscriptionsPushed():
                decoded.acks += _acks(message)
            case ErrorPushed():
                _decode_error(message, decoded)
    decoded.trades = live_trades(trades, **trade_columns(trades.rows))
    news = [row.time for row in trades.rows if not isinstance(row, LastMatchPushed)]
    texts = [*(book.time for book in books), *(beat.time for beat in beats), *news]
    told: list[Us | None] = wire.iso_micros(texts).to_physical().to_list()
    decoded.books = [_book_change(book, at) for book, at in zip(books, told, strict=False)]
    decoded.at = max((at for at in told if at is not None), default=None)
    decoded.words = [
        Word(f"{_MATCHES}:{beat.product_id}", at, beat.last_trade_id or None)
        for beat, at in zip(beats, told[len(books) :], strict=False)
        if at is not None
    ]
    return decoded


def _acks(message: SubscriptionsPushed) -> Iterator[Ack]:
    for listed in message.channels:
        channel = _LISTED_AS.get(listed.name, listed.name)
        if channel != _HEARTBEAT:
            yield from (Ack(f"{channel}:{product}") for product in listed.product_ids or ())


def _decode_error(message: ErrorPushed, decoded: DecodedBatch) -> None:
    said, what = f"{message.message}: {message.reason}", message.message.lower()
    if "subscri" not in what:
        decoded.restart = f"Coinbase says {said}"
    elif "unsubscri" not in what and (ack := Ack(error=said, full=says_full(said))) not in decoded.acks:
        decoded.acks.append(ack)


def _book_change(book: SnapshotPushed | UpdatePushed, at: Us | None) -> BookChange:
    topic = f"{_BOOK}:{book.product_id}"
    if isinstance(book, SnapshotPushed):
        return BookChange(topic, at, book.bids, book.asks, whole=True)
    bids, asks = ([row[1:] for row in book.changes if row[0] == side] for side in ("buy", "sell"))
    return BookChange(topic, at, bids, asks)


def topics_in(frame: bytes, _: object) -> tuple[str, ...]:
    """Name the topics of a message that is not understood: both of its product if its type is unheard of."""
    types, products = texts_at("type", frame), texts_at("product_id", frame)
    if not products:
        rows = not types or any(one in _ROWS_OF for one in types)
        return () if rows or not is_whole(frame) else tuple(types)  # it is of none that we know
    known = [_ROWS_OF[one] for one in types if one in _ROWS_OF]
    channels = known if known and len(known) == len(types) else (_MATCHES, _BOOK)
    return tuple(dict.fromkeys(f"{channel}:{product}" for channel in channels for product in products))


_TRADES: Final = Channel(docs=f"{_DOCS}#matches-channel", consecutive=True, beats=SECOND)
LIVE = WebSocketApi(
    url=lambda _: "wss://ws-feed.exchange.coinbase.com",
    name=name,
    subscribe=subscribe,
    unsubscribe=unsubscribe,
    decode=isolating(decode),
    topics_in=topics_in,
    connects=Limit(8, SECOND),
    channels={
        DataType.TRADES: _TRADES,
        DataType.OHLC: replace(_TRADES, spans=EXCHANGE.endpoints[DataType.OHLC].spans, from_trades=True),
        DataType.ORDERBOOK: Channel(docs=f"{_DOCS}#level2-batch-channel"),
    },
    batch=50,
    # The venue advises to spread what is subscribed to over connections, and drops who reads too slowly.
    most=100,
    # Ten messages of ours a second.
    pace=Us(SECOND // 8),
    # Heartbeats come each second.
    silence=Us(20 * SECOND),
)
