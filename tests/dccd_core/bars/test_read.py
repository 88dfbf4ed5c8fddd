"""Longer bars out of a lake: whole ones only, of the longest that fit, and stored ones as they are."""

from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from dccd_core import ConfigError, Lake
from dccd_core.bars.longer import Months
from dccd_core.bars.read import longest_source, scan_longer
from dccd_core.domain.dataset import Dataset, partition_keys, partition_span
from dccd_core.domain.timespan import DAY, HOUR, MINUTE, WEEK, TimeRange, Us, moment, parse_time
from dccd_core.lake.partition.ledger import Asked, Source
from dccd_core.quality.holes import BarCheck, Evidence
from dccd_core.tables import DataType

HOURS = Dataset.parse("binance/ohlc/BTC-USDT/1h")
DAYS = Dataset.parse("binance/ohlc/BTC-USDT/1d")
WEEKS = Dataset.parse("binance/ohlc/BTC-USDT/1w")
WINTER = TimeRange(parse_time("2023-12-20"), parse_time("2024-02-05"))
GAP = parse_time("2024-01-10T05:00")


def store(lake: Lake, dataset: Dataset, part: TimeRange, *without: Us) -> None:
    """Store one bar after another, each with a volume of one."""
    assert dataset.span is not None
    bar = dataset.span
    for key in partition_keys(dataset.grain, part):
        inside = partition_span(dataset.grain, key).clip(part)
        assert inside is not None
        opens = [at for at in range(inside.start, inside.end, bar) if at not in without]
        rows = [(moment(Us(at)), at / bar, at / bar + 2, 1.0, at / bar + 1, 1.0, None, 1) for at in opens]
        with lake.draft(dataset, key) as draft:
            draft.append(pl.DataFrame(rows, schema=DataType.OHLC.table.schema, orient="row"))
            evidence = Evidence(part.end, [inside])
            draft.commit(
                [Asked(inside, Source.REST, part.end, 1, len(rows))], lambda e=evidence: BarCheck(bar, e)
            )


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Hours from Wednesday, 20 December until Monday, 5 February; one of 10 January is missing."""
    lake = Lake(tmp_path)
    store(lake, HOURS, WINTER, GAP)
    return lake


def days(rows: pl.DataFrame) -> list[str]:
    return rows["ts"].dt.strftime("%m-%d").to_list()


def test_weeks_across_a_year_are_whole_and_the_one_with_a_gap_is_left_out(lake: Lake) -> None:
    weeks = lake.read(HOURS, span="1w")
    assert days(weeks) == ["12-25", "01-01", "01-15", "01-22", "01-29"]
    assert weeks["volume"].to_list() == [168.0] * 5
    assert weeks["trades"].to_list() == [168] * 5
    assert weeks["quote_volume"].null_count() == 5
    first = parse_time("2023-12-25") / HOUR
    assert weeks.row(0)[1:5] == (first, first + 169, 1.0, first + 168)


def test_months_are_those_of_the_calendar(lake: Lake) -> None:
    assert lake.read(HOURS, span="1mo").is_empty()  # January lacks an hour, the others began or go on
    store(lake, HOURS, TimeRange(GAP, Us(GAP + HOUR)))
    months = lake.read(HOURS, span="1mo")
    assert days(months) == ["01-01"]
    assert months["volume"].to_list() == [31 * 24.0]


def test_a_bar_is_read_by_when_it_opens(lake: Lake) -> None:
    assert days(lake.read(HOURS, "2024-01-01", "2024-01-22", span="1w")) == ["01-01", "01-15"]
    assert days(lake.read(HOURS, "2024-01-02", "2024-01-22T00:00:01", span="1w")) == ["01-15", "01-22"]
    assert lake.read(HOURS, "2024-01-02", "2024-01-03", span="1w").is_empty()
    with pytest.raises(ConfigError, match="nothing of"):
        lake.read(HOURS, "2020", "2021", span="1w")


def test_filters_columns_and_limits_are_kept(lake: Lake) -> None:
    frame = lake.scan("binance/ohlc/BTC-USDT/1m", span="1w")  # any bars of the market name it
    assert frame.select("ts", "volume").head(2).collect().shape == (2, 2)
    late = frame.filter(pl.col("ts") > datetime(2024, 1, 16, tzinfo=moment(GAP).tzinfo))
    assert days(late.collect()) == ["01-22", "01-29"]


def test_bars_that_are_stored_are_read_and_the_longest_that_fit_are_taken(lake: Lake) -> None:
    store(lake, DAYS, TimeRange(parse_time("2024-01-08"), parse_time("2024-01-15")))
    assert lake.read(HOURS, span="1w")["volume"].to_list() == [7.0]
    store(lake, WEEKS, TimeRange(parse_time("2024-01-15"), parse_time("2024-01-22")))
    assert lake.read(HOURS, span="1w")["volume"].to_list() == [1.0]


def test_what_cannot_be_made_is_said(lake: Lake) -> None:
    for span in ("90m", "30m", "100"):
        with pytest.raises(ConfigError, match="did you mean binance/ohlc/BTC-USDT/1h"):
            lake.read(HOURS, span=span)
    with pytest.raises(ConfigError, match="has no bars"):
        lake.read("binance/trades/BTC-USDT", span="1w")


def test_the_longest_that_divides_and_of_the_same_market() -> None:
    other = Dataset.parse("binance/ohlc/ETH-USDT/1d")
    minutes = Dataset("binance", HOURS.symbol, HOURS.data_type, MINUTE)
    stored = [minutes, HOURS, other, Dataset.parse("binance/trades/BTC-USDT")]
    assert longest_source(stored, WEEKS, WEEK) == HOURS
    assert longest_source([*stored, WEEKS], WEEKS, Months(1)) == HOURS
    assert longest_source(stored, WEEKS, Us(90 * MINUTE)) == minutes
    assert longest_source([other], WEEKS, WEEK) is None


def test_each_collect_makes_them_of_what_is_there_by_then(lake: Lake) -> None:
    frame = scan_longer(lake, HOURS, DAY, TimeRange(parse_time("2024-01-10"), parse_time("2024-01-11")))
    assert frame.collect().is_empty()
    store(lake, HOURS, TimeRange(GAP, Us(GAP + HOUR)))
    assert frame.collect()["volume"].to_list() == [24.0]
