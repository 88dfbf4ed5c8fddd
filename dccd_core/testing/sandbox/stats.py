"""What the sandbox was asked, so that tests can count requests."""

from collections import deque
from typing import Final, TypeAlias
from urllib.parse import parse_qsl

import msgspec

from dccd_core.testing.sandbox.live import Message

REMEMBERED: Final = 200_000
Remembered: TypeAlias = tuple[str, list[tuple[str, str]]]
"""A path and its sorted parameters."""


class PathStats(msgspec.Struct):
    """``statuses`` counts answers by their HTTP status, as text; ``refused`` those that broke a limit."""

    requests: int = 0
    weight: int = 0
    refused: int = 0
    statuses: dict[str, int] = msgspec.field(default_factory=dict[str, int])


class StreamStats(msgspec.Struct):
    """What a venue's WebSocket did: connections ``opened``, ``refused`` and ``closed`` (by code, as text).

    ``heard`` counts the clients' messages, ``messages`` what was sent, by topic; the topic is empty of what
    was said about the connection itself.
    """

    opened: int = 0
    refused: int = 0
    heard: int = 0
    closed: dict[str, int] = msgspec.field(default_factory=dict[str, int])
    messages: dict[str, int] = msgspec.field(default_factory=dict[str, int])

    @property
    def open(self) -> int:
        return self.opened - sum(self.closed.values())


class Struck(msgspec.Struct):
    """A fault's strike: ``at`` this moment of the sandbox's time it hit what was to be sent as ``text``."""

    venue: str
    topic: str
    kind: str
    at: int
    text: str


class Stats(msgspec.Struct):
    """Keys of ``paths`` are full paths (``/binance/api/v3/klines``).

    ``windows`` is the weight asked for in each limit window, by the window's start in us as text: per venue,
    and where it has several pools of limits, ``venue/pool`` or ``venue/pool/market``.
    ``requests`` are the last ``REMEMBERED`` ones, oldest first. ``streams`` is per venue; ``struck`` are the
    last faults that struck there, oldest first.
    """

    paths: dict[str, PathStats]
    windows: dict[str, dict[str, int]]
    requests: list[Remembered]
    streams: dict[str, StreamStats]
    struck: list[Struck]

    def count(self, ending: str = "") -> int:
        """Return how many requests had a path that ends so."""
        return sum(path.requests for name, path in self.paths.items() if name.endswith(ending))

    def refused(self) -> int:
        """Return how many requests broke a rate limit, whatever the venue answers then."""
        return sum(path.refused for path in self.paths.values())

    def answered(self, status: int) -> int:
        """Return how many answers had this HTTP status."""
        return sum(path.statuses.get(str(status), 0) for path in self.paths.values())


class Tally:
    """Counts while the server runs."""

    def __init__(self) -> None:
        self._paths: Final[dict[str, PathStats]] = {}
        self._windows: Final[dict[str, dict[str, int]]] = {}
        self._requests: Final = deque[tuple[str, str]](maxlen=REMEMBERED)

    def asked(self, path: str, query: str, weight: int) -> None:
        counted = self._paths.setdefault(path, PathStats())
        counted.requests += 1
        counted.weight += weight
        self._requests.append((path, query))

    def used(self, place: str, window_start: int, weight: int) -> None:
        windows = self._windows.setdefault(place, {})
        windows[str(window_start)] = windows.get(str(window_start), 0) + weight

    def refused(self, path: str) -> None:
        self._paths[path].refused += 1

    def answered(self, path: str, status: int) -> None:
        statuses = self._paths[path].statuses
        statuses[str(status)] = statuses.get(str(status), 0) + 1

    def stats(self, streams: "StreamTally") -> Stats:
        requests = [
            (path, sorted(parse_qsl(query, keep_blank_values=True))) for path, query in self._requests
        ]
        return Stats(self._paths, self._windows, requests, streams.venues, list(streams.strikes))


class StreamTally:
    """Counts what the WebSockets do while the server runs."""

    def __init__(self) -> None:
        self.venues: Final[dict[str, StreamStats]] = {}
        self.strikes: Final = deque[Struck](maxlen=REMEMBERED)

    def venue(self, name: str) -> StreamStats:
        return self.venues.setdefault(name, StreamStats())

    def sent(self, venue: str, topic: str) -> None:
        messages = self.venue(venue).messages
        messages[topic] = messages.get(topic, 0) + 1

    def struck(self, venue: str, kind: str, message: Message) -> None:
        self.strikes.append(Struck(venue, message.topic, kind, message.at, message.text))
