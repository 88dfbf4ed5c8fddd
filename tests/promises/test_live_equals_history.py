"""Ten minutes of every venue's streams, with trouble: stored is what a quiet run would have stored.

On a clock that is given: how busy the machine is changes nothing.
"""

import asyncio
import random
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest

from dccd_core.adapter.live import Topic
from dccd_core.domain.dataset import Dataset, partition_key
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import MINUTE, SECOND, TimeRange, Us, parse_time
from dccd_core.exchanges import NAMES, get
from dccd_core.fetch.venue import Venue
from dccd_core.lake.lake import LakeStore, State
from dccd_core.net.virtual import VirtualClock, VirtualLoop, run_virtually
from dccd_core.stream.api import StreamPlan
from dccd_core.stream.fold import fill_windows, fold_all
from dccd_core.stream.run import run_stream
from dccd_core.tables import DataType
from dccd_core.testing.sandbox.inside import Inside
from dccd_core.testing.sandbox.options import Options
from dccd_core.testing.sandbox.server import Sandbox
from dccd_core.testing.sandbox.stats import Struck
from dccd_core.testing.sandbox.stream_faults import StreamFault, StreamFaultKind
from tests.dccd_core.fetch.world import alike
from tests.promises.streams import Told

START = parse_time("2024-06-05T11:57:30")
END = Us(START + 10 * MINUTE)
DEPTH = 10
TICK_S = 0.1
"""How often the sandbox pushes what is new."""
OPEN = [name for name in NAMES if get(name).live]
COUNTED = ("bitfinex",)
"""All messages of a connection are numbered: one too few or too many ends the connection."""
UNPROVEN = ("coinbase",)
"""Nothing shows that a change of a book was lost."""
SHORT = ("bybit",)
"""Of the past only the last trades can be had, so what is missed for longer stays a hole, and says so."""


def symbols(exchange: str) -> list[Symbol]:
    quote = "USD" if exchange in ("coinbase", "kraken", "bitfinex") else "USDT"
    return [Symbol.parse(f"{base}/{quote}") for base in ("BTC", "ETH")]


def datasets(exchange: str) -> list[Dataset]:
    kinds = ((DataType.TRADES, None), (DataType.OHLC, MINUTE), (DataType.ORDERBOOK, None))
    return [Dataset(exchange, symbol, *kind) for symbol in symbols(exchange) for kind in kinds]


def channel(exchange: str, symbol: Symbol, data_type: DataType) -> tuple[str, str]:
    """Return what the venue calls a topic, and the address it is had from."""
    live = get(exchange).live
    assert live
    pushed = live.channel("spot", data_type)
    assert pushed
    own = str(symbol) if pushed.named else ""
    topic = Topic(data_type, get(exchange).market(symbol), "spot", None, pushed.depth(DEPTH) or 0, own)
    return live.name(topic), live.url(topic)


def trouble(exchange: str) -> list[StreamFault]:
    """Spoil and break what is pushed, and lose one change of the first symbol's book."""
    from_minute = [(START + n * MINUTE, END) for n in range(10)]
    kind = StreamFaultKind
    first, second = (channel(exchange, symbol, DataType.TRADES)[0] for symbol in symbols(exchange))
    book = channel(exchange, symbols(exchange)[0], DataType.ORDERBOOK)[0]
    if exchange in COUNTED:  # with time enough to come back between one and the next
        return [
            StreamFault(kind=kind.GARBAGE, between=from_minute[1], nth=2, topic=second),
            StreamFault(kind=kind.DROP, between=from_minute[3], nth=1, topic=book),
            StreamFault(kind=kind.DUPLICATE, between=from_minute[5], nth=1, topic=first),
            StreamFault(kind=kind.ABORT, between=from_minute[7], nth=1, topic=first),
        ]
    shows = exchange not in UNPROVEN
    return [
        StreamFault(kind=kind.DUPLICATE, probability=0.03),
        *(StreamFault(kind=kind.REORDER, topic=name, probability=0.05) for name in (first, second)),
        StreamFault(kind=kind.GARBAGE, between=from_minute[1], nth=2, topic=second),
        *([StreamFault(kind=kind.DROP, between=from_minute[3], nth=1, topic=book)] if shows else []),
        StreamFault(kind=kind.ABORT, between=from_minute[4], nth=1, topic=first),
        StreamFault(kind=kind.DISCONNECT, between=from_minute[6], nth=1, topic=book),
    ]


@dataclass(frozen=True)
class Stage:
    """A sandbox of this process, a lake, and what was told while the one was recorded into the other."""

    exchange: str
    box: Sandbox
    lake: LakeStore
    told: Told = field(default_factory=Told)


@dataclass(frozen=True)
class Outcome:
    stage: Stage
    struck: list[Struck]

    def breaks(self, symbol: Symbol) -> list[Us]:
        """Return when faults struck that a book cannot survive."""
        exchange = self.stage.exchange
        book, url = channel(exchange, symbol, DataType.ORDERBOOK)
        shared = url == channel(exchange, symbol, DataType.TRADES)[1]
        deadly = ["disconnect"]
        deadly += ["abort"] if shared else []
        deadly += ["duplicate", "drop"] if exchange in COUNTED else []
        own = [one.at for one in self.struck if one.kind == "drop" and one.topic == book]
        return sorted({Us(at) for at in (*own, *(one.at for one in self.struck if one.kind in deadly))})


@pytest.mark.parametrize(
    "exchange", [*OPEN[:2], *(pytest.param(name, marks=pytest.mark.slow) for name in OPEN[2:])]
)
def test_trouble_leaves_no_trace(exchange: str, tmp_path: Path) -> None:
    random.seed(exchange)  # the recorder's own jitter
    one = run_virtually(lambda loop: recorded(exchange, tmp_path, loop))
    outcome = Outcome(one, list(one.box.connections.tally.strikes))
    all_of_the_trouble_happened(outcome)
    rows_are_those_of_a_quiet_run(outcome, DataType.TRADES)
    rows_are_those_of_a_quiet_run(outcome, DataType.OHLC)
    pictures_of_books_are_those_of_a_quiet_run(outcome)
    the_time_in_which_a_book_was_not_known_is_exactly_the_damage(outcome)


async def recorded(exchange: str, folder: Path, loop: VirtualLoop) -> Stage:
    """Record ten minutes; then fold them, and ask for what was missed, once the venue is done with it."""
    density = {str(symbol): 300_000 for symbol in symbols(exchange)}
    options = Options(trades_per_day=density, symbols=list(density), stream_faults=trouble(exchange))
    box, clock = Sandbox(options, lambda: START + loop.passed, TICK_S), VirtualClock(loop, START)
    inside, one, wanted = Inside(box, clock), Stage(exchange, box, LakeStore(folder)), datasets(exchange)
    venue = Venue(get(exchange), inside.transport(get(exchange)), clock)
    stop = asyncio.Event()
    loop.call_at((END - START) / SECOND, stop.set)
    plan = StreamPlan("all", tuple(wanted), DEPTH, SECOND)
    await run_stream(plan, venue, inside.connect(exchange), one.lake, stop, one.told)
    await clock.sleep(20)
    kinds = dict.fromkeys((dataset.data_type, dataset.span) for dataset in wanted)
    await fold_all(venue, one.lake, kinds, one.told)
    await fill_windows(venue, one.lake, wanted, one.told)
    return one


def known(stage: Stage, dataset: Dataset) -> tuple[State, list[TimeRange]]:
    state = stage.lake.state(dataset, partition_key(dataset.grain, START))
    assert state
    return state, state.ledger.covered()


def rows_in(stage: Stage, dataset: Dataset, span: TimeRange) -> pl.DataFrame:
    return stage.lake.scan(dataset, span).collect()


def all_of_the_trouble_happened(outcome: Outcome) -> None:
    exchange, told = outcome.stage.exchange, outcome.stage.told
    happened = {one.kind for one in outcome.struck}
    assert happened == {fault.kind.value for fault in trouble(exchange)}
    assert "could not be understood" in " ".join(text for text, _ in told.notes)
    assert told.beats[-1].reconnects >= 2
    assert told.beats[-1].bad >= 1


def rows_are_those_of_a_quiet_run(outcome: Outcome, data_type: DataType) -> None:
    one, market = outcome.stage, outcome.stage.box.market
    for dataset in datasets(one.exchange):
        if dataset.data_type is not data_type:
            continue
        state, covered = known(one, dataset)
        assert state.ledger.gaps() == ()
        assert covered[0].start < START + 2 * MINUTE
        assert covered[-1].end > END - 2 * MINUTE
        assert len(covered) == 1 or (one.exchange in SHORT and data_type is DataType.TRADES)
        for span in covered:
            if dataset.span:
                truth = market.truth_bars(one.exchange, dataset.symbol, dataset.span, span)
            else:
                truth = market.truth_trades(one.exchange, dataset.symbol, span)
            assert truth.height > 3
            assert alike(rows_in(one, dataset, span), truth)


def pictures_of_books_are_those_of_a_quiet_run(outcome: Outcome) -> None:
    one, market = outcome.stage, outcome.stage.box.market
    for dataset in datasets(one.exchange):
        if dataset.data_type is not DataType.ORDERBOOK:
            continue
        _, covered = known(one, dataset)
        expected = [
            Us(at) for span in covered for at in range(-(-span.start // SECOND) * SECOND, span.end, SECOND)
        ]
        assert len(expected) > 300
        truth = pl.concat([market.truth_book(one.exchange, dataset.symbol, at, DEPTH) for at in expected])
        assert alike(one.lake.scan(dataset).collect(), truth)


def the_time_in_which_a_book_was_not_known_is_exactly_the_damage(outcome: Outcome) -> None:
    one = outcome.stage
    for dataset in datasets(one.exchange):
        if dataset.data_type is not DataType.ORDERBOOK:
            continue
        state, covered = known(one, dataset)
        holes, damage = state.ledger.holes, outcome.breaks(dataset.symbol)
        assert [hole.span for hole in holes] == [
            TimeRange(before.end, after.start) for before, after in pairwise(covered)
        ]
        assert damage
        for hole in holes:
            first = next(at for at in damage if at >= hole.span.start)  # others may strike before it is back
            assert hole.reason
            assert hole.span.start >= first - SECOND
            assert hole.span.end <= first + 3 * MINUTE
        assert all(any(hole.span.start <= at < hole.span.end for hole in holes) for at in damage)
