"""How a sandbox is configured: the same values for the server, its command and the tests' helper."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypedDict

from dccd_core.domain.timespan import SECOND, TimeRange, Us, parse_time
from dccd_core.testing.sandbox.faults import Fault
from dccd_core.testing.sandbox.limits import Meter, Rule, meter
from dccd_core.testing.sandbox.market import Market
from dccd_core.testing.sandbox.stream_faults import StreamFault


@dataclass(frozen=True, slots=True)
class Options:
    """How the sandbox behaves and what its market is.

    ``symbols`` and ``outages`` (written ``2024-03-01T00:00/2024-03-01T06:00``) come besides the default ones.
    Without ``rate_limits`` weight is counted but nothing is refused. ``limit_weight`` and ``window_s``
    replace what the venues' own rules say. ``seed`` decides whom faults strike. Every WebSocket
    connection is cut after ``stream_lifetime_s``, if given, instead of the venue's own time.
    """

    rtt_ms: float = 0
    rate_limits: bool = False
    limit_weight: int | None = None
    window_s: int | None = None
    faults: Sequence[Fault] = ()
    seed: int = 0
    symbols: Sequence[str] = ()
    trades_per_day: Mapping[str, int] = field(default_factory=dict[str, int])
    outages: Sequence[str] = ()
    stream_faults: Sequence[StreamFault] = ()
    stream_lifetime_s: float | None = None

    def market(self) -> Market:
        return Market(self.symbols, self.trades_per_day, [_outage(text) for text in self.outages])

    def meter(self, rule: Rule) -> Meter:
        period = rule.period if self.window_s is None else Us(self.window_s * SECOND)
        amount = rule.amount if self.limit_weight is None else self.limit_weight
        return meter(replace(rule, amount=amount, period=period), enforced=self.rate_limits)


class OptionArguments(TypedDict, total=False):
    """The fields of ``Options``, for functions that take them as keyword arguments."""

    rtt_ms: float
    rate_limits: bool
    limit_weight: int | None
    window_s: int | None
    faults: Sequence[Fault]
    seed: int
    symbols: Sequence[str]
    trades_per_day: Mapping[str, int]
    outages: Sequence[str]
    stream_faults: Sequence[StreamFault]
    stream_lifetime_s: float | None


def _outage(text: str) -> TimeRange:
    start, _, end = text.partition("/")
    return TimeRange(parse_time(start), parse_time(end))
