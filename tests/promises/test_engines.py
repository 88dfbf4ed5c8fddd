"""One data type is one table for every engine, with its default options: all exchanges, spans and periods."""

import shutil
from collections.abc import Sequence

import duckdb
import polars as pl
import pytest

from dccd_core.domain.dataset import Dataset, partition_keys, partition_span
from dccd_core.domain.timespan import SECOND, TimeRange, Us, parse_time
from dccd_core.keep.pins import Pins
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.partition.ledger import Asked, Source
from dccd_core.quality.holes import NoCheck
from dccd_core.tables import TIME

Row = tuple[str, str, str, int, int, int, float]
"""Exchange, symbol, span ("" where there is none), rows, first and last ts in us, the sum of a column."""
COLUMNS = {"ohlc": "close", "trades": "price", "orderbook": "price"}
SOURCES = {"binance": "BTC-USDT", "bybit": "BTC-USDT_USDT", "kraken": "BTC-USD"}
BARS = ("2023-12-31T22:00", "2024-02-01T03:00")
ROWS = ("2024-01-30T23:59", "2024-02-01T00:01")
LATER = "SELECT count(*) FROM {} WHERE ts >= TIMESTAMPTZ '2024-01-31 00:00+00'"


def rows_of(dataset: Dataset, part: TimeRange) -> pl.DataFrame:
    """Make rows of whatever table, one each span or second."""
    table, every = dataset.data_type.table, dataset.span or SECOND
    ts = pl.int_range(part.start, part.end, every, eager=True)
    price = (ts // SECOND % 977).cast(pl.Float64) + 0.5
    known: dict[str, pl.Series | pl.Expr] = {
        "ts": ts.cast(TIME),
        "received": pl.lit(None),
        "quote_volume": pl.lit(None),
        "side": pl.lit("bid" if table.pictures else "buy"),
        "level": pl.lit(0),
        "trades": pl.lit(3),
        "trade_id": (ts // every).cast(pl.String),
    }
    return pl.select([known.get(name, price).alias(name) for name in table.schema]).cast(table.schema)  # pyright: ignore[reportArgumentType]


@pytest.fixture(scope="module", params=["a lake that has a pin", "the pin"])
def lake(request: pytest.FixtureRequest, pinned: LakeStore) -> LakeStore:
    """An engine that reads a data type of the lake sees no pin, and a pin is read as the lake is."""
    return pinned if request.param != "the pin" else LakeStore(Pins(pinned).url("one"))


@pytest.fixture(scope="module")
def pinned(tmp_path_factory: pytest.TempPathFactory) -> LakeStore:
    """Three exchanges; bars of a minute by month and of an hour by year, trades and books by day."""
    lake = LakeStore(tmp_path_factory.mktemp("engines"))
    for exchange, slug in SOURCES.items():
        for kind in ("ohlc/{}/1m", "ohlc/{}/1h", "trades/{}", "orderbook/{}"):
            dataset = Dataset.parse(f"{exchange}/{kind.format(slug)}")
            whole = TimeRange(*map(parse_time, BARS if dataset.span else ROWS))
            for key in partition_keys(dataset.grain, whole):
                part = partition_span(dataset.grain, key).clip(whole)
                assert part
                with lake.draft(dataset, key) as draft:
                    rows = rows_of(dataset, part)
                    draft.append(rows)
                    draft.commit([Asked(part, Source.REST, part.end, 1, rows.height)], NoCheck)
                lake.quarantine(dataset, key, rows.head(1).with_columns(reason=pl.lit("a test")))
    Pins(lake).make("one", [], None, lambda _: None, Us(0))
    return lake


def told_by(lake: LakeStore, data_type: str) -> list[Row]:
    """Return what our own reader says."""
    found = list[Row]()
    for dataset in lake.datasets():
        if str(dataset.data_type) == data_type:
            ts, column = pl.col("ts").cast(pl.Int64), pl.col(COLUMNS[data_type])
            sums = lake.scan(dataset).select(
                pl.len(), ts.min().alias("a"), ts.max().alias("b"), column.sum().alias("c")
            )
            span = dataset.parts[3] if dataset.span else ""
            found.append((dataset.exchange, dataset.symbol.slug, span, *sums.collect().row(0)))
    return sorted(found)


def groups_of(data_type: str) -> list[str]:
    return ["exchange", "symbol", *(["span"] if data_type == "ohlc" else [])]


def as_rows(found: Sequence[Sequence[object]], data_type: str) -> list[Row]:
    """Put in a span where the table has none."""
    whole = found if data_type == "ohlc" else [(*one[:2], "", *one[2:]) for one in found]
    return sorted(tuple(one) for one in whole)  # pyright: ignore[reportReturnType]


def sql(data_type: str, micros: str) -> str:
    groups, column = ", ".join(groups_of(data_type)), COLUMNS[data_type]
    return (
        f"SELECT {groups}, count(*), min({micros}(ts)), max({micros}(ts)), sum({column}) "
        f"FROM {{}} GROUP BY {groups}"
    )


@pytest.mark.parametrize("data_type", COLUMNS)
def test_duckdb_reads_a_data_type_as_one_table(lake: LakeStore, data_type: str) -> None:
    query = sql(data_type, "epoch_us").format(f"'{lake.url}/{data_type}/**/*.parquet'")
    with duckdb.connect() as connection:
        assert as_rows(connection.execute(query).fetchall(), data_type) == told_by(lake, data_type)
        trades = LATER.format(f"'{lake.url}/trades/**/*.parquet'")
        assert connection.execute(trades).fetchall() == [(3 * 86_460,)]


@pytest.mark.parametrize("data_type", COLUMNS)
def test_polars_reads_a_data_type_as_one_table(lake: LakeStore, data_type: str) -> None:
    """By a pattern and one option."""
    ts = pl.col("ts").cast(pl.Int64)
    source = pl.scan_parquet(f"{lake.url}/{data_type}/**/data.parquet", hive_partitioning=True)
    found = (
        source.group_by(groups_of(data_type))
        .agg(pl.len(), ts.min().alias("a"), ts.max().alias("b"), pl.col(COLUMNS[data_type]).sum().alias("c"))
        .collect()
    )
    assert as_rows(found.rows(), data_type) == told_by(lake, data_type)


@pytest.mark.slow
def test_spark_reads_each_data_type_as_one_table(lake: LakeStore) -> None:
    sql_of_spark = pytest.importorskip("pyspark.sql", reason="pyspark is in the group `spark`")
    if shutil.which("java") is None:
        pytest.skip("Spark needs Java")
    session = (
        sql_of_spark.SparkSession.builder.master("local[1]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.sql.shuffle.partitions", "1")
        .getOrCreate()
    )
    try:
        for data_type in COLUMNS:
            session.read.parquet(f"{lake.url}/{data_type}").createOrReplaceTempView(data_type)
            found = session.sql(sql(data_type, "unix_micros").format(data_type)).collect()
            assert as_rows([tuple(one) for one in found], data_type) == told_by(lake, data_type)
    finally:
        session.stop()
