"""Rows of dccd 3 made rows of ours, however they are cut into batches."""

import polars as pl
import pytest

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import DamagedFile
from dccd_core.domain.timespan import SECOND, TimeRange, Us
from dccd_core.imports.clean import Cleaner
from dccd_core.imports.quirks import Refusal, Repair, quirk_of
from tests.dccd_core.imports.old import NOW, NS, at, bars, picture, trades

YEAR = TimeRange(at("2024-01-01"), at("2025-01-01"))


def cleaner(name: str = "binance/ohlc/BTC-USDT/1m") -> Cleaner:
    dataset = Dataset.parse(name)
    return Cleaner(dataset, quirk_of(dataset.exchange), YEAR, NOW, NOW)


def cleaned(one: Cleaner, *batches: pl.DataFrame) -> pl.DataFrame:
    return one.bucket(pl.concat([one.timed(batch)[0] for batch in batches]))[0]


@pytest.mark.parametrize(("unit", "in_a_second"), [("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)])
def test_units_of_time_are_told_by_their_size(unit: str, in_a_second: int) -> None:
    given = bars("2024-01-01", 2)
    one = cleaner()
    found = cleaned(one, given.with_columns(TS=pl.col("TS") // (10**9 // in_a_second)))
    assert found["ts"].to_physical().to_list() == [ts // NS for ts in given["TS"]]
    assert one.counts.repaired == ({} if unit == "ns" else {Repair.UNITS: 2})


def test_seconds_with_decimals_and_datetimes_are_times_too() -> None:
    told = at("2024-01-31T10:00:00.25Z")
    for column in (pl.Series([told / 10**6]), pl.Series([told]).cast(pl.Datetime("us"))):
        given = trades([(0, 1.0, "1")]).with_columns(TS=column)
        found = cleaned(cleaner("binance/trades/BTC-USDT"), given)
        assert found["ts"].to_physical().to_list() == [told]


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        (bars("2024-01-01", 1).drop("TS"), "no column TS"),
        (bars("2024-01-01", 1).drop("open", "volume"), "no column open, volume"),
        (bars("2024-01-01", 1).with_columns(TS=pl.lit("then")), "no number"),
    ],
)
def test_a_file_without_what_every_row_needs_is_refused(rows: pl.DataFrame, why: str) -> None:
    with pytest.raises(DamagedFile, match=why):
        cleaner().timed(rows)


def test_sides_are_read_however_they_are_written_and_never_made_up() -> None:
    sides = ["Buy", "s", "SELL", None, "other"]
    given = trades((n, 1.0, str(n)) for n in range(5)).with_columns(side=pl.Series(sides))
    one = cleaner("binance/trades/BTC-USDT")
    assert cleaned(one, given)["side"].to_list() == ["buy", "sell", "sell", None, None]
    assert one.counts.repaired == {Repair.NO_SIDE: 1}


@pytest.mark.parametrize("name", ["", "None", "nan", pytest.param(None, id="null")])
def test_an_id_that_says_nothing_is_none(name: str | None) -> None:
    given = trades([(1, 1.0, name), (1, 1.0, name)])
    found = cleaned(cleaner("binance/trades/BTC-USDT"), given)
    assert found["trade_id"].to_list() == [None, None], "two equal trades without ids are two"


def test_amounts_of_contracts_become_amounts_of_the_base() -> None:
    given = trades([(1, 50_000.0, "a"), (2, 25_000.0, "b")]).with_columns(amount=100.0)
    found = cleaned(cleaner("bitmex/trades/BTC-USD_BTC"), given)
    assert found["amount"].to_list() == [100 / 50_000, 100 / 25_000]


def test_an_empty_level_of_a_book_is_refused_and_takes_no_place() -> None:
    given = picture(at("2024-01-31"), [99.0, 98.0, 97.0], [101.0])
    given = given.with_columns(amount=pl.when(pl.col("price") == 98).then(0.0).otherwise(1.0))
    one = cleaner("okx/orderbook/BTC-USDT")
    found = cleaned(one, given)
    assert found.select("side", "level", "price").rows() == [
        ("bid", 0, 99.0),
        ("bid", 1, 97.0),
        ("ask", 0, 101.0),
    ]
    assert one.counts.refused == {"amount is no positive number": 1}


def test_a_level_that_stands_there_twice_is_counted() -> None:
    given = picture(at("2024-01-31"), [99.0, 99.0], [101.0])
    one = cleaner("okx/orderbook/BTC-USDT")
    assert cleaned(one, given).height == 2
    assert one.counts.repaired == {Repair.TWICE: 1}


def test_a_bar_that_dccd_2_made_up_shows_over_the_edge_of_a_bucket() -> None:
    given = bars("2024-01-31T23:59", 1).with_columns(TS=pl.col("TS") // 10**9)
    copied = given.with_columns(TS=pl.col("TS") + 60)
    one = cleaner()
    assert cleaned(one, given).height == 1
    assert cleaned(one, copied).height == 0
    assert one.counts.refused == {Refusal.FILLED: 1}
    quiet = cleaner()
    assert cleaned(quiet, given.with_columns(volume=0.0)).height == 1
    assert cleaned(quiet, copied.with_columns(volume=0.0)).height == 1, "nothing was traded in both"


def test_disorder_shows_between_batches_too() -> None:
    one = cleaner()
    first, second = bars("2024-01-02", 2), bars("2024-01-01", 2)
    cleaned(one, first, second)
    assert one.counts.repaired == {Repair.ORDER: 1}
    assert (one.first, one.last) == (at("2024-01-01"), Us(at("2024-01-02") + 60 * SECOND))
