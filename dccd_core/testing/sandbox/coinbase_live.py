"""Coinbase Exchange's WebSocket: matches, order books (``level2_batch``) and heartbeats.

Beyond what the official pages say, chosen here: a product that is not known is told once per channel, before
the list of subscriptions, and fails no other; subscribing again changes nothing. A snapshot tells no time.
Books change ten times a second and are 1,200 levels deep, as by REST; nothing is told of a moment that
changed nothing. Heartbeats come in whole seconds after their subscription, in an outage too. A connection
that says nothing for 5 seconds, or too much, is closed with 1008. The limit of 10 subscriptions per product
and channel is left out, and so are the channels ``ticker``, ``ticker_batch``, ``status`` and those for which
one needs a key.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import SECOND, TimeRange, Us
from dccd_core.exchanges.coinbase import market as own_name
from dccd_core.testing.sandbox.books import BOOK_PERIOD, Levels
from dccd_core.testing.sandbox.coinbase import NAME
from dccd_core.testing.sandbox.hashing import Ints
from dccd_core.testing.sandbox.limits import Rule, Style, meter
from dccd_core.testing.sandbox.live import (
    BOOK_BLOCK,
    Act,
    Batch,
    Close,
    Feed,
    Habits,
    Live,
    Message,
    Opening,
    Side,
    every,
    grid,
    texts,
)
from dccd_core.testing.sandbox.market import Market
from dccd_core.testing.sandbox.seen_book import SeenBook
from dccd_core.testing.sandbox.tape import Trades
from dccd_core.testing.sandbox.text import decimals, rows

_PATIENCE: Final = Us(5 * SECOND)
_DEPTH: Final = 1_200
_MESSAGES: Final = (Rule(100, SECOND), Rule(10, SECOND, Style.BUCKET, burst=1_000))
_EVENTS: Final = 5
"""How many numbers of a product's sequence a trade takes: the others belong to orders."""
_AMOUNT: Final = "%d.%08d"
_BOOKS: Final = ("level2_batch", "level2_50")
_LISTED: Final = {"matches": "matches", **dict.fromkeys(_BOOKS, "level2_50"), "heartbeat": "heartbeat"}
_KEYED: Final = ("level2", "level3", "full")
_ORDERS: Final = (
    '"maker_order_id":"6d616b65-0000-4000-8000-%012x","taker_order_id":"74616b65-0000-4000-8000-%012x"'
)
_ENCODE: Final = msgspec.json.encode


@cache
def _products(market: Market) -> dict[str, Symbol]:
    return {own_name(symbol): symbol for symbol in market.instruments if symbol.market_type == "spot"}


def _written(times: Ints) -> NDArray[np.str_]:
    """Write times to the microsecond, without zeros at the end."""
    whole = np.datetime_as_string(times.astype("M8[us]"))
    return np.char.add(np.char.rstrip(np.char.rstrip(whole, "0"), "."), "Z")


@dataclass(frozen=True, slots=True)
class Product:
    """What the channels of one product push."""

    market: Market
    symbol: Symbol
    orders: SeenBook

    def matches(self, span: TimeRange) -> Batch:
        trades = self.market.tape(NAME, self.symbol).between(span)
        return trades.time.tolist(), self._trades("match", trades)

    def last_match(self, now: Us) -> list[str]:
        tape = self.market.tape(NAME, self.symbol)
        before = tape.count_before(now)
        return self._trades("last_match", tape.by_id(before - 1, 1)) if before else []

    def changes(self, span: TimeRange) -> Batch:
        book = self.orders
        versions = (grid(BOOK_PERIOD, span) // BOOK_PERIOD).tolist()
        told = [(version, self._change(version)) for version in versions]
        said = [(book.time(version), text) for version, text in told if text]
        return [at for at, _ in said], [text for _, text in said]

    def snapshot(self, now: Us) -> str:
        book = self.orders
        bids, asks = (self._levels(side) for side in book.levels(book.version(now), _DEPTH))
        return self._message("snapshot", f'"asks":[{asks}],"bids":[{bids}]')

    def heartbeat(self, at: Us) -> str:
        count = self.market.tape(NAME, self.symbol).count_before(at)
        told = f'"last_trade_id":{count},"sequence":{count * _EVENTS + 3},"time":"{self._time(at)}"'
        return self._message("heartbeat", told)

    def _change(self, version: int) -> str:
        """Tell what makes this version out of the one before; nothing if they are the same."""
        book = self.orders
        sides = zip(book.changes(version, _DEPTH), ("buy", "sell"), strict=True)
        changes = ",".join(text for levels, word in sides if (text := self._levels(levels, f'"{word}",')))
        told = f'"changes":[{changes}],"time":"{self._time(book.time(version))}"'
        return self._message("l2update", told) if changes else ""

    def _message(self, kind: str, told: str) -> str:
        return f'{{"type":"{kind}","product_id":"{own_name(self.symbol)}",{told}}}'

    def _time(self, at: Us) -> str:
        return str(_written(np.array([at]))[0])

    def _price(self, values: Ints) -> tuple[str, list[Ints]]:
        scale = self.market.instruments[self.symbol].price_scale
        return (f"%d.%0{scale}d", decimals(values, scale, scale)) if scale else ("%d", [values])

    def _levels(self, side: Levels, before: str = "") -> str:
        price, prices = self._price(side.price)
        amounts = decimals(*self.market.book_sizes(NAME, self.symbol, side), 8)
        return rows(f'[{before}"{price}","{_AMOUNT}"]', [*prices, *amounts]).decode()[1:-1]

    def _trades(self, kind: str, trades: Trades) -> list[str]:
        price, prices = self._price(trades.price)
        columns = [
            trades.id + 1,
            trades.id * 2,
            trades.id * 2 + 1,
            np.where(trades.buyer_is_maker, "buy", "sell"),
            *decimals(trades.amount, self.market.instruments[self.symbol].amount_scale, 8),
            *prices,
            trades.id * _EVENTS,
            _written(trades.time),
        ]
        return texts(
            f'{{"type":"{kind}","trade_id":%d,{_ORDERS},"side":"%s","size":"{_AMOUNT}","price":"{price}",'
            f'"product_id":"{own_name(self.symbol)}","sequence":%d,"time":"%s"}}',
            columns,
        )


class Named(msgspec.Struct):
    name: str
    product_ids: list[str] = msgspec.field(default_factory=list[str])


class Asked(msgspec.Struct):
    """``product_ids`` are those of the channels that name none of their own."""

    type: Literal["subscribe", "unsubscribe"]
    channels: list[Named | str] = msgspec.field(default_factory=list[Named | str])
    product_ids: list[str] = msgspec.field(default_factory=list[str])

    def named(self) -> list[Named]:
        """Return the channels with the products of each."""
        named = [Named(one) if isinstance(one, str) else one for one in self.channels]
        return [Named(one.name, one.product_ids or self.product_ids) for one in named]


_READ: Final = msgspec.json.Decoder(Asked)


class CoinbaseSide(Side):
    """One connection: ``feeds`` are by channel and product."""

    def __init__(self, opening: Opening) -> None:
        super().__init__(opening, Habits())
        self._limits: Final = [meter(rule, enforced=opening.enforced) for rule in _MESSAGES]
        self._listed: Final[dict[str, dict[str, Us]]] = {name: {} for name in _LISTED.values()}
        """The products of each channel, with the moment of their subscription."""
        self._books: Final = dict[str, Product]()
        self._silent = True

    def heard(self, text: str, now: Us) -> list[Act]:
        if any(limit.charge(1, now).status != 200 for limit in self._limits):
            return [*_error(now, "Rate limit exceeded", "too many messages"), Close(now, 1008, "rate limit")]
        try:
            asked = _READ.decode(text)
        except msgspec.DecodeError as e:
            return _error(now, "Malformed message", str(e))
        named = asked.named()
        if not named:
            return _error(now, f"Failed to {asked.type}", "No channels provided")
        self._silent = False
        act = self._subscribe if asked.type == "subscribe" else self._unsubscribe
        wanted = [(one.name, product) for one in named for product in one.product_ids or [""]]
        judged = [(one, self._refusal(asked.type, *one, now)) for one in wanted]
        errors = [error for _, refusal in judged for error in refusal]
        good = [one for one, refusal in judged if not refusal]
        first = [said for one in good for said in act(*one, now)]
        return [*errors, *self._list(now), *first] if good else errors

    def beats(self, span: TimeRange, pushed: Sequence[Act]) -> list[Act]:
        del pushed
        end = Us(self.opening.now + _PATIENCE)
        if self._silent and self.opening.enforced and end < span.end:
            return [Close(max(end, span.start), 1008, "nothing was subscribed to")]
        return [
            Message(at, "", self._product(product).heartbeat(at))
            for product, since in self._listed["heartbeat"].items()
            for at in every(SECOND, since, span)
            if not self.trouble.hushes_beats(f"heartbeat:{product}", at)
        ]

    def whole(self, message: Message) -> list[Message] | None:
        book = self._books.get(message.topic)
        return [message._replace(text=book.snapshot(message.at))] if book else None

    def notice(self, now: Us) -> list[Act]:
        """Say what a client is told that reads too slowly, before it is cut off."""
        return _error(now, "ErrSlowConsume", "client is not reading fast enough")

    def _product(self, product: str) -> Product:
        market = self.opening.market
        symbol = _products(market)[product]
        return Product(market, symbol, SeenBook(market.orders(NAME, symbol)))

    def _refusal(self, type_: str, channel: str, product: str, now: Us) -> list[Act]:
        if channel in _KEYED:
            why = "level2, level3, and full channels now require authentication"
        elif channel not in _LISTED:
            why = f"{channel} is not a valid channel"
        elif product not in _products(self.opening.market):
            why = f"{product} is not a valid product"
        elif type_ == "subscribe" and self.trouble.full(_topic(channel, product), now):
            why = f"too many subscriptions for {product}"
        else:
            return []
        return _error(now, f"Failed to {type_}", why)

    def _subscribe(self, channel: str, product: str, now: Us) -> list[Act]:
        """Begin to push, and return what comes first."""
        listed = self._listed[_LISTED[channel]]
        if product in listed:
            return []
        listed[product] = now
        topic, told = _topic(channel, product), self._product(product)
        match _LISTED[channel]:
            case "matches":
                self.feeds[topic] = Feed(topic, told.matches)
                return self.first(now, topic, *told.last_match(now))
            case "level2_50":
                self.feeds[topic] = Feed(topic, told.changes, BOOK_BLOCK, told.orders)
                self._books[topic] = told
                return self.first(now, topic, told.snapshot(now))
            case _:
                return []

    def _unsubscribe(self, channel: str, product: str, _: Us) -> list[Act]:
        self._listed[_LISTED[channel]].pop(product, None)
        self.feeds.pop(_topic(channel, product), None)
        return []

    def _list(self, now: Us) -> list[Act]:
        channels = [
            {"name": name, "product_ids": list(products), "account_ids": None}
            for name, products in self._listed.items()
            if products
        ]
        return self.say(now, _ENCODE({"type": "subscriptions", "channels": channels}))


def _topic(channel: str, product: str) -> str:
    return f"{_BOOKS[0] if channel in _BOOKS else channel}:{product}"


def _error(now: Us, message: str, reason: str) -> list[Act]:
    return [Message(now, "", _ENCODE({"type": "error", "message": message, "reason": reason}).decode())]


LIVE: Final = Live(
    paths=("",),
    open=CoinbaseSide,
    connects=Rule(8, SECOND, Style.BUCKET, burst=20),
    level=re.compile(r'\[(?:"buy",|"sell",)?"([\d.]+)","([\d.]+)"\]'),
    ack=re.compile(r'"type":"subscriptions"'),
)
