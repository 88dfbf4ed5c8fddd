"""Ten minutes of every venue's streams, with trouble: stored is what a quiet run would have stored."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import polars as pl
import pytest

from dccd_core.adapter.live import Topic
from dccd_core.domain.dataset import Dataset, partition_key
from dccd_core.domain.datatype import DataType
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import MINUTE, SECOND, Ns, TimeSpan, parse_time
from dccd_core.exchanges import NAMES, get
from dccd_core.lake.lake import State
from dccd_core.stream.plan import StreamPlan
from dccd_core.testing.sandbox.process import running_sandbox
from dccd_core.testing.sandbox.stats import Struck
from dccd_core.testing.sandbox.stream_faults import StreamFault, StreamFaultKind
from tests.dccd_core.fetch.world import same
from tests.promises.streams import Stage, stage

START = parse_time("2024-06-05T11:57:30")
END = Ns(START + 10 * MINUTE)
RATE = 20
DEPTH = 10
OPEN = [name for name in NAMES if get(name).live]


def symbols(exchange: str) -> list[Symbol]:
    quote = "USD" if exchange in ("coinbase", "kraken", "bitfinex") else "USDT"
    return [Symbol.parse(f"{base}/{quote}") for base in ("BTC", "ETH")]


def datasets(exchange: str) -> list[Dataset]:
    kinds = ((DataType.TRADES, None), (DataType.OHLC, MINUTE), (DataType.ORDERBOOK, None))
    return [Dataset(exchange, symbol, *kind) for symbol in symbols(exchange) for kind in kinds]


def topic(exchange: str, symbol: Symbol, data_type: DataType) -> str:
    """Return a pattern for what the sandbox calls a topic of this symbol."""
    live = get(exchange).live
    assert live
    channel = live.channel("spot", data_type)
    assert channel
    depth = channel.depth(DEPTH) or 0
    return live.name(Topic(data_type, get(exchange).market(symbol), "spot", None, depth))


def trouble(exchange: str) -> list[StreamFault]:
    """Break one connection after the other, and lose one change of the first symbol's book."""
    from_minute = [(START + n * MINUTE, END) for n in range(10)]
    first, second = symbols(exchange)
    trades = [topic(exchange, symbol, DataType.TRADES) for symbol in (first, second)]
    book, kind = topic(exchange, first, DataType.ORDERBOOK), StreamFaultKind
    return [
        StreamFault(kind=kind.DUPLICATE, probability=0.03),
        *(StreamFault(kind=kind.REORDER, topic=name, probability=0.05) for name in trades),
        StreamFault(kind=kind.GARBAGE, between=from_minute[1], nth=2, topic=trades[1]),
        StreamFault(kind=kind.DROP, between=from_minute[2], nth=50, topic=book),
        StreamFault(kind=kind.ABORT, between=from_minute[4], nth=1),
        StreamFault(kind=kind.DISCONNECT, between=from_minute[6], nth=1),
    ]


@dataclass(frozen=True)
class Outcome:
    stage: Stage
    struck: dict[str, Struck]
    """What each kind of fault struck, once or last."""


@pytest.fixture(scope="module", params=OPEN)
def outcome(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcome]:
    exchange = str(request.param)
    density = {str(symbol): 300_000 for symbol in symbols(exchange)}
    with running_sandbox(trades_per_day=density) as box:
        box.stream_faults(trouble(exchange))
        one = stage(box, tmp_path_factory.mktemp(exchange), exchange, START, RATE)
        wanted = datasets(exchange)

        async def go() -> None:
            await one.record(StreamPlan("all", tuple(wanted), DEPTH, SECOND), END)
            await one.settle(wanted)

        asyncio.run(go())
        yield Outcome(one, {struck.kind: struck for struck in box.stats().struck})


def known(stage: Stage, dataset: Dataset) -> tuple[State, list[TimeSpan]]:
    state = stage.lake.state(dataset, partition_key(dataset.grain, START))
    assert state
    return state, state.ledger.covered()


def rows_in(stage: Stage, dataset: Dataset, span: TimeSpan) -> pl.DataFrame:
    return stage.lake.scan(dataset, span).collect()


def test_all_of_the_trouble_happened(outcome: Outcome) -> None:
    assert {"duplicate", "reorder", "garbage", "drop", "abort", "disconnect"} <= outcome.struck.keys()
    said = " ".join(text for text, _ in outcome.stage.told.notes)
    assert "could not be understood" in said
    assert "begun anew" in said
    assert outcome.stage.told.beats[-1].reconnects == 2
    assert outcome.stage.told.beats[-1].bad == 1


@pytest.mark.parametrize("data_type", [DataType.TRADES, DataType.OHLC])
def test_rows_are_those_of_a_quiet_run(outcome: Outcome, data_type: DataType) -> None:
    one, market = outcome.stage, outcome.stage.box.market
    for dataset in datasets(one.exchange):
        if dataset.data_type is not data_type:
            continue
        state, covered = known(one, dataset)
        assert len(covered) == 1
        assert covered[0].start < START + MINUTE
        assert covered[0].end > END - 2 * MINUTE
        assert state.ledger.gaps() == ()
        if dataset.span:
            truth = market.truth_bars(one.exchange, dataset.symbol, dataset.span, covered[0])
        else:
            truth = market.truth_trades(one.exchange, dataset.symbol, covered[0])
        assert truth.height > 5
        assert same(rows_in(one, dataset, covered[0]), truth)


def test_pictures_of_books_are_those_of_a_quiet_run(outcome: Outcome) -> None:
    one, market = outcome.stage, outcome.stage.box.market
    for dataset in datasets(one.exchange):
        if dataset.data_type is not DataType.ORDERBOOK:
            continue
        _, covered = known(one, dataset)
        expected = [
            Ns(at) for span in covered for at in range(-(-span.start // SECOND) * SECOND, span.end, SECOND)
        ]
        assert len(expected) > 300
        truth = pl.concat([market.truth_book(one.exchange, dataset.symbol, at, DEPTH) for at in expected])
        assert same(one.lake.scan(dataset).collect(), truth)


def test_the_time_in_which_a_book_was_not_known_is_exactly_the_damage(outcome: Outcome) -> None:
    """The connection was lost twice; of the first symbol's book one change was lost as well."""
    one = outcome.stage
    damaged, whole = (Dataset(one.exchange, symbol, DataType.ORDERBOOK) for symbol in symbols(one.exchange))
    breaks = sorted(outcome.struck[kind].at for kind in ("abort", "disconnect"))
    dropped = outcome.struck["drop"].at
    for dataset, damage in ((damaged, [dropped, *breaks]), (whole, breaks)):
        state, covered = known(one, dataset)
        assert [hole.span for hole in state.ledger.holes] == [
            TimeSpan(before.end, after.start) for before, after in pairwise(covered)
        ]
        assert all(hole.reason for hole in state.ledger.holes)
        assert len(state.ledger.holes) == len(damage)
        for hole, at in zip(state.ledger.holes, damage, strict=True):
            assert at - SECOND <= hole.span.start <= at < hole.span.end
            assert hole.span.length < MINUTE
