"""A stream that is killed with -9 over and over: at most its last second is lost, and is filled again."""

import asyncio
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import polars as pl
import pytest

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import HOUR, MINUTE, SECOND, TimeRange, Us, parse_time, union
from dccd_core.lake.lake import LakeStore
from dccd_core.stream.fold import fill_windows, fold_all
from dccd_core.tables import DataType
from dccd_core.testing.sandbox.process import RunningSandbox, running_sandbox
from tests.dccd_core.fetch.world import alike, truth
from tests.promises.recorder import SEEN_EVERY_S, Order, Recording, Seen, recording
from tests.promises.streams import FastClock, Stage

LONG_S = 7.0
"""So long it takes until a stream knows that bars of a second are complete."""
SURE_S = 2.5
"""After this there are trades, and on disk."""
START = parse_time("2024-06-05T12:07:30")
"""Two minutes follow in which both trade in every second or so."""
SYMBOLS = ["BTC/USDT", "ETH/USDT"]
MAY_BE_LOST_S = 1
DEPTH = 10
at = pl.col("ts").cast(pl.Int64)


@dataclass
class Life:
    """What was there right after one kill."""

    lasted_s: float
    began: Us
    killed: Us
    sure: Seen
    """Up to when trades had come a second before, a second in which it did live: it may stand still, too."""
    rows: dict[Dataset, pl.DataFrame]
    """Of the trades since it began."""


@dataclass
class Outcome:
    box: RunningSandbox
    order: Order
    lives: list[Life] = field(default_factory=list[Life])
    notes: list[str] = field(default_factory=list[str])
    torn: list[str] = field(default_factory=list[str])
    """The segments whose ends were torn before the last folding."""

    @property
    def lake(self) -> LakeStore:
        return LakeStore(self.order.lake)

    def datasets(self, data_type: DataType, bar: Us | None = None) -> list[Dataset]:
        return [one for one in self.order.datasets() if (one.data_type, one.span) == (data_type, bar)]

    def covered(self, dataset: Dataset) -> list[TimeRange]:
        states = self.lake.states(dataset).values()
        return union(span for state in states for span in state.ledger.covered())


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcome]:
    with running_sandbox(trades_per_day=dict.fromkeys(SYMBOLS, 2_000_000)) as box:
        order = Order(
            exchange="binance",
            symbols=SYMBOLS,
            bars=[SECOND, MINUTE],
            depth=DEPTH,
            rest_url=box.rest_url("binance"),
            ws_url=box.ws_url("binance"),
            lake=str(tmp_path_factory.mktemp("lake")),
            ahead=START - time.time_ns() // 1_000,
        )
        box.clock(order.clock().now(), frozen=False)
        one = Outcome(box, order)
        for life_s in lives():
            with recording(order) as living:
                began = order.clock().now()
                assert living.connected.wait(60)
                time.sleep(life_s)
                killed = order.clock().now()
                living.process.kill()
            one.notes += living.notes
            one.lives.append(Life(life_s, began, killed, a_second_before(living), look(one, began)))
        one.torn = tear(one.lake)
        asyncio.run(settle(one))
        yield one


def first(rows: pl.DataFrame) -> Us:
    return Us(rows.select(at.first()).item())


def last(rows: pl.DataFrame) -> Us:
    return Us(rows.select(at.last()).item())


def true_rows(one: Outcome, dataset: Dataset, span: TimeRange) -> pl.DataFrame:
    return truth(one.box.market, dataset, span)


def lives() -> list[float]:
    """Return how long each of twenty is: most end before they know anything, the first and the last late."""
    chance = random.Random()
    shorter = (chance.uniform(0, 1.2) if n % 4 else chance.uniform(SURE_S, SURE_S + 1) for n in range(18))
    return [LONG_S, *shorter, LONG_S]


def a_second_before(living: Recording) -> Seen:
    """Return up to when trades had come a second before the end, counted by its own signs of life."""
    back = round(MAY_BE_LOST_S / SEEN_EVERY_S) + 1
    return living.seen[-back] if len(living.seen) >= back else {}


def look(one: Outcome, began: Us) -> dict[Dataset, pl.DataFrame]:
    """Open everything there is; return the trades since then."""
    lake = one.lake
    for dataset in lake.datasets():
        for key in lake.states(dataset):
            lake.verify(dataset, key)
    since = TimeRange(began, Us(began + HOUR))
    scanned = {dataset: lake.scan(dataset, since).collect() for dataset in one.order.datasets()}
    return {dataset: scanned[dataset] for dataset in one.datasets(DataType.TRADES)}


def tear(lake: LakeStore) -> list[str]:
    """Leave half a message at the end of each segment, as a crash of the machine would."""
    segments = lake.segments()
    for segment in segments:
        with Path(segment.path).open("ab") as file:
            file.write(b"\xff\xff\xff\xff\x10\x02")
    return [Path(segment.path).name for segment in segments]


async def settle(one: Outcome) -> None:
    """Fold and fill half a minute later, when all is final by the venue's time."""
    later = Us(one.order.clock().now() + MINUTE // 2)
    one.box.clock(later, frozen=False)
    stage = Stage(one.box, one.lake, FastClock(later, 1), "binance")
    datasets = one.order.datasets()
    async with stage.venue() as venue:
        kinds = dict.fromkeys((each.data_type, each.span) for each in datasets)
        await fold_all(venue, stage.lake, kinds, stage.told)
        await fill_windows(venue, stage.lake, datasets, stage.told)
    one.notes += [text for text, _ in stage.told.notes]


def test_all_but_the_last_second_is_there_after_every_kill(outcome: Outcome) -> None:
    compared = 0
    for life in outcome.lives:
        for dataset, rows in life.rows.items():
            assert rows.height or life.lasted_s < SURE_S
            if rows.height:
                since = Us(first(rows) + 1)
                sure = Us(life.sure.get(f"{dataset.symbol}".replace("/", ""), 0))
                span = TimeRange(since, max(since, sure))
                there = rows.filter(at.is_between(span.start, span.end, "left"))
                assert alike(there, true_rows(outcome, dataset, span))
                compared += there.height
    assert compared > 100


def test_what_was_torn_is_told(outcome: Outcome) -> None:
    said = "".join(outcome.notes)
    assert outcome.torn
    assert all(f"{name}: its last " in said for name in outcome.torn)
    assert outcome.lake.segments() == []


@pytest.mark.parametrize("kind", [(DataType.TRADES, None), (DataType.OHLC, SECOND)])
def test_in_the_end_it_is_as_if_nothing_had_happened(
    outcome: Outcome, kind: tuple[DataType, Us | None]
) -> None:
    for dataset in outcome.datasets(*kind):
        (whole,) = outcome.covered(dataset)
        assert whole.start < outcome.lives[0].killed
        assert whole.end > outcome.lives[-1].began
        assert not any(state.ledger.gaps() for state in outcome.lake.states(dataset).values())
        rows = outcome.lake.scan(dataset).collect()
        span = TimeRange(whole.start, max(whole.end, last(rows)))
        assert alike(
            rows.filter(at.is_between(span.start, span.end, "left")), true_rows(outcome, dataset, span)
        )


def test_minutes_that_were_stored_are_right(outcome: Outcome) -> None:
    """No life was long enough to know that it has all of them."""
    for dataset in outcome.datasets(DataType.OHLC, MINUTE):
        rows = outcome.lake.scan(dataset).collect()
        if rows.height:
            span = TimeRange(first(rows), Us(last(rows) + 1))
            assert alike(rows, true_rows(outcome, dataset, span).join(rows.select("ts"), "ts", "semi"))


def test_every_picture_of_a_book_is_right(outcome: Outcome) -> None:
    for dataset in outcome.datasets(DataType.ORDERBOOK):
        rows = outcome.lake.scan(dataset).collect()
        moments = rows.select(at.unique(maintain_order=True)).to_series().to_list()
        assert len(moments) >= LONG_S
        truth_at = partial(outcome.box.market.truth_book, "binance", dataset.symbol, depth=DEPTH)
        assert alike(rows, pl.concat([truth_at(Us(moment)) for moment in moments]))
