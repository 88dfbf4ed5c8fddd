"""Bars built from trades: exactly those of the venue, and only where all trades are known."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import polars as pl
import pytest

from dccd_core.bars.derive import Style, derive
from dccd_core.domain.dataset import Dataset, ListingPeriod, partition_keys, partition_span
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, HOUR, MINUTE, SECOND, TimeRange, Us
from dccd_core.fetch.fill import Filled
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.partition.ledger import Asked, Condition, Source, condition
from dccd_core.quality.holes import BEFORE_LISTING, NO_TRADES, Evidence, IdCheck, NoCheck
from dccd_core.tables import DataType
from dccd_core.testing.sandbox.dialect import DIALECTS
from dccd_core.testing.sandbox.market import Market
from tests.dccd_core.fetch.world import NOW, same, span

MARCH = span("2024-03-05", "2024-03-07")
SYMBOLS = {"kraken": "BTC/USD", "coinbase": "BTC/USD", "bitmex": "BTC/USD:BTC", "binance": "BTC/USDT"}


class Store:
    """A lake with the trades of some days."""

    def __init__(self, folder: Path, exchange: str, per_day: int = 3_000) -> None:
        self.symbol = Symbol.parse(SYMBOLS[exchange])
        self.exchange = exchange
        self.lake = LakeStore(folder)
        self.market = Market(trades_per_day={SYMBOLS[exchange]: per_day})
        self.trades = Dataset(exchange, self.symbol, DataType.TRADES)
        dialect = DIALECTS[exchange]
        self.style = Style(dialect.sparse, dialect.carries_open)

    def add(self, part: TimeRange, without: TimeRange | None = None) -> None:
        rows = self.market.truth_trades(self.exchange, self.symbol, part)
        if without:
            at = pl.col("ts").cast(pl.Int64)
            rows = rows.filter((at < without.start) | (at >= without.end))
        for key in partition_keys(self.trades.grain, part):
            day = partition_span(self.trades.grain, key).clip(part)
            assert day is not None
            known = partial(IdCheck, Evidence(NOW, [day]))
            inside = rows.filter(
                pl.col("ts").cast(pl.Int64) >= day.start, pl.col("ts").cast(pl.Int64) < day.end
            )
            asked = Asked(day, Source.REST, NOW, 1, inside.height)
            with self.lake.draft(self.trades, key) as draft:
                draft.append(inside)
                draft.commit([asked], NoCheck if self.exchange == "bitmex" else known)

    def bars(self, bar: Us) -> Dataset:
        return Dataset(self.exchange, self.symbol, DataType.OHLC, bar)

    def derive(self, bar: Us, key: str, now: Us = NOW) -> Filled:
        return derive(self.lake, self.bars(bar), key, self.style, now, unwatched)

    def stored(self, bar: Us, key: str) -> pl.DataFrame:
        return pl.concat(list(self.lake.chunks(self.bars(bar), key)))

    def truth(self, bar: Us, part: TimeRange) -> pl.DataFrame:
        return self.market.truth_bars(self.exchange, self.symbol, bar, part)


def unwatched(_dataset: Dataset, _key: str, _rows: int, _until: Us) -> None:
    """Let the pages pass."""


def prices_and_counts(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select("ts", "open", "high", "low", "close", "volume")


@pytest.mark.parametrize("bar", [SECOND, MINUTE, HOUR, DAY], ids=["1s", "1m", "1h", "1d"])
def test_bars_of_whole_days_equal_the_venue_s_own(tmp_path: Path, bar: Us) -> None:
    store = Store(tmp_path, "binance")
    store.add(TimeRange(Us(MARCH.start - DAY), MARCH.end))
    key = "2024-03" if bar < HOUR else "2024"
    store.derive(bar, key)
    rows = store.stored(bar, key).filter(pl.col("ts").cast(pl.Int64) >= MARCH.start)
    assert same(rows, store.truth(bar, MARCH))


@pytest.mark.parametrize("exchange", ["kraken", "coinbase", "bitmex"])
def test_each_venue_s_way_of_making_bars_is_kept(tmp_path: Path, exchange: str) -> None:
    store = Store(tmp_path, exchange)
    store.add(TimeRange(Us(MARCH.start - DAY), MARCH.end))
    store.derive(MINUTE, "2024-03")
    rows = store.stored(MINUTE, "2024-03").filter(pl.col("ts").cast(pl.Int64) >= MARCH.start)
    truth = store.truth(MINUTE, MARCH)
    assert rows["trades"].sum() == store.market.truth_trades(exchange, store.symbol, MARCH).height
    assert same(prices_and_counts(rows), prices_and_counts(truth))


def test_a_day_of_many_trades_is_summed_in_portions(tmp_path: Path) -> None:
    store = Store(tmp_path, "binance", per_day=300_000)
    store.add(span("2024-03-05", "2024-03-06"))
    store.derive(HOUR, "2024")
    assert same(store.stored(HOUR, "2024"), store.truth(HOUR, span("2024-03-05", "2024-03-06")))


def test_only_bars_whose_trades_are_all_known_are_built(tmp_path: Path) -> None:
    store = Store(tmp_path, "binance")
    part = TimeRange(Us(MARCH.start + 90 * SECOND), Us(MARCH.start + 10 * MINUTE + 30 * SECOND))
    store.add(part)
    filled = store.derive(MINUTE, "2024-03")
    whole = TimeRange(Us(MARCH.start + 2 * MINUTE), Us(MARCH.start + 10 * MINUTE))
    assert filled.state is not None
    assert filled.state.ledger.covered() == [whole]
    rows = store.stored(MINUTE, "2024-03")
    truth = store.truth(MINUTE, whole)
    assert same(rows, truth.filter(pl.col("ts") >= rows["ts"][0]))
    assert filled.state.ledger.gaps() == ()


def test_a_gap_in_the_trades_leaves_its_bars_out_until_it_is_mended(tmp_path: Path) -> None:
    store, hour = Store(tmp_path, "binance"), HOUR
    gap = TimeRange(Us(MARCH.start + 3 * hour), Us(MARCH.start + 5 * hour))
    store.add(TimeRange(Us(MARCH.start - DAY), MARCH.end), without=gap)
    store.derive(hour, "2024")
    opens = store.stored(hour, "2024")["ts"].cast(pl.Int64).to_list()
    assert not {gap.start, gap.start + hour} & set(opens)
    store.add(TimeRange(MARCH.start, Us(MARCH.start + DAY)))
    store.derive(hour, "2024")
    rows = store.stored(hour, "2024").filter(pl.col("ts").cast(pl.Int64) >= MARCH.start)
    assert same(rows, store.truth(hour, MARCH))


def test_a_second_time_builds_nothing_new(tmp_path: Path) -> None:
    store = Store(tmp_path, "kraken")
    store.add(MARCH)
    first = store.derive(MINUTE, "2024-03")
    assert store.derive(MINUTE, "2024-03") == Filled(first.state)


def test_without_trades_there_is_nothing_to_know(tmp_path: Path) -> None:
    assert Store(tmp_path, "kraken").derive(MINUTE, "2024-03") == Filled(None)


def test_a_month_of_trades_makes_a_complete_month_of_bars(tmp_path: Path) -> None:
    store = Store(tmp_path, "kraken", per_day=200)
    month = partition_span(store.bars(MINUTE).grain, "2024-02")
    store.add(month)
    state = store.derive(MINUTE, "2024-02").state
    assert state is not None
    assert condition(state.ledger, month) is Condition.AVAILABLE
    assert all(hole.proof for hole in state.ledger.holes)


def test_before_the_listing_there_is_nothing_to_build(tmp_path: Path) -> None:
    store = Store(tmp_path, "kraken", per_day=200)
    month = partition_span(store.bars(MINUTE).grain, "2024-02")
    listed = Us(month.end - 2 * DAY)
    store.add(TimeRange(listed, month.end))
    style = replace(store.style, life=ListingPeriod(listed))
    state = derive(store.lake, store.bars(MINUTE), "2024-02", style, NOW, unwatched).state
    assert state is not None
    assert condition(state.ledger, month) is Condition.AVAILABLE
    assert {hole.proof for hole in state.ledger.holes} <= {BEFORE_LISTING, NO_TRADES}


def test_only_whole_bars_of_what_was_asked_for_are_built(tmp_path: Path) -> None:
    store = Store(tmp_path, "kraken")
    store.add(MARCH)
    part = TimeRange(Us(MARCH.start + 90 * SECOND), Us(MARCH.start + 10 * MINUTE))
    derive(store.lake, store.bars(MINUTE), "2024-03", store.style, NOW, unwatched, within=part)
    state = store.lake.state(store.bars(MINUTE), "2024-03")
    assert state
    assert state.ledger.covered() == [TimeRange(Us(MARCH.start + 2 * MINUTE), part.end)]
    store.derive(MINUTE, "2024-03")
    assert same(
        prices_and_counts(store.stored(MINUTE, "2024-03")), prices_and_counts(store.truth(MINUTE, MARCH))
    )
