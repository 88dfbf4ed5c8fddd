"""What a stream wants of each dataset, what it has seen of it so far, and what only REST can settle."""

from dataclasses import dataclass, field

from dccd_core.adapter.live import Channel, Precision, Topic
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import SECOND, ZERO, Us
from dccd_core.stream.snapshots import Turn
from dccd_core.tables import DataType

Kind = tuple[DataType, Us | None]
"""What shares a table and a segment: a data type, and for bars their length."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A topic and the dataset it is for; ``contract`` is what its amounts count, None: the base currency.

    ``finality_delay`` says when its bars are final; ``depth`` and ``every`` which pictures of its book are
    taken.
    """

    dataset: Dataset
    topic: Topic
    channel: Channel
    finality_delay: Us = ZERO
    contract: float | None = None
    precision: Precision | None = None
    depth: int = 0
    every: Us = SECOND

    @property
    def kind(self) -> Kind:
        return self.dataset.data_type, self.dataset.span


@dataclass(frozen=True, slots=True)
class Question:
    """Whether there were rows of a topic from ``since`` (venue time) on that did not come.

    ``lag``: how old they are at present when they come.
    """

    name: str
    wanted: Wanted
    since: Us
    lag: Us = ZERO


@dataclass(slots=True)
class Seen:
    """What came of one dataset so far, over all connections.

    ``price``: of its last row; ``bid`` and ``ask``: the best of its book. ``crossed``: pictures in which they
    had met.
    """

    messages: int = 0
    rows: int = 0
    last: Us | None = None
    lag: Us | None = None
    invalid: int = 0
    invalid_since: Us | None = None
    price: float | None = None
    bid: float | None = None
    ask: float | None = None
    crossed: int = 0
    connections: int = field(default=0, compare=False)
    """How many record it: two while one takes over from the other."""

    def turn(self, turn: Turn) -> None:
        """Count a beginning or an end of one connection's recording."""
        self.connections += 1 if turn.began else -1
        if turn.began:
            self.invalid_since = None
        elif not self.connections:
            self.invalid, self.invalid_since = self.invalid + 1, turn.at
