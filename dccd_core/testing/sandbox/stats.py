"""What the sandbox was asked, so that tests can count requests."""

from collections import deque
from typing import Final, TypeAlias
from urllib.parse import parse_qsl

import msgspec

REMEMBERED: Final = 200_000
Remembered: TypeAlias = tuple[str, list[tuple[str, str]]]
"""A path and its sorted parameters."""


class PathStats(msgspec.Struct):
    """``statuses`` counts answers by their HTTP status, as text; ``refused`` those that broke a limit."""

    requests: int = 0
    weight: int = 0
    refused: int = 0
    statuses: dict[str, int] = msgspec.field(default_factory=dict[str, int])


class Stats(msgspec.Struct):
    """Keys of ``paths`` are full paths (``/binance/api/v3/klines``).

    ``windows`` is the weight asked for in each limit window, by the window's start in ns as text: per venue,
    and where it has several pools of limits, ``venue/pool`` or ``venue/pool/market``.
    ``requests`` are the last ``REMEMBERED`` ones, oldest first.
    """

    paths: dict[str, PathStats]
    windows: dict[str, dict[str, int]]
    requests: list[Remembered]

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

    def stats(self) -> Stats:
        requests = [
            (path, sorted(parse_qsl(query, keep_blank_values=True))) for path, query in self._requests
        ]
        return Stats(self._paths, self._windows, requests)
