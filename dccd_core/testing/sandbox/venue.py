"""What a simulated venue is made of: its routes, and its own words for trouble."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import TimeRange, Us, parse_time
from dccd_core.testing.sandbox.limits import Charge, Rule
from dccd_core.testing.sandbox.market import Market

Params: TypeAlias = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Hidden:
    """What a fault withholds though it exists: bars in these spans, trades with these ids (inclusive)."""

    spans: tuple[TimeRange, ...] = ()
    ids: tuple[tuple[int, int], ...] = ()


_FAR: Final = parse_time("2200-01-01")


@dataclass(frozen=True, slots=True)
class Ask:
    """One request, and all it takes to answer it."""

    market: Market
    params: Params
    now: Us
    rule: Rule
    hidden: Hidden

    def first_trade(self, exchange: str, symbol: Symbol) -> Us:
        """Return when a market began, of which there is no bar before; far away while that lies ahead."""
        first = self.market.tape(exchange, symbol).first_time
        return first if first < self.now else _FAR


@dataclass(frozen=True, slots=True)
class Answer:
    """``cut`` breaks the connection in the middle of the body."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    cut: bool = False


class VenueError(Exception):
    """The venue answers with an error."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(body.decode())
        self.answer = Answer(body, status)


@dataclass(frozen=True, slots=True)
class Route:
    """``fields`` tells the faults where a row keeps what: position or name by meaning.

    ``path`` may name parts (``/products/{product}/book``); they come with the parameters. ``market`` reads
    from those whose requests its ``pool`` counts apart, if it does so per market. Of an order book,
    ``numbers`` finds the number that grows with it, as its second group, and ``topic`` gives a pattern of
    what the WebSocket calls the book.
    """

    path: str
    answer: Callable[[Ask], bytes]
    weight: Callable[[Params], int] = lambda _: 1
    fields: Mapping[str, int | str] = field(default_factory=dict[str, int | str])
    pool: str = ""
    market: Callable[[Params], str] = lambda _: ""
    numbers: re.Pattern[bytes] | None = None
    topic: Callable[[Params], str] = lambda _: ""

    def renumbered(self, body: bytes, by: int) -> bytes:
        """Add to the number of an order book."""
        if not by or self.numbers is None:
            return body
        return self.numbers.sub(lambda found: b"%s%d" % (found[1], int(found[2]) + by), body)


@dataclass(frozen=True, slots=True)
class Venue:
    """``trouble`` gives the body of a failure with this HTTP status; 200 is an error inside a good answer.

    ``rules``: one for each pool of the routes. ``refused`` answers a request that broke one of them, at this
    time of the venue. ``headers`` come with every answer, knowing the weight used of its pool.
    """

    name: str
    routes: tuple[Route, ...]
    rules: tuple[Rule, ...]
    refused: Callable[[Charge, Rule, Us], Answer]
    trouble: Callable[[int], bytes]
    headers: Callable[[int], Mapping[str, str]] = lambda _: {}

    def rule(self, pool: str) -> Rule:
        return next(rule for rule in self.rules if rule.pool == pool)
