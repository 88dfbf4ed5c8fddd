"""The contract of an exchange's WebSocket: subscriptions in the venue's words, bytes in, rows out. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from dccd_core.adapter.contract import Limit, Request
from dccd_core.domain.timespan import SECOND, Us
from dccd_core.tables import DataType

_PACE: Final = Us(SECOND // 5)
_PING_EVERY: Final = Us(20 * SECOND)
_SILENCE: Final = Us(60 * SECOND)

Pairs = Sequence[tuple[str, str]]
"""Levels as (price, amount), each as the venue wrote it."""


@dataclass(frozen=True, slots=True)
class Topic:
    """One thing to listen to: a data type of one market.

    ``market`` is the venue's own symbol, ``market_type`` is as in ``Symbol.market_type``, ``bar`` the length
    of a bar, ``depth`` the levels a side that the venue is asked for (0: all it has).
    ``live_name``: what the WebSocket calls the market, where symbol discovery says so (see ``MARKETS``).
    """

    data_type: DataType
    market: str
    market_type: str = "spot"
    bar: Us | None = None
    depth: int = 0
    live_name: str = ""


@dataclass(slots=True)
class BookChange:
    """What a venue says of one order book: levels with their new amounts, 0 for a level that is gone.

    ``at`` is the venue's time of it, None where it tells none. ``whole``: these are all levels there are,
    whatever was there before. ``first`` and ``last`` are the update's own numbers, ``previous`` is the
    ``last`` of the one before it; None where the venue does not number that way. ``checksum`` is of the book
    after this change.
    """

    topic: str
    at: Us | None
    bids: Pairs = ()
    asks: Pairs = ()
    whole: bool = False
    first: int | None = None
    last: int | None = None
    previous: int | None = None
    checksum: int | None = None


@dataclass(frozen=True, slots=True)
class Ack:
    """The venue's answer to a subscription: to one ``topic``, or to all that message ``id`` asked for.

    ``error`` is the venue's text where it refused; an error of neither topic nor message concerns them all.
    ``full``: it refused because the connection takes no more, or none just now; another one may.
    """

    topic: str | None = None
    id: int | None = None
    error: str | None = None
    full: bool = False


@dataclass(frozen=True, slots=True)
class Word:
    """A message by which the venue says of one topic that all of it until ``at`` (its time) was sent.

    Such as a heartbeat that names the topic. ``last_id``: the id of the topic's last trade so far; None
    where it tells none.
    """

    topic: str
    at: Us
    last_id: int | None = None


@dataclass(slots=True)
class DecodedBatch:
    """What a batch of messages says, in the order in which they came.

    ``trades`` and ``bars`` are rows of the data type's table with two columns more, ``topic`` (its name) and
    ``received`` (int64 us, when the message came); bars have a third, ``closed``: whether the venue says that
    it is final, null where it never says so. ``at`` is the newest time the venue told in any message.
    ``words`` are what the venue said of single topics besides their own rows. ``restart`` says why the
    connection is to be given up for a new one. ``bad`` are messages that could not be understood, each with
    the reason. ``state`` is what ``Live.decode`` wants to be told with the next batch.
    """

    trades: pl.DataFrame | None = None
    bars: pl.DataFrame | None = None
    books: list[BookChange] = field(default_factory=list[BookChange])
    acks: list[Ack] = field(default_factory=list[Ack])
    at: Us | None = None
    restart: str | None = None
    bad: list[tuple[bytes, str]] = field(default_factory=list[tuple[bytes, str]])
    state: object = None
    words: list[Word] = field(default_factory=list[Word])


@dataclass(frozen=True, slots=True)
class BookStart:
    """Where a book begins for venues that push changes only: a REST snapshot, numbered like the changes."""

    request: Callable[[Topic], Request]
    decode: Callable[[bytes, str], BookChange]
    """The body and the topic's name in."""
    levels: int
    """A side of the snapshot with so many levels is cut: what lies beyond them is not known."""


@dataclass(frozen=True, slots=True)
class Precision:
    """How many decimals a venue writes for a market, where symbol discovery tells (see ``MARKETS``)."""

    price: int
    amount: int


Checksum = Callable[[Pairs, Pairs, Precision | None], int]
"""Bids and asks, best first, as the venue wrote them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """What can be listened to of one data type.

    ``spans``: bar lengths. ``depths``: levels a side that can be asked for, ascending; empty: the whole book.
    ``contracts``: amounts count contracts, of the size that symbol discovery says. ``start``: the venue
    pushes only changes of the book. ``checksum`` proves the best ``checked`` levels of each side.
    ``cuts``: levels pushed out of the depth get no message, so they have to be cut off here.
    ``from_trades``: the venue pushes no bars; they are built from the trades that this topic brings, which
    have to be ``consecutive`` or to beat.
    ``consecutive``: the ids of trades follow one another, so a missing one shows. ``beats``: the venue says
    at least this often that a topic is alive (a ``Word`` or a row of it): its silence is its end.
    ``fills_quiet``: the venue's history has bars in which nothing was traded, this channel tells none.
    ``check``: a snapshot by REST, numbered like the changes, that a book is held against now and then;
    without it any will do. ``rest_decimals``: those of amounts by REST, where the channel writes more.
    ``named``: the WebSocket's name of a market comes from symbol discovery alone (``Topic.live_name``).
    """

    docs: str
    spans: tuple[Us, ...] = ()
    depths: tuple[int, ...] = ()
    contracts: bool = False
    start: BookStart | None = None
    checksum: Checksum | None = None
    checked: int = 0
    cuts: bool = False
    from_trades: bool = False
    consecutive: bool = False
    beats: Us | None = None
    fills_quiet: bool = False
    named: bool = False
    check: BookStart | None = None
    rest_decimals: int | None = None

    def depth(self, wanted: int) -> int | None:
        """Return the least depth to ask for that shows ``wanted`` levels; None when there is none."""
        return next((depth for depth in self.depths if depth >= wanted), None) if self.depths else 0


def _nobody(_: bytes, __: object) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSocketApi:
    """An exchange's WebSocket.

    ``url`` gives a topic's address: what shares one may share a connection, at most ``most`` topics each.
    ``name`` is what messages call a topic. ``subscribe`` and ``unsubscribe`` write one message, numbered
    ``id``, for at most ``batch`` topics; ``unsubscribe`` is told the state of the last ``DecodedBatch``.
    ``topics_in`` names the topics that a frame speaks of which could not be understood, by what of it can be
    read and the state; empty when nobody can say: then it may be of any.
    Messages of ours keep ``pace`` apart; ``greeting`` goes before all others. ``ping`` is sent whenever
    ``ping_every`` passed, and a connection on which nothing came for ``silence`` is dead: a venue that is
    alive answers pings, sends heartbeats or pings itself. After ``lifetime`` the venue cuts a connection.
    ``connects`` limits how often this machine may connect.
    """

    url: Callable[[Topic], str]
    name: Callable[[Topic], str]
    subscribe: Callable[[Sequence[Topic], int], bytes]
    unsubscribe: Callable[[Sequence[Topic], int, object], bytes]
    decode: Callable[[Sequence[bytes], Sequence[Us], object], DecodedBatch]
    connects: Limit
    topics_in: Callable[[bytes, object], tuple[str, ...]] = _nobody
    channels: Mapping[DataType, Channel]
    special: Mapping[tuple[str, DataType], Channel | None] = field(
        default_factory=dict[tuple[str, DataType], Channel | None]
    )
    batch: int = 100
    most: int = 200
    pace: Us = _PACE
    greeting: tuple[bytes, ...] = ()
    ping: Callable[[int], bytes] | None = None
    ping_every: Us = _PING_EVERY
    silence: Us = _SILENCE
    lifetime: Us | None = None

    def channel(self, kind: str, data_type: DataType) -> Channel | None:
        """Return what brings ``data_type`` of a kind of market, if anything does."""
        return self.special.get((kind, data_type), self.channels.get(data_type))
