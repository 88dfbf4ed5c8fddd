"""What a simulated venue's WebSocket is made of. Pure: what the client says in, what is sent to it out.

A connection is a ``Side``. It is told what the client says (``heard``) and asked what is due of a span of
the sandbox's time (``due``); what it gives are ``Act``s in order of time: messages, pings, and the close.
A ``Feed`` is one subscription: a function from spans to messages, asked for a block ahead of time, because
one call of numpy for a minute costs hardly more than one for 20 ms.

How a venue is added:

1. ``<venue>_live.py`` holds ``LIVE``, a ``Live``: the server finds it by its name. ``paths`` are those of the
   venue's addresses (they may name parts, like REST routes); ``open`` makes the ``Side`` of a connection.
2. Subclass ``Side``: ``opened`` greets; ``heard`` reads what the client says, keeps ``self.feeds`` (topic to
   ``Feed``) and answers in the venue's words (``self.say``); ``beats`` gives what comes by itself: heartbeats
   (``every``), closing for silence. What numbers or prefixes all messages of a connection overrides ``due``.
3. A feed's ``made`` gives times and texts of all messages of any span, from the truth only: trades from
   ``market.tape``, one ``texts(template, columns)`` for all of them; bars from ``bars_so_far``; books from
   ``market.orders``, with ``block=BOOK_BLOCK``. It must say the same of a span whatever it was asked before.
4. ``topic`` names what faults and counts speak of: the venue's own name, made to differ between markets.
   What the venue demands of clients (limits, pings from them) holds only if ``self.opening.enforced``, as no
   client keeps up with a clock that runs faster; then say the venue's words and give a ``Close``.
5. ``sequence`` and ``checksum`` find the number that a fault spoils, ``numbers`` those that count, ``level``
   one level, ``ack`` an answer to a subscription; ``restarted`` is for venues that can restart their
   numbering, ``whole`` for those that may push a whole book at any time, ``notice`` for those that announce
   that they will go down.
6. What is wrong with the venue itself is asked of ``self.trouble``: all that a subscription begins with goes
   through ``first``; ``hushes_beats`` says whose heartbeats are not sent, ``full`` that one more subscription
   is refused, ``begins_late`` how much later one begins. Books come from the ``SeenBook`` of the
   subscription, which its ``Feed`` knows.
7. ``tests/dccd_core/testing/sandbox/talk.py`` speaks to a ``Side`` without a server.
"""

import re
from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from operator import attrgetter
from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import MILLISECOND, MINUTE, SECOND, ZERO, TimeRange, Us
from dccd_core.testing.sandbox.bars import Bars, joined
from dccd_core.testing.sandbox.grid import bar_closes, bar_opens
from dccd_core.testing.sandbox.hashing import Ints, seed_of
from dccd_core.testing.sandbox.limits import Rule
from dccd_core.testing.sandbox.market import Market
from dccd_core.testing.sandbox.seen_book import SeenBook
from dccd_core.testing.sandbox.text import rows
from dccd_core.testing.sandbox.venue import Answer, Params

BLOCK: Final = MINUTE
BOOK_BLOCK: Final = Us(2 * SECOND)
"""Books say much more in less time."""
ABORTED: Final = 1006
"""A close that is none: the connection just ends."""


class Message(NamedTuple):
    """``topic`` is empty for what is said about the connection itself: answers, heartbeats."""

    at: Us
    topic: str
    text: str


class Ping(NamedTuple):
    at: Us
    payload: bytes


class Close(NamedTuple):
    at: Us
    code: int
    reason: str = ""


Act: TypeAlias = Message | Ping | Close
Batch: TypeAlias = tuple[Sequence[int], Sequence[str]]
"""When, in order, and what."""
at_time: Final = attrgetter("at")


@dataclass(frozen=True, slots=True)
class Opening:
    """How a connection came about: ``path`` as ``Live`` has it, ``params`` its parts and its query.

    ``enforced``: whether the venue's limits hold. ``lifetime`` is used instead of the venue's own, if given.
    """

    market: Market
    path: str
    params: Params
    now: Us
    enforced: bool = False
    lifetime: Us | None = None


@dataclass(frozen=True, slots=True)
class Habits:
    """What a venue does with every connection: pings it, wants to be answered in time, cuts it after a time.

    Pings are answered by the client's library, so it is the server that waits for it: see ``connection.py``.
    """

    ping_every: Us | None = None
    pong_within: Us = MINUTE
    lifetime: Us | None = None


class Feed:
    """One subscription's messages, made a block ahead; those of an order book are made of ``book``."""

    def __init__(
        self, topic: str, made: Callable[[TimeRange], Batch], block: Us = BLOCK, book: SeenBook | None = None
    ) -> None:
        self.topic: Final = topic
        self.book: Final = book
        self._made: Final = made
        self._block: Final = block
        self._span = TimeRange(Us(0), Us(0))
        self._at: Sequence[int] = ()
        self._texts: Sequence[str] = ()

    def due(self, span: TimeRange) -> list[Message]:
        messages: list[Message] = []
        at = span.start
        while at < span.end:
            if not self._span.start <= at < self._span.end:
                self._make(at, span.end)
            stop = min(self._span.end, span.end)
            first, last = bisect_left(self._at, at), bisect_left(self._at, stop)
            times = self._at[first:last]
            messages += map(Message, map(Us, times), repeat(self.topic), self._texts[first:last])
            at = stop
        return messages

    def forget(self) -> None:
        """Make anew what was made ahead: the book is another one now."""
        self._span = TimeRange(ZERO, ZERO)

    def _make(self, at: Us, end: Us) -> None:
        """Blocks end at moments of the topic's own, so that not all feeds are asked at the same time."""
        phase = int(seed_of(self.topic)) % self._block
        block = Us(at + self._block - (at + phase) % self._block)
        self._span = TimeRange(at, max(block, end))
        self._at, self._texts = self._made(self._span)


class Trouble:
    """What is wrong with a venue on one connection. Nothing is: see ``live_faults.py``."""

    def told(self, messages: Sequence[Message], end: Us) -> list[Message]:
        """Return what is said of these, which are all that topics have to say before ``end``."""
        del end
        return list(messages)

    def hushes(self, topic: str, at: Us) -> bool:
        """Return whether nothing is said of a topic that is subscribed to, as if it were not."""
        del topic, at
        return False

    def hushes_beats(self, topic: str, at: Us) -> bool:
        """Return whether its own heartbeats are not sent either."""
        del topic, at
        return False

    def full(self, topic: str, now: Us) -> bool:
        """Return whether one more subscription is refused as one too many."""
        del topic, now
        return False

    def begins_late(self, topic: str, now: Us) -> Us:
        """Return how much later a subscription begins, where heartbeats come before it does."""
        del topic, now
        return ZERO


class Side(ABC):
    """The venue's side of one connection; ``feeds`` are the present subscriptions by topic."""

    trouble: Trouble

    def __init__(self, opening: Opening, habits: Habits) -> None:
        self.opening: Final = opening
        self.habits: Final = habits
        self.feeds: Final[dict[str, Feed]] = {}
        self.trouble = Trouble()

    def opened(self, now: Us) -> list[Act]:
        """Return what the venue says first."""
        del now
        return []

    @abstractmethod
    def heard(self, text: str, now: Us) -> list[Act]:
        """Return the venue's answer to a message; subscriptions count from ``now``."""

    def due(self, span: TimeRange) -> list[Act]:
        """Return what is sent in ``span``, which begins where the last one ended."""
        ready = [message for feed in self.feeds.values() for message in feed.due(span)]
        ready.sort(key=at_time)
        pushed: list[Act] = [*self.trouble.told(ready, span.end)]
        more = [*self.beats(span, pushed), *self._pings(span), *self._end(span)]
        return sorted([*pushed, *more], key=at_time) if more else pushed

    def beats(self, span: TimeRange, pushed: Sequence[Act]) -> list[Act]:
        """Return what comes by itself, besides what the feeds pushed."""
        del span, pushed
        return []

    def notice(self, now: Us) -> list[Act]:
        """Return how the venue says that it will soon go down; nothing where it never does."""
        del now
        return []

    def restarted(self, topic: str, span: TimeRange) -> list[Message] | None:
        """Number a topic anew from the start of ``span`` on and return its messages, None if it cannot be."""
        del topic, span
        return None

    def whole(self, message: Message) -> list[Message] | None:
        """Return what is pushed instead of a change of a book: all of it; None where a venue never does."""
        del message
        return None

    def feed(self, topic: str) -> Feed | None:
        """Return the present subscription whose messages have this topic."""
        return next((feed for feed in self.feeds.values() if feed.topic == topic), None)

    def first(self, now: Us, topic: str, *said: str) -> list[Act]:
        """Return what a subscription begins with."""
        return [*self.trouble.told([Message(now, topic, text) for text in said], Us(now + 1))]

    def say(self, now: Us, text: bytes) -> list[Act]:
        return [Message(now, "", text.decode())]

    def _pings(self, span: TimeRange) -> list[Act]:
        if self.habits.ping_every is None:
            return []
        times = every(self.habits.ping_every, self.opening.now, span)
        return [Ping(at, b"%d" % (at // MILLISECOND)) for at in times]

    def _end(self, span: TimeRange) -> list[Act]:
        lifetime = self.opening.lifetime or self.habits.lifetime
        if lifetime is None:
            return []
        end = Us(self.opening.now + lifetime)
        return [Close(max(end, span.start), 1001, "Connection lifetime is over")] if end < span.end else []


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """A venue's WebSocket.

    ``connects`` limits how often one address may connect, ``refused`` answers those that did it too often.
    ``sequence`` and ``checksum`` find, as their first group, the number of an order book's message that
    makes its order or its content provable. ``numbers`` finds each number of a book's message that grows with
    the book, or with all messages of the connection if it is ``counted``. ``level`` finds a level of a book,
    as two groups its price and its amount. ``ack`` finds the answer to a subscription that was agreed to.
    """

    paths: tuple[str, ...]
    open: Callable[[Opening], Side]
    connects: Rule | None = None
    refused: Answer = field(default_factory=lambda: Answer(b"", 429))
    sequence: re.Pattern[str] | None = None
    checksum: re.Pattern[str] | None = None
    numbers: re.Pattern[str] | None = None
    counted: bool = False
    level: re.Pattern[str] | None = None
    ack: re.Pattern[str] | None = None


def nothing(_: TimeRange) -> Batch:
    """What a feed pushes that stays silent."""
    return (), ()


def every(period: Us, since: Us, span: TimeRange) -> list[Us]:
    """Return the moments of ``span`` that are whole periods (one or more) after ``since``.

    >>> every(Us(10), Us(3), TimeRange(Us(3), Us(34)))
    [13, 23, 33]
    """
    first = max(1, -(-(span.start - since) // period))
    return [Us(at) for at in range(since + first * period, span.end, period)]


def grid(pace: Us, span: TimeRange) -> Ints:
    """Return the whole multiples of ``pace`` in ``span``."""
    return np.arange(-(-span.start // pace) * pace, span.end, pace)


def texts(template: str, columns: Sequence[Ints | NDArray[np.str_]]) -> list[str]:
    """Fill ``template`` once per row with one value of each column.

    >>> texts('{"a":%d}', [np.array([1, 2])])
    ['{"a":1}', '{"a":2}']
    """
    if not columns[0].size:
        return []
    return rows(f"{template}\0", columns)[1:-2].decode().split("\0,")


@dataclass(frozen=True, slots=True)
class BarsSoFar:
    """Columns of equal length: what a bar was ``at`` each moment; its last moment is where it closes.

    The time of ``bars`` is when they open, ``closed`` whether they end at that moment.
    """

    at: Ints
    bars: Bars
    closes: Ints
    closed: NDArray[np.bool_]


def bars_so_far(market: Market, exchange: str, symbol: Symbol, bar: Us, moments: Ints) -> BarsSoFar:
    """Return the bar that each of these moments is in or at the end of, of its trades before that moment.

    Args:
        market: the truth.
        exchange: whose.
        symbol: which.
        bar: its length.
        moments: ascending whole seconds, every moment between their first and last where a bar closes among
            them. Those before the first trade and in outages are left out of the result.
    """
    book = market.book(exchange, symbol)
    opens = bar_opens(bar, Us(int(moments[0]) - bar - 1), Us(int(moments[-1])))
    opens = opens[np.searchsorted(opens, moments[0], "left") - 1 :]
    starts = np.concatenate((opens[:1], moments[:-1]))
    pieces = [book.bars(starts[:1], moments[:1])]
    if moments.size > 1:
        pieces.append(book.bars(starts[1:], moments[1:]))
    which = np.searchsorted(opens, starts, "right") - 1
    closes = bar_closes(bar, opens)[which]
    shown = moments > market.tape(exchange, symbol).first_time
    for outage in market.outages:
        shown &= (moments <= outage.start) | (moments > outage.end)
    grown = _grown(joined(pieces), which, opens).rows(shown)
    return BarsSoFar(moments[shown], grown, closes[shown], closes[shown] == moments[shown])


_APART: Final = 1 << 44
"""More than any price in ticks."""


def _grown(pieces: Bars, which: Ints, opens: Ints) -> Bars:
    """Add up pieces of bars to what each bar was at the end of each piece; ``which`` bar each belongs to."""
    first = np.flatnonzero(np.diff(which, prepend=which[0] - 1))
    group = np.cumsum(np.diff(which, prepend=which[0]) > 0)
    place = np.arange(which.size)
    traded = pieces.trades > 0
    opener = np.minimum.reduceat(np.where(traded, place, which.size), first)[group]
    begun = place >= opener

    def summed(column: Ints) -> Ints:
        total = np.cumsum(column)
        return total - (total[first] - column[first])[group]

    def highest(column: Ints) -> Ints:
        """A group's numbers lie above those of all groups before it, so the maximum begins anew."""
        return np.maximum.accumulate(np.where(traded, column, 0) + group * _APART) - group * _APART

    return Bars(
        opens[which],
        np.where(begun, pieces.open[np.minimum(opener, place)], pieces.open),
        np.where(begun, highest(pieces.high), pieces.high),
        np.where(begun, _APART - highest(_APART - pieces.low), pieces.low),
        pieces.close,
        *(summed(column) for column in pieces.columns()[5:]),
    )
