"""What a stream is to record, and what it tells about itself meanwhile."""

from dataclasses import dataclass
from typing import Protocol

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import SECOND, Ns
from dccd_core.lake.lake import State


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """One stream: datasets of one exchange.

    ``depth`` levels a side of every order book are kept, every ``snapshot_every``.
    """

    name: str
    datasets: tuple[Dataset, ...]
    depth: int = 50
    snapshot_every: Ns = SECOND


@dataclass(frozen=True, slots=True)
class DatasetHealth:
    """How one dataset of a stream is.

    ``last``: when its last message came. ``lag``: how much later the last message came than the venue says
    it was. ``rate``: messages per second lately. ``invalid``: intervals so far in which it was not recorded
    (connection lost, order book not valid), ``invalid_since``: when the present one began. ``refused``: what
    the venue said when it refused to send it.
    """

    dataset: Dataset
    last: Ns | None = None
    lag: Ns | None = None
    rate: float = 0.0
    messages: int = 0
    rows: int = 0
    invalid: int = 0
    invalid_since: Ns | None = None
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class StreamHealth:
    """How a stream is: ``at`` this moment, since it ``started``."""

    at: Ns
    started: Ns
    connections: int
    reconnects: int
    rate: float
    messages: int
    bad: int
    """Messages that could not be understood."""
    datasets: tuple[DatasetHealth, ...]


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
