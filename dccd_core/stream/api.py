"""What a stream is to record, and what it tells about itself meanwhile."""

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import HOUR, SECOND, Us
from dccd_core.fetch.venue import Venue
from dccd_core.lake.lake import LakeStore, State
from dccd_core.net.sockets import Connect


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """One stream: datasets of one exchange.

    ``depth`` levels a side of every order book are kept, every ``snapshot_every``. ``paused``: those of the
    datasets that a user stopped for now. ``fold_every``: how often what came is put into its partitions.
    """

    name: str
    datasets: tuple[Dataset, ...]
    depth: int = 50
    snapshot_every: Us = SECOND
    paused: frozenset[Dataset] = frozenset()
    fold_every: Us = HOUR


class Phase(StrEnum):
    """How a stream, or one dataset of it, is.

    CONNECTING: nothing is subscribed to, yet or again. RECORDING: it is heard of as often as its market
    explains. SILENT: it is not. PAUSED: a user stopped it. REFUSED: the venue does not send it. DRAINING: it
    is being ended.
    """

    CONNECTING = "connecting"
    RECORDING = "recording"
    SILENT = "silent"
    PAUSED = "paused"
    REFUSED = "refused"
    DRAINING = "draining"


@dataclass(frozen=True, slots=True)
class DatasetHealth:
    """How one dataset of a stream is.

    ``last``: when its last message came. ``lag``: how much later the last message came than the venue says
    it was. ``rate``: messages per second lately. ``invalid``: intervals so far in which it was not recorded
    (connection lost, order book not valid), ``invalid_since``: when the present one began. ``refused``: what
    the venue said when it refused to send it. ``phase``: how it is now, ``since`` when it is silent.
    ``proven``: up to when (venue time) all of it is known to be there. ``price``: of the last trade or bar;
    ``bid`` and ``ask``: the best ones of its book. ``crossed``: pictures whose bid was not below the ask.
    """

    dataset: Dataset
    last: Us | None = None
    lag: Us | None = None
    rate: float = 0.0
    messages: int = 0
    rows: int = 0
    invalid: int = 0
    invalid_since: Us | None = None
    refused: str | None = None
    phase: Phase = Phase.CONNECTING
    since: Us | None = None
    proven: Us | None = None
    price: float | None = None
    bid: float | None = None
    ask: float | None = None
    crossed: int = 0


@dataclass(frozen=True, slots=True)
class StreamHealth:
    """How a stream is: ``at`` this moment, since it ``started``.

    ``phase``: RECORDING only while every dataset that is wanted and not refused is; ``tries``: how often
    in a row no connection came to be, ``why`` not (or what else there is to say of the phase).
    """

    at: Us
    started: Us
    connections: int
    reconnects: int
    rate: float
    messages: int
    bad: int
    """Messages that could not be understood."""
    datasets: tuple[DatasetHealth, ...]
    phase: Phase = Phase.CONNECTING
    tries: int = 0
    why: str = ""


class Listener(Protocol):
    """Is told how a stream goes, from its event loop; must not take long."""

    def beat(self, health: StreamHealth) -> None:
        """Take the state of things; called every few seconds."""
        ...

    def folded(self, dataset: Dataset, key: str, state: State, rows: int) -> None:
        """Take note that a partition has new rows: it is durably stored as ``state`` now."""
        ...

    def note(self, text: str, *, wrong: bool) -> None:
        """Write down what happened: a reconnect, a refused symbol, an order book lost and found again."""
        ...


class RecordStream(Protocol):
    """Records what ``plan`` says until ``stop`` is set, then stores what it has: ``run_stream`` and its like.

    What comes out of ``plans`` meanwhile takes the place of ``plan``.
    """

    async def __call__(  # noqa: PLR0913 -- as ``run_stream``
        self,
        plan: StreamPlan,
        venue: Venue,
        connect: Connect,
        lake: LakeStore,
        stop: asyncio.Event,
        listener: Listener,
        *,
        plans: asyncio.Queue[StreamPlan],
    ) -> None: ...
