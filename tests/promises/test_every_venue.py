"""What every exchange owes: three partitions of each data type equal the truth, however its pages come."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl
import pytest

from dccd_core.adapter.contract import FULL, Cursor, Endpoint, Exchange, Keeps, Recent, Snapshot, TimeWindows
from dccd_core.domain.dataset import Dataset, partition_keys, partition_span
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, MILLISECOND, MINUTE, SECOND, TimeRange, Us, parse_time
from dccd_core.exchanges import get
from dccd_core.fetch.snapshot import snapshot
from dccd_core.lake.partition.ledger import Condition
from dccd_core.tables import DataType
from dccd_core.testing.sandbox.faults import Fault, FaultKind
from dccd_core.testing.sandbox.server import VENUES
from tests.dccd_core.fetch.world import World, same, transient

NOW = parse_time("2024-06-05T12:00")
SIMULATED = [venue.name for venue in VENUES]
SYMBOLS = {
    ("spot", True): "BTC/USDT",
    ("spot", False): "BTC/USD",
    ("linear", True): "BTC/USDT:USDT",
    ("inverse", True): "BTC/USD:BTC",
}


@dataclass(frozen=True)
class Case:
    exchange: str
    dataset: Dataset
    endpoint: Endpoint

    def __str__(self) -> str:
        return str(self.dataset)


def symbol(exchange: str, kind: str) -> Symbol:
    return Symbol.parse(SYMBOLS[kind, kind != "spot" or exchange not in ("coinbase", "kraken", "bitfinex")])


def cases() -> Iterator[Case]:
    for name in SIMULATED:
        exchange = get(name)
        for kind in sorted(exchange.kinds):
            for data_type in DataType:
                endpoint = exchange.endpoint(kind, data_type)
                if endpoint is None or isinstance(endpoint.paging, Snapshot):
                    continue
                for bar in (endpoint.spans[0] if endpoint.spans else None, *endpoint.spans[-1:]):
                    dataset = Dataset(name, symbol(name, kind), data_type, bar)
                    if bar is None or bar >= MINUTE:
                        yield Case(name, dataset, endpoint)


CASES = list(dict.fromkeys(cases()))


def keys(case: Case) -> list[str]:
    """Name three partitions the venue can serve, the open one among them where it serves no others."""
    grain = case.dataset.grain
    end = NOW if case.endpoint.reach != FULL else parse_time("2022-03-01")
    first = Us(end - 1 - {"day": 2 * DAY, "month": 45 * DAY, "year": 731 * DAY}[grain.value])
    since = case.endpoint.reach.since(NOW, case.dataset.span)
    spans = TimeRange(max(first, since or first), end)
    found = list(partition_keys(grain, spans))[-3:]
    return found[-1:] if case.endpoint.paging == Recent() and case.dataset.span is None else found


def expected(world: World, case: Case, key: str) -> pl.DataFrame:
    span = partition_span(case.dataset.grain, key)
    exchange = get(case.exchange)
    end = min(span.end, NOW if case.dataset.span else Us(NOW - exchange.finality_delay))
    rows = world.truth(case.dataset, key, end)
    if case.dataset.span:
        return rows.filter(pl.col("ts").cast(pl.Int64) + case.dataset.span + exchange.finality_delay <= NOW)
    return rows


def check(world: World, case: Case, tries: int) -> None:
    partial = isinstance(case.endpoint.paging, Recent)
    for key in keys(case):
        for _ in range(tries):
            world.fill(case.dataset, key)
        rows, truth = world.stored(case.dataset, key), expected(world, case, key)
        if partial or (case.endpoint.reach != FULL and rows.height < truth.height):
            assert rows.height >= min(truth.height, 50)
            truth = truth.filter(pl.col("ts") >= rows["ts"][0])
            if case.dataset.span is None:
                truth = truth.tail(rows.height)
        if case.endpoint.paging == Cursor(skips=True):  # ids without an order: those of one moment have none
            rows, truth = (frame.sort("ts", "trade_id") for frame in (rows, truth))
        assert same(rows, truth), f"{case} {key}: {rows.height} rows, {truth.height} wanted"
        if case.endpoint.reach == FULL and partition_span(case.dataset.grain, key).end <= NOW:
            assert world.condition(case.dataset, key) is Condition.AVAILABLE


@pytest.mark.parametrize("case", CASES, ids=str)
def test_partitions_equal_the_truth(case: Case, tmp_path: Path) -> None:
    check(World(tmp_path, NOW, case.exchange, trades_per_day=thin(case)), case, tries=1)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_partitions_equal_the_truth_whatever_happens_to_the_pages(case: Case, tmp_path: Path) -> None:
    world = World(tmp_path, NOW, case.exchange, trades_per_day=thin(case))
    kinds = [FaultKind.DUPLICATED, FaultKind.REORDERED]
    if case.endpoint.paging not in (Recent(), TimeWindows(Keeps.ALL)):
        kinds.insert(0, FaultKind.SHORT_PAGE)  # before the rows are shuffled: a page is cut at one end
    world.exchange = without_long_look_back(world.exchange, case)
    path = case.endpoint.path.rsplit("/", 1)[-1]
    world.faults(*transient(0.01), *(Fault(kind=kind, path=path, probability=0.2) for kind in kinds))
    check(world, case, tries=1)


def without_long_look_back(exchange: Exchange, case: Case) -> Exchange:
    """Where the newest rows are kept, the first row of all is seen in one whole answer or not at all."""
    if case.endpoint.paging != TimeWindows(Keeps.NEWEST):
        return exchange
    endpoint = replace(case.endpoint, oldest=None)
    return replace(exchange, endpoints={DataType.OHLC: endpoint}, special={})


BOOKS = [
    Dataset(name, symbol(name, kind), DataType.ORDERBOOK)
    for name in SIMULATED
    for kind in sorted(get(name).kinds)
    if get(name).endpoint(kind, DataType.ORDERBOOK)
]


@pytest.mark.parametrize("dataset", BOOKS, ids=str)
def test_an_order_book_equals_the_truth(dataset: Dataset, tmp_path: Path) -> None:
    now = Us(NOW + 12_345 * MILLISECOND)
    world = World(tmp_path, now, dataset.exchange)
    key, depth = "2024-06-05", 60
    world.with_venue(lambda venue: snapshot(venue, world.lake, dataset, key, depth))
    rows, truth = (
        world.stored(dataset, key),
        world.market.truth_book(dataset.exchange, dataset.symbol, now, depth),
    )
    assert rows.height == 2 * depth
    assert same(rows.drop("ts"), truth.drop("ts"))
    (at,) = rows["ts"].to_physical().unique()
    assert now - SECOND < at <= now  # some tell it in whole seconds, in the head of the answer


def thin(case: Case) -> dict[str, int]:
    return {str(case.dataset.symbol): 2_000}


def test_every_exchange_has_a_case_for_all_it_serves() -> None:
    served = {
        (name, kind, data_type)
        for name in SIMULATED
        for kind in get(name).kinds
        for data_type in (DataType.OHLC, DataType.TRADES)
        if get(name).endpoint(kind, data_type)
    }
    tried = {(case.exchange, case.dataset.symbol.market_type, case.dataset.data_type) for case in CASES}
    assert tried == served
