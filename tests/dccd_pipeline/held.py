"""Partitions that a lake holds, as tests need them."""

from collections.abc import Iterable

import polars as pl

from dccd_core.domain.dataset import Dataset, partition_span
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import HOUR, MINUTE, TimeRange, Us, parse_time
from dccd_core.lake.lake import LakeStore, State
from dccd_core.lake.partition.ledger import Asked, Hole, Ledger, Source
from dccd_core.quality.holes import BarCheck, Evidence, NoCheck
from dccd_core.tables import TIME, DataType

BTC = Symbol("BTC", "USDT")
HOURS = Dataset("binance", BTC, DataType.OHLC, HOUR)
MINUTES = Dataset("binance", BTC, DataType.OHLC, MINUTE)
TRADES = Dataset("binance", BTC, DataType.TRADES)
BOOKS = Dataset("binance", BTC, DataType.ORDERBOOK)
LONG_AFTER = parse_time("2026-01-01")


def bars(opens: Iterable[int], **wrong: float) -> pl.DataFrame:
    """Flat bars that open at these moments, but for what is ``wrong``."""
    prices = dict.fromkeys(("open", "high", "low", "close", "volume", "quote_volume"), 1.0) | wrong
    ts = pl.Series("ts", list(opens), dtype=pl.Int64).cast(TIME)
    rows = pl.DataFrame(ts).with_columns(**{name: pl.lit(value) for name, value in prices.items()})
    return rows.with_columns(trades=pl.lit(1)).cast(DataType.OHLC.table.schema)


def hold(
    lake: LakeStore,
    dataset: Dataset,
    key: str,
    rows: pl.DataFrame,
    *,
    until: Us | None = None,
    at: Us = LONG_AFTER,
) -> State:
    """Store rows as the answer to a question for the partition, or for its part before ``until``."""
    span = partition_span(dataset.grain, key)
    asked = Asked(TimeRange(span.start, until or span.end), Source.REST, at, 1, rows.height)

    def judge() -> BarCheck | NoCheck:
        evidence = Evidence(at, [asked.span], refused=lake.quarantined(dataset, key))
        return BarCheck(dataset.span, evidence) if dataset.span else NoCheck()

    with lake.draft(dataset, key) as draft:
        draft.append(rows)
        return draft.commit([asked], judge)


def whole(dataset: Dataset, key: str) -> range:
    """Return the opens of all bars of a partition."""
    assert dataset.span
    span = partition_span(dataset.grain, key)
    return range(span.start, span.end, dataset.span)


def state(dataset: Dataset, key: str, *holes: Hole, until: Us | None = None, quarantined: int = 0) -> State:
    """Say that a partition was asked for, and what was found out about its holes."""
    span = partition_span(dataset.grain, key)
    asked = Asked(TimeRange(span.start, until or span.end), Source.REST, LONG_AFTER, 2, 3)
    ledger = Ledger((asked,), holes, quarantined)
    return State(
        f"{key}/data.parquet", 3, span.start, Us(span.start + 2 * HOUR), 456, f"hash of {key}", ledger
    )
