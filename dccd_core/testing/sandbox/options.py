"""How a sandbox is configured: the same values for the server, its command and the tests' helper."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypedDict

from dccd_core.domain.timespan import SECOND, Ns, TimeSpan, parse_time
from dccd_core.testing.sandbox.faults import Fault
from dccd_core.testing.sandbox.limits import WeightRule
from dccd_core.testing.sandbox.market import Market


@dataclass(frozen=True, slots=True)
class Options:
    """How the sandbox behaves and what its market is.

    ``symbols`` and ``outages`` (written ``2024-03-01T00:00/2024-03-01T06:00``) come besides the default ones.
    Without ``rate_limits`` weight is counted but nothing is refused. ``seed`` decides whom faults strike.
    """

    rtt_ms: float = 0
    rate_limits: bool = False
    limit_weight: int = 6_000
    window_s: int = 60
    faults: Sequence[Fault] = ()
    seed: int = 0
    symbols: Sequence[str] = ()
    trades_per_day: Mapping[str, int] = field(default_factory=dict[str, int])
    outages: Sequence[str] = ()

    def market(self) -> Market:
        return Market(self.symbols, self.trades_per_day, [_outage(text) for text in self.outages])

    def weight_rule(self, patience: int) -> WeightRule:
        return WeightRule(self.limit_weight, Ns(self.window_s * SECOND), patience, self.rate_limits)


class OptionArguments(TypedDict, total=False):
    """The fields of ``Options``, for functions that take them as keyword arguments."""

    rtt_ms: float
    rate_limits: bool
    limit_weight: int
    window_s: int
    faults: Sequence[Fault]
    seed: int
    symbols: Sequence[str]
    trades_per_day: Mapping[str, int]
    outages: Sequence[str]


def _outage(text: str) -> TimeSpan:
    start, _, end = text.partition("/")
    return TimeSpan(parse_time(start), parse_time(end))
