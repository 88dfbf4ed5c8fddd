"""Random trouble for a stream: what happens to it, and when, is a function of the venue and a seed."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from dccd_core.adapter.live import Topic
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import HOUR, MINUTE, SECOND, TimeRange, Us, iso, parse_time
from dccd_core.exchanges import get
from dccd_core.tables import DataType
from dccd_core.testing.sandbox.faults import Fault, FaultKind
from dccd_core.testing.sandbox.stream_faults import StreamFault, StreamFaultKind

DEPTH: Final = 10
CALM: Final = Us(80 * SECOND)
"""Of trouble, before the end: so that what was lost can be found."""
_STARTS: Final = ("2024-06-05T11:57:30", "2024-06-05T23:57:40", "2024-06-30T23:58:10")
_DENSITIES: Final = (4_000, 40_000, 200_000)
_CODES: Final = (1000, 1001, 1006, 1008, 1011, 1012, 1013, 4000, 4999)
_FROM_ONE_ON: Final = (
    StreamFaultKind.NUMBER_RESTART,
    StreamFaultKind.FOREIGN_NUMBERS,
    StreamFaultKind.SILENT_TOPIC,
    StreamFaultKind.FROZEN,
    StreamFaultKind.CROSSED,
)
"""Strike once, at the first message from a moment on."""
_DRIFTS: Final = 0.1
"""So many rounds are about a book that drifts, unseen until it is compared. Whoever subscribes to it anew
before that, for whatever other trouble, has the right book and will never know: so there is no other trouble
with connections in those rounds."""
_CUTTING: Final = ("kraken",)
"""Of a book of ten levels what leaves them is told anew when it is back: a wrong amount was there for five
seconds and gone before anybody could compare it. So it is in a market that hardly moves."""
_QUIET: Final = 100
_UNPROVEN: Final = ("coinbase",)
"""Nothing shows that changes of a book changed places, and on a TCP connection they do not."""


@dataclass(frozen=True)
class Ask:
    """Trouble with REST, from one moment to another."""

    span: TimeRange
    faults: tuple[Fault, ...]


@dataclass
class Trouble:
    """A round: what is recorded, from when to when, and what befalls it.

    ``steps`` are those of our wall clock, ``kills`` when the recorder is killed and how many seconds later
    the next one begins. ``mended``: whether our clock is right again before the windows are filled.
    """

    exchange: str
    seed: int
    start: Us
    end: Us
    datasets: tuple[Dataset, ...]
    density: dict[str, int]
    delays_s: tuple[float, float]
    tick_s: float
    mended: bool
    faults: list[StreamFault] = field(default_factory=list[StreamFault])
    rest: list[Ask] = field(default_factory=list[Ask])
    steps: list[tuple[Us, int]] = field(default_factory=list[tuple[Us, int]])
    kills: list[tuple[Us, float]] = field(default_factory=list[tuple[Us, float]])

    @property
    def kinds(self) -> list[tuple[DataType, Us | None]]:
        return list(dict.fromkeys((one.data_type, one.span) for one in self.datasets))

    def __str__(self) -> str:
        lines = [f"{self.exchange} {self.seed}: {iso(self.start)} .. {iso(self.end)}, {self.density}"]
        lines += [f"  datasets: {', '.join(str(one) for one in self.datasets)}"]
        lines += [f"  {_told(fault)}" for fault in self.faults]
        lines += [f"  REST {iso(ask.span.start)} .. {iso(ask.span.end)}: {ask.faults}" for ask in self.rest]
        lines += [f"  our clock, at {iso(at)}: {by / SECOND:+.0f} s" for at, by in self.steps]
        lines += [f"  killed at {iso(at)}, back after {after:.1f} s" for at, after in self.kills]
        return "\n".join(lines)


def symbols(exchange: str) -> list[Symbol]:
    quote = "USD" if exchange in ("coinbase", "kraken", "bitfinex") else "USDT"
    return [Symbol.parse(f"{base}/{quote}") for base in ("BTC", "ETH", "DOGE")]


def topic_of(dataset: Dataset, depth: int = DEPTH) -> str:
    """Return what the venue calls what brings a dataset."""
    exchange = get(dataset.exchange)
    assert exchange.live
    channel = exchange.live.channel("spot", dataset.data_type)
    assert channel
    deep = channel.depth(depth) or 0 if dataset.data_type is DataType.ORDERBOOK else 0
    market = exchange.market(dataset.symbol)
    told = str(dataset.symbol) if channel.named else ""  # what the sandbox's discovery says
    return exchange.live.name(Topic(dataset.data_type, market, "spot", dataset.span, deep, told))


def trouble(exchange: str, seed: int, length: Us) -> Trouble:
    """Make the trouble of a round that records for ``length``."""
    chance = random.Random(f"{exchange} {seed}")
    wanted = chance.sample(symbols(exchange), chance.choice((2, 2, 3)))
    kinds = ((DataType.TRADES, None), (DataType.OHLC, MINUTE), (DataType.ORDERBOOK, None))
    all_of = [Dataset(exchange, symbol, *kind) for symbol in wanted for kind in kinds]
    left_out = [one for one in all_of if one.data_type is DataType.ORDERBOOK][1 + chance.randrange(2) :]
    start = parse_time(chance.choice(_STARTS))
    made = Trouble(
        exchange,
        seed,
        start,
        Us(start + length),
        tuple(one for one in all_of if one not in left_out),
        {str(symbol): chance.choice(_DENSITIES) for symbol in wanted},
        chance.choice(((0.002, 0.01), (0.02, 0.1), (0.1, 0.6))),
        chance.choice((0.1, 0.25, 0.5)),
        mended=chance.random() < 0.5,
    )
    befalls = _BEFALL
    if chance.random() < _DRIFTS:
        _drifting(made, chance)
        befalls = _BESIDE_DRIFT
    for _ in range(chance.randint(3, 8)):
        befall = chance.choices(list(befalls), list(befalls.values()))[0]
        befall(made, chance)
    return made


def _when(made: Trouble, chance: random.Random) -> Us:
    return Us(chance.randrange(made.start + 8 * SECOND, made.end - CALM))


def _some_time(made: Trouble, chance: random.Random, least_s: float, most_s: float) -> TimeRange:
    at, length = _when(made, chance), round(chance.uniform(least_s, most_s) * SECOND)
    return TimeRange(at, Us(max(at + round(least_s * SECOND), min(at + length, made.end - CALM))))


def _between(span: TimeRange) -> tuple[int, int]:
    return span.start, span.end


def _one(made: Trouble, chance: random.Random, *kinds: DataType) -> str:
    return topic_of(chance.choice([one for one in made.datasets if not kinds or one.data_type in kinds]))


def _frozen_topic(made: Trouble, chance: random.Random) -> None:
    span, topic = _some_time(made, chance, 30, 150), _one(made, chance)
    made.faults.append(StreamFault(kind=StreamFaultKind.DROP, topic=topic, between=_between(span)))


def _frozen_all(made: Trouble, chance: random.Random) -> None:
    span = _some_time(made, chance, 30, 120)
    made.faults.append(StreamFault(kind=StreamFaultKind.DROP, between=_between(span)))
    if chance.random() < 0.5:  # heartbeats and answers too
        made.faults.append(StreamFault(kind=StreamFaultKind.DROP, answers=True, between=_between(span)))


def _at_one_message(
    kind: StreamFaultKind, *data_types: DataType, s: tuple[float, float] | None = None
) -> Callable[[Trouble, random.Random], None]:
    """``s``: how many seconds it is about, at least and at most; None where it is about none, or for ever."""

    def befall(made: Trouble, chance: random.Random) -> None:
        span = TimeRange(_when(made, chance), made.end)
        topic = _one(made, chance, *data_types) if data_types or chance.random() < 0.7 else ""
        code, seconds = chance.choice(_CODES), chance.uniform(*s) if s else None
        nth = None if kind in _FROM_ONE_ON else 1
        made.faults.append(
            StreamFault(kind=kind, topic=topic, between=_between(span), nth=nth, code=code, seconds=seconds)
        )

    return befall


def _at_some(
    kind: StreamFaultKind, least_s: float, most_s: float
) -> Callable[[Trouble, random.Random], None]:
    def befall(made: Trouble, chance: random.Random) -> None:
        span, share = _some_time(made, chance, least_s, most_s), chance.choice((0.02, 0.1, 0.5))
        topic = _one(made, chance) if chance.random() < 0.7 else ""
        made.faults.append(StreamFault(kind=kind, topic=topic, between=_between(span), probability=share))

    return befall


def _reordered(made: Trouble, chance: random.Random) -> None:
    kinds = (DataType.TRADES, DataType.OHLC, DataType.ORDERBOOK)
    topic = _one(made, chance, *(kinds[:2] if made.exchange in _UNPROVEN else kinds))
    span, share = _some_time(made, chance, 5, 60), chance.choice((0.02, 0.1, 0.5))
    made.faults.append(
        StreamFault(kind=StreamFaultKind.REORDER, topic=topic, between=_between(span), probability=share)
    )


def _drifting(made: Trouble, chance: random.Random) -> None:
    """Let a book have a wrong amount, as nothing but a comparison shows: one is every three minutes."""
    latest = made.start + min(made.end - made.start - CALM, 160 * SECOND)
    at, topic = Us(chance.randrange(made.start + 20 * SECOND, latest)), _one(made, chance, DataType.ORDERBOOK)
    if made.exchange in _CUTTING:
        made.density = dict.fromkeys(made.density, _QUIET)
    made.faults.append(
        StreamFault(kind=StreamFaultKind.DRIFT, topic=topic, between=_between(TimeRange(at, made.end)))
    )


def _refused(made: Trouble, chance: random.Random) -> None:
    span = _some_time(made, chance, 5, 60)
    status = chance.choice((500, 503, 429))
    made.faults.append(StreamFault(kind=StreamFaultKind.REFUSE, between=_between(span), status=status))


def _rest(made: Trouble, chance: random.Random) -> None:
    span, share = _some_time(made, chance, 5, 90), chance.choice((0.2, 0.5, 1.0))
    faults = [
        Fault(kind=FaultKind.STATUS, status=chance.choice((500, 502, 503, 504)), probability=share),
        Fault(kind=FaultKind.SLOW, seconds=chance.uniform(0.5, 15), probability=share),
        Fault(kind=FaultKind.DROPPED, probability=share),
        Fault(kind=FaultKind.HTML, probability=share),
    ]
    made.rest.append(Ask(span, tuple(chance.sample(faults, chance.randint(1, 2)))))


def _clock_step(made: Trouble, chance: random.Random) -> None:
    by = chance.choice((MINUTE, 7 * MINUTE, HOUR, 5 * HOUR)) * chance.choice((-1, 1))
    made.steps.append((_when(made, chance), by + chance.randrange(SECOND)))
    made.steps.sort()


def _killed(made: Trouble, chance: random.Random) -> None:
    made.kills.append((_when(made, chance), chance.uniform(0.5, 30)))
    made.kills.sort()


_KIND: Final = StreamFaultKind
_BEFALL: Final[dict[Callable[[Trouble, random.Random], None], float]] = {
    _frozen_topic: 4,
    _frozen_all: 1.5,
    _clock_step: 2,
    _killed: 3,
    _rest: 2,
    _reordered: 1.5,
    _refused: 1,
    _at_one_message(_KIND.DISCONNECT): 2,
    _at_one_message(_KIND.ABORT): 1,
    _at_one_message(_KIND.SILENCE): 1,
    _at_one_message(_KIND.STALL, s=(0.5, 40)): 1,
    _at_one_message(_KIND.LAG, s=(0.5, 20)): 0.7,
    _at_one_message(_KIND.SILENT_TOPIC): 2,
    _at_one_message(_KIND.SILENT_TOPIC, DataType.TRADES): 2,
    _at_one_message(_KIND.FROZEN): 1,
    _at_one_message(_KIND.FROZEN, s=(30, 120)): 0.7,
    _at_one_message(_KIND.NUMBER_RESTART, DataType.ORDERBOOK): 1,
    _at_one_message(_KIND.FOREIGN_NUMBERS, DataType.ORDERBOOK): 0.3,
    _at_one_message(_KIND.FUTURE_TIME, s=(60, 100_000)): 1,
    _at_one_message(_KIND.FUTURE_TIME, DataType.TRADES, s=(60, 4_000)): 1,
    _at_one_message(_KIND.ZERO_TIME): 0.7,
    _at_one_message(_KIND.BAD_LEVEL, DataType.ORDERBOOK): 0.5,
    _at_one_message(_KIND.SNAPSHOT, DataType.ORDERBOOK): 0.5,
    _at_one_message(_KIND.CROSSED, DataType.ORDERBOOK): 1,
    _at_one_message(_KIND.NOTICE): 0.5,
    _at_one_message(_KIND.GARBAGE): 1,
    _at_one_message(_KIND.TRUNCATED): 1,
    _at_one_message(_KIND.WRONG_TYPE): 1,
    _at_one_message(_KIND.RESET, DataType.ORDERBOOK): 2,
    _at_one_message(_KIND.WRONG_SEQUENCE, DataType.ORDERBOOK): 0.5,
    _at_one_message(_KIND.WRONG_CHECKSUM, DataType.ORDERBOOK): 0.5,
    _at_some(_KIND.DUPLICATE, 5, 100): 1.5,
    _at_some(_KIND.GARBAGE, 1, 20): 0.7,
    _at_some(_KIND.TRUNCATED, 1, 20): 0.7,
    _at_some(_KIND.WRONG_TYPE, 1, 20): 0.7,
}
_BESIDE_DRIFT: Final[dict[Callable[[Trouble, random.Random], None], float]] = {_clock_step: 1, _rest: 2}


def _told(fault: StreamFault) -> str:
    between = f"{iso(Us(fault.between[0]))} .. {iso(Us(fault.between[1]))}" if fault.between else ""
    told = [f"{fault.kind} of {fault.topic or ('answers' if fault.answers else 'any')} {between}"]
    told += [f"nth={fault.nth}"] if fault.nth else [f"share={fault.probability}"]
    match fault.kind:
        case StreamFaultKind.DISCONNECT:
            told.append(f"code={fault.code}")
        case StreamFaultKind.REFUSE:
            told.append(f"status={fault.status}")
        case _ if fault.seconds is not None:
            told.append(f"seconds={fault.seconds:.1f}")
        case _:
            pass
    return ", ".join(told)
