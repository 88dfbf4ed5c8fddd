"""A whole store of dccd 3 taken over: its defects, one by one, are repaired or refused by name."""

import sqlite3
from collections.abc import Collection
from pathlib import Path

import polars as pl
import pytest

from dccd_core.domain.dataset import Dataset, partition_span
from dccd_core.domain.errors import ConfigError
from dccd_core.domain.timespan import DAY, HOUR, MINUTE, SECOND, TimeRange, Us
from dccd_core.imports.quirks import Refusal, Remark, Repair
from dccd_core.imports.report import DatasetReport, ImportReport
from dccd_core.imports.run import import_store
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.partition.ledger import Asked, Condition, Source, condition
from dccd_core.lake.partition.merge import TWICE
from dccd_core.lake.partition.quarantine import read
from dccd_core.lake.store.opening import open_store
from dccd_core.quality.coverage import IMPORTED, gaps, wanted_time
from dccd_core.quality.holes import NoCheck
from dccd_core.tables import TIME, DataType
from tests.buckets import own_bucket, s3_server
from tests.dccd_core.imports.old import NOW, NS, Old, at, bars, picture, trades

MINUTES = Dataset.parse("binance/ohlc/BTC-USDT/1m")
FILE = "binance/ohlc/BTC-USDT/1m/2024.parquet"
TICKS = Dataset.parse("binance/trades/BTC-USDT")
JANUARY = partition_span(MINUTES.grain, "2024-01")


@pytest.fixture
def old(tmp_path: Path) -> Old:
    return Old(tmp_path / "old")


@pytest.fixture
def lake(tmp_path: Path) -> LakeStore:
    return LakeStore(tmp_path / "lake")


def take(old: Old, lake: LakeStore, trust: Collection[str] = (), *, dry_run: bool = False) -> ImportReport:
    before = old.marks()
    report = import_store(old.root, lake, NOW, trust=trust, dry_run=dry_run)
    assert old.marks() == before, "the old store is never written to"
    for one in report.datasets:
        refused = sum(one.refused.values())
        assert one.read == one.taken + one.known + refused + one.repaired[Repair.TWICE], one
    return report


def only(report: ImportReport) -> DatasetReport:
    (one,) = report.datasets
    return one


def rows(lake: LakeStore, dataset: Dataset = MINUTES) -> pl.DataFrame:
    return lake.scan(dataset).collect()


def opens(lake: LakeStore, dataset: Dataset = MINUTES) -> list[int]:
    return rows(lake, dataset)["ts"].to_physical().to_list()


def aside(lake: LakeStore, report: DatasetReport) -> pl.DataFrame:
    assert report.aside
    store, dataset = open_store(lake.url), Dataset.parse(report.dataset)
    return read(store, report.aside.removeprefix(f"{Path(lake.url).absolute()}/"), dataset.data_type)


def test_rows_are_those_of_the_old_store_in_the_partitions_of_ours(old: Old, lake: LakeStore) -> None:
    given = bars("2024-01-31T23:58", 5)
    old.put(FILE, given)
    report = only(take(old, lake))
    assert (report.read, report.taken, report.whole) == (5, 5, True)
    assert lake.keys(MINUTES) == ["2024-01", "2024-02"]
    found = rows(lake)
    assert found["ts"].to_physical().to_list() == [ts // NS for ts in given["TS"]]
    assert found.drop("ts").rows() == given.drop("TS").rows()


def test_nothing_counts_as_proven_until_somebody_asks(old: Old, lake: LakeStore) -> None:
    old.put(FILE, bars("2024-01-01", 60))
    take(old, lake)
    state = lake.known(MINUTES, "2024-01")
    assert state is not None
    assert state.ledger.covered() == []
    assert condition(state.ledger, JANUARY) is Condition.PENDING
    states = lake.all_known(MINUTES)
    told = gaps(MINUTES, states, wanted_time(MINUTES, states, NOW))
    assert [(gap.span.length, gap.why) for gap in told[:1]] == [(HOUR, IMPORTED)]


def test_what_is_trusted_by_name_counts_and_its_holes_are_named(old: Old, lake: LakeStore) -> None:
    """d2: a hole of two bars was invisible to dccd 3."""
    given = bars("2024-01-01", 60)
    old.put(FILE, given.filter(~pl.col("TS").is_in(given["TS"][20:22].to_list())))
    take(old, lake, [str(MINUTES)])
    state = lake.known(MINUTES, "2024-01")
    assert state is not None
    (asked,) = state.ledger.asked
    known = TimeRange(JANUARY.start, Us(JANUARY.start + 59 * MINUTE))
    assert (asked.source, asked.span) == (Source.IMPORT, known), "the newest bar may not have been over"
    assert [(gap.span.length, gap.missing) for gap in state.ledger.gaps()] == [(2 * MINUTE, 2)]


def test_to_trust_what_is_not_there_is_refused_with_the_nearest(old: Old, lake: LakeStore) -> None:
    old.put(FILE, bars("2024-01-01", 60))
    with pytest.raises(ConfigError, match="did you mean binance/ohlc/BTC-USDT/1m"):
        take(old, lake, ["binance/ohlc/BTC-USDT/5m"])


def test_d3_a_bar_that_was_not_over_is_not_taken(old: Old, lake: LakeStore) -> None:
    old.put(FILE, bars("2024-01-01", 3), modified=at("2024-01-01T00:02:59.9Z"))
    report = take(old, lake)
    assert only(report).refused == {Refusal.RUNNING: 1}
    assert report.whole, "every store ends in one"
    assert opens(lake) == [at("2024-01-01"), at("2024-01-01T00:01Z")]


def test_d3_a_file_with_the_time_of_a_copy_loses_no_more_than_its_newest_bar(
    old: Old, lake: LakeStore
) -> None:
    old.put(FILE, bars("2024-01-01", 3), modified=at("1980-01-01"))
    assert only(take(old, lake)).refused == {Refusal.RUNNING: 1}


def test_d4_bars_by_their_close_are_moved_to_their_open(old: Old, lake: LakeStore) -> None:
    """The first of a year lies in the file of that year, and belongs to the year before."""
    old.put("bitmex/ohlc/BTC-USD/1m/2024.parquet", bars("2024-01-01", 3, volume=200.0, open=99.0))
    dataset = Dataset.parse("bitmex/ohlc/BTC-USD_BTC/1m")
    report = only(take(old, lake, [str(dataset)]))
    assert report.repaired == {Repair.CLOSE: 3, Repair.VOLUME: 3}
    assert opens(lake, dataset) == [Us(JANUARY.start + n * MINUTE) for n in (-1, 0, 1)]
    assert lake.keys(dataset) == ["2023-12", "2024-01"]
    found = rows(lake, dataset)
    assert found["quote_volume"].to_list() == [200.0] * 3
    assert found["volume"].to_list() == [200 / 100, 200 / 101, 200 / 102]


def test_a_volume_that_could_only_be_reckoned_is_refused_unless_the_dataset_is_trusted(
    old: Old, lake: LakeStore
) -> None:
    """It was reckoned for everybody, and stood there as if BitMEX had said it."""
    given = bars("2024-01-01", 3, volume=200.0, open=99.0)
    quiet = given.with_columns(volume=pl.Series([200.0, 0.0, 200.0]))
    old.put("bitmex/ohlc/BTC-USD/1m/2024.parquet", quiet)
    dataset = Dataset.parse("bitmex/ohlc/BTC-USD_BTC/1m")
    report = take(old, lake)
    one = only(report)
    assert (one.taken, one.refused, report.whole) == (1, {Refusal.CONTRACTS: 2}, False)
    assert rows(lake, dataset).select("volume", "quote_volume").rows() == [(0.0, 0.0)]
    assert aside(lake, one)["volume"].to_list() == [200.0] * 2
    trusted = take(old, lake, [str(dataset)])
    assert (only(trusted).refused, trusted.whole) == ({}, True)
    assert rows(lake, dataset)["quote_volume"].to_list() == [200.0, 0.0, 200.0]


def test_d5_bars_of_hong_kongs_day_are_refused_by_name(old: Old, lake: LakeStore) -> None:
    old.put("okx/ohlc/BTC-USDT/1d/2024.parquet", bars("2024-01-01T16:00", 3, DAY))
    old.put("okx/ohlc/BTC-USDT/1h/2024.parquet", bars("2024-01-01T16:00", 3, HOUR))
    days, hours = take(old, lake).datasets
    assert (days.taken, days.refused, days.whole) == (0, {Refusal.HONG_KONG: 3}, False)
    assert (hours.taken + hours.known, hours.whole) == (3, True)
    assert lake.keys(Dataset.parse(days.dataset)) == []
    assert aside(lake, days)["reason"].to_list() == [Refusal.HONG_KONG] * 3


def test_d7_trades_without_ids_make_way_for_what_the_venue_answers(old: Old, lake: LakeStore) -> None:
    kraken = Dataset.parse("kraken/trades/BTC-USD")
    old.put("kraken/trades/BTC-USD/2024-01-31.parquet", trades([(1, 1.0, None), (9_000_000, 2.0, None)]))
    report = only(take(old, lake))
    assert report.remarks == {Remark.NO_ID}
    assert rows(lake, kraken)["price"].to_list() == [1.0, 2.0]
    start = at("2024-01-31")
    answer = rows(lake, kraken).head(1).with_columns(trade_id=pl.lit("77"))
    with lake.draft(kraken, "2024-01-31") as draft:
        draft.append(pl.concat([answer, answer.with_columns(trade_id=pl.lit("78"))]))
        asked = Asked(TimeRange(start, Us(start + SECOND)), Source.REST, NOW, 1, 2)
        draft.commit([asked], NoCheck)
    assert rows(lake, kraken)["trade_id"].to_list() == ["77", "78", None]
    state = lake.known(kraken, "2024-01-31")
    assert state is not None
    assert state.ledger.imported == (TimeRange(Us(start + SECOND), Us(start + 9_000_001)),)
    again = only(take(old, lake))
    assert (again.taken, again.known) == (0, 2)
    assert rows(lake, kraken)["trade_id"].to_list() == ["77", "78", None]


def test_an_answer_without_any_row_takes_none_away(old: Old, lake: LakeStore) -> None:
    old.put(FILE, bars("2024-01-01", 3))
    take(old, lake)
    with lake.draft(MINUTES, "2024-01") as draft:
        draft.commit([Asked(JANUARY, Source.REST, NOW, 1, 0)], NoCheck)
    assert len(opens(lake)) == 3


def test_d8_times_that_passed_through_a_float_are_right_again(old: Old, lake: LakeStore) -> None:
    told = [
        at("2024-01-31T10:00:00.123456Z"),
        at("2024-01-31T10:00:01.654321Z"),
        at("2024-01-31T10:00:02.5Z"),
    ]
    spoiled = [int(when / 1e6 * 1_000_000_000) for when in told]
    assert [when // NS for when in spoiled] != told
    given = trades((0, 1.0, str(n)) for n in range(3)).with_columns(TS=pl.Series(spoiled))
    old.put("binance/trades/BTC-USDT/2024-01-31.parquet", given)
    assert only(take(old, lake)).repaired[Repair.FLOAT] > 0
    assert opens(lake, TICKS) == told


def test_times_that_are_finer_than_microseconds_are_floored(old: Old, lake: LakeStore) -> None:
    start = at("2024-01-31T10:00:00Z")
    given = trades((0, 1.0, str(n)) for n in range(3))
    given = given.with_columns(TS=pl.Series([start * NS + n for n in (1_500, 2_400, 3_999)]))
    old.put("binance/trades/BTC-USDT/2024-01-31.parquet", given)
    assert not only(take(old, lake)).repaired
    assert opens(lake, TICKS) == [start + 1, start + 2, start + 3]


def test_d11_sides_of_coinbases_makers_are_turned_and_missing_ids_named(old: Old, lake: LakeStore) -> None:
    coinbase = "coinbase/trades/BTC-USD"
    old.put(f"{coinbase}/2024-01-31.parquet", trades([(0, 1.0, "10"), (5_000_000, 2.0, "14")]))
    report = only(take(old, lake, [coinbase]))
    assert report.repaired == {Repair.MAKER: 2}
    assert rows(lake, Dataset.parse(coinbase))["side"].to_list() == ["sell", "sell"]
    state = lake.known(Dataset.parse(coinbase), "2024-01-31")
    assert state is not None
    assert [gap.missing for gap in state.ledger.gaps()] == [3]


def test_d12_what_was_purged_before_is_named(old: Old, lake: LakeStore) -> None:
    old.put(FILE, bars("2024-06-01", 10))
    (old.root / ".dccd").mkdir()
    with sqlite3.connect(old.root / ".dccd" / "coverage.db") as database:
        database.execute(
            "CREATE TABLE coverage (exchange TEXT, symbol TEXT, data_type TEXT, span INTEGER, min_ts INTEGER)"
        )
        database.executemany(
            "INSERT INTO coverage VALUES (?, ?, ?, ?, ?)",
            [
                ("binance", "BTC/USDT", "ohlc", 60, at("2022-03-01") * NS),
                ("kraken", "BTC/USD", "trades", None, at("2023-01-01") * NS),
            ],
        )
    database.close()
    report = take(old, lake)
    assert not report.whole
    assert {one.name: "restore" in one.why for one in report.left_out} == {
        "binance/ohlc/BTC-USDT": True,
        "kraken/trades/BTC-USD": True,
    }


def test_d13_a_damaged_file_is_refused_by_name_and_the_others_are_taken(old: Old, lake: LakeStore) -> None:
    old.put("binance/trades/BTC-USDT/2024-01-30.parquet", trades([(0, 1.0, "1")], "2024-01-30"))
    torn = old.put("binance/trades/BTC-USDT/2024-01-31.parquet", trades([(0, 1.0, "2")]))
    torn.write_bytes(torn.read_bytes()[:-20])
    report = take(old, lake)
    assert list(only(report).damaged) == ["binance/trades/BTC-USDT/2024-01-31.parquet"]
    assert not report.whole
    assert lake.keys(TICKS) == ["2024-01-30"]
    old.put("binance/trades/BTC-USDT/2024-01-31.parquet", trades([(0, 1.0, "2")]))
    assert take(old, lake).whole
    assert lake.keys(TICKS) == ["2024-01-30", "2024-01-31"]


def test_d14_d18_d22_what_is_unknown_here_is_named_and_left_where_it_is(old: Old, lake: LakeStore) -> None:
    names = {
        "binance/funding/BTC-USDT_PERP/2024.parquet": "binance/funding",
        "binance/ohlc/BTC-USDT/2592000s/2024.parquet": "binance/ohlc/BTC-USDT/2592000s",
        "binance/ohlc/BTC-USDT_QUARTER/1d/2024.parquet": "binance/ohlc/BTC-USDT_QUARTER",
        "bitmex/ohlc/ETH-USD/1d/2024.parquet": "bitmex/ohlc/ETH-USD",
        "bybit/open_interest/BTC-USDT_PERP/1h/2024.parquet": "bybit/open_interest",
        "krakenfutures/ohlc/BTC-USD_PERP/1d/2024.parquet": "krakenfutures",
        "binance/ohlc/BTC-USDT/1d/notes.csv": "binance/ohlc/BTC-USDT/1d/notes.csv",
    }
    for name in names:
        old.put(name, bars("2024-01-01", 2, DAY))
    (old.root / "binance" / "trades" / "ETH-USDT").mkdir(parents=True)
    report = take(old, lake)
    assert [one.name for one in report.left_out] == sorted(names.values())
    assert all(one.why and not one.harmless for one in report.left_out)
    assert not report.whole
    assert lake.datasets() == []


def test_d16_only_pictures_of_a_book_are_taken_and_their_levels_found(old: Old, lake: LakeStore) -> None:
    start = at("2024-01-31T10:00Z")
    given = pl.concat([
        picture(start, [99.0, 98.0], [101.0, 102.0]),
        picture(start + SECOND, [97.0, 99.5], [103.0, 100.5]),
        picture(start + 2 * SECOND, [1.0], [], whole=False),
    ])  # fmt: skip
    old.put("kraken/orderbook/BTC-USD/2024-01-31.parquet", given)
    report = only(take(old, lake))
    assert report.refused == {Refusal.CHANGE: 1}
    assert report.remarks == {Remark.OWN_CLOCK}
    found = rows(lake, Dataset.parse("kraken/orderbook/BTC-USD"))
    assert found.select("side", "level", "price").rows() == [
        ("bid", 0, 99.0), ("bid", 1, 98.0), ("ask", 0, 101.0), ("ask", 1, 102.0),
        ("bid", 0, 99.5), ("bid", 1, 97.0), ("ask", 0, 100.5), ("ask", 1, 103.0),
    ]  # fmt: skip


def test_rows_that_cannot_be_true_are_kept_aside_with_the_reason(old: Old, lake: LakeStore) -> None:
    given = bars("2024-01-01", 6)
    spoiled = given.with_columns(
        TS=pl.Series([*given["TS"][:3], 0, (NOW + DAY) * NS, given["TS"][5] + 1_000_000_000]),
        high=pl.Series([float("nan"), 1.0, *given["high"][2:]]),
    )
    old.put(FILE, spoiled)
    report = only(take(old, lake))
    assert not report.whole
    assert report.taken == 1
    assert report.refused == {
        "high is no positive number": 1,
        "high is below another price": 1,
        Refusal.NO_TIME: 1,
        Refusal.FUTURE: 1,
        "open time is off the bar grid": 1,
    }
    kept = aside(lake, report)
    assert sorted(kept["reason"]) == sorted(report.refused)
    state = lake.known(MINUTES, "2024-01")
    assert state is not None
    assert state.ledger.quarantined == 0, "the venue never said so: it fails no check"


def test_what_dccd_2_wrote_is_understood_and_gives_way(old: Old, lake: LakeStore) -> None:
    """Seconds and other columns, in one file with what dccd 3 wrote; and the bars that dccd 2 made up."""
    newer = bars("2024-01-01T00:04", 2)
    older = bars("2024-01-01", 5).with_columns(TS=pl.col("TS") // 10**9, trades=pl.lit(None, pl.Int64))
    copied = pl.concat([older[:2], older[1:2].with_columns(TS=pl.col("TS") + 60), older[3:]])
    mixed = pl.concat([copied, newer]).rename({"quote_volume": "quoteVolume"})
    old.put(FILE, mixed.with_columns(weightedAverage=1.0))
    report = only(take(old, lake))
    assert report.repaired == {Repair.UNITS: 5, Repair.TWICE: 1}
    assert report.refused == {Refusal.FILLED: 1}
    found = rows(lake)
    assert found["ts"].to_physical().to_list() == [Us(JANUARY.start + n * MINUTE) for n in (0, 1, 3, 4, 5)]
    assert found["trades"].to_list() == [None, None, None, 5, 6]


def test_rows_in_disorder_twice_or_in_another_years_file_are_put_right(old: Old, lake: LakeStore) -> None:
    given = bars("2023-12-31T23:58", 4)
    old.put(FILE, pl.concat([given.reverse(), given[1:2]]))
    report = only(take(old, lake))
    assert report.repaired == {Repair.ORDER: 3, Repair.PLACE: 3, Repair.TWICE: 1}
    assert opens(lake) == [ts // NS for ts in given["TS"]]


def test_rows_that_contradict_one_another_are_refused_all(old: Old, lake: LakeStore) -> None:
    given = bars("2024-01-01", 3)
    old.put(FILE, pl.concat([given, given[1:2].with_columns(volume=99.0)]))
    report = only(take(old, lake))
    assert report.refused == {TWICE: 2}
    assert len(opens(lake)) == 2


def test_what_a_killed_dccd_left_behind_is_named_and_no_harm(old: Old, lake: LakeStore) -> None:
    old.put(FILE, bars("2024-01-01", 3))
    old.put(f"{FILE}.tmp.12.34", bars("2024-01-01", 3))
    report = take(old, lake)
    assert [one.harmless for one in report.left_out] == [True]
    assert report.whole


def test_what_the_lake_has_stays_as_it_is(old: Old, lake: LakeStore) -> None:
    """Ours are proven: theirs of the same time have no place, and those beside it are united."""
    mine = bars("2024-01-01", 4, volume=1.0).filter(pl.col("trades") != 6)
    table = mine.select((pl.col("TS") // NS).cast(TIME).alias("ts"), *mine.columns[1:])
    with lake.draft(MINUTES, "2024-01") as draft:
        draft.append(table)
        proven = TimeRange(JANUARY.start, Us(JANUARY.start + 3 * MINUTE))
        draft.commit([Asked(proven, Source.REST, NOW, 1, 2)], NoCheck)
    old.put(FILE, bars("2024-01-01", 5))
    report = only(take(old, lake))
    assert (report.taken, report.known) == (1, 4)
    assert rows(lake).select(pl.col("ts").dt.minute(), "volume").rows() == [
        (0, 1.0),
        (2, 1.0),
        (3, 1.0),
        (4, 14.0),
    ]


def test_a_trusted_import_fills_the_gaps_of_what_was_asked(old: Old, lake: LakeStore) -> None:
    old.put(FILE, bars("2024-01-01", 60))
    take(old, lake, [str(MINUTES)])
    given = bars("2024-01-01", 60)
    other = Old(old.root.parent / "other")
    torn = LakeStore(old.root.parent / "torn")
    other.put(FILE, given.filter(~pl.col("TS").is_in(given["TS"][20:22].to_list())))
    take(other, torn, [str(MINUTES)])
    report = only(take(old, torn, [str(MINUTES)]))
    assert report.taken == 2
    state = torn.known(MINUTES, "2024-01")
    assert state is not None
    assert state.ledger.gaps() == ()
    assert opens(torn) == opens(lake)


def test_a_second_import_adds_nothing_and_reads_nothing_again(old: Old, lake: LakeStore) -> None:
    old.put(FILE, bars("2024-01-01", 60))
    first = only(take(old, lake))
    hashes = {key: state.content_hash for key, state in lake.states(MINUTES).items()}
    again = only(take(old, lake))
    assert (again.taken, again.known, again.earlier) == (0, 60, 1)
    assert again.refused == first.refused
    assert {key: state.content_hash for key, state in lake.states(MINUTES).items()} == hashes
    Path(lake.path(MINUTES, "2024-01")).unlink()
    assert only(take(old, lake)).taken == 60, "a partition that went is made again"
    old.put(FILE, bars("2024-01-01", 61))
    assert only(take(old, lake)).taken == 1, "a file that changed is read again"


def test_an_interrupted_import_goes_on(old: Old, lake: LakeStore) -> None:
    for day in range(1, 6):
        name = f"2024-01-0{day}"
        old.put(f"binance/trades/BTC-USDT/{name}.parquet", trades([(0, 1.0, str(day))], name))
    seen = list[str]()

    def stop(name: str, _: int) -> None:
        seen.append(name)
        if len(seen) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_store(old.root, lake, NOW, progress=stop)
    report = only(take(old, lake))
    assert (report.earlier, report.taken, report.known) == (3, 2, 3)
    assert rows(lake, TICKS)["trade_id"].to_list() == ["1", "2", "3", "4", "5"]


def test_a_dry_run_stores_nothing(old: Old, lake: LakeStore) -> None:
    old.put(FILE, bars("2024-01-01", 60))
    report = take(old, lake, dry_run=True)
    assert (report.dry, only(report).taken) == (True, 60)
    assert not Path(lake.url).exists()
    assert only(take(old, lake)).taken == 60


def test_a_lake_in_a_bucket_takes_over_just_as_well(old: Old, monkeypatch: pytest.MonkeyPatch) -> None:
    old.put(FILE, bars("2024-01-01", 3).with_columns(low=pl.Series([1.0, 500.0, 1.0])))
    with s3_server() as endpoint:
        url = f"s3://{own_bucket(endpoint, monkeypatch)}/data"
        lake = LakeStore(url)
        first, again = only(take(old, lake)), only(take(old, lake))
        assert (first.taken, again.taken, again.earlier, sum(again.refused.values())) == (2, 0, 1, 1)
        assert rows(lake).height == 2
        assert first.aside == f"{url}/.dccd/imports/refused/binance/ohlc/BTC-USDT-1m.ndjson"


@pytest.mark.parametrize("place", [".", "lake", ".."])
def test_a_lake_in_the_old_store_is_refused(old: Old, place: str) -> None:
    old.put(FILE, bars("2024-01-01", 2))
    with pytest.raises(ConfigError, match="share a folder"):
        import_store(old.root, LakeStore(old.root / place), NOW)


def test_no_data_type_of_dccd_3_that_is_ours_is_forgotten() -> None:
    assert {"ohlc", "trades", "orderbook"} == set(DataType)


ODD = {
    "a list": {"open": pl.Series([[1.0]] * 9)},
    "a struct": {"high": pl.Series([{"a": 1.0}] * 9)},
    "bytes": {"volume": pl.Series([b"1"] * 9)},
    "a length of time": {"TS": pl.Series([1] * 9).cast(pl.Duration)},
    "a time of day": {"TS": pl.Series([1] * 9).cast(pl.Time)},
    "a day where a price should be": {"close": pl.Series([1] * 9, dtype=pl.Int32).cast(pl.Date)},
}


@pytest.mark.parametrize("columns", ODD.values(), ids=ODD)
def test_r8_a_column_that_is_no_number_is_named_and_keeps_no_other_file_from_it(
    old: Old, lake: LakeStore, columns: dict[str, pl.Series]
) -> None:
    """36c92f8: a trace of polars', and the import ended there."""
    old.put("binance/ohlc/AAA-USDT/1m/2024.parquet", bars("2024-01-01", 9).with_columns(**columns))
    old.put(FILE, bars("2024-01-01", 9))
    odd, sound = take(old, lake).datasets
    ((name, column),) = columns.items()
    said = f"TS is {column.dtype}, no number" if name == "TS" else f"its column {name} is {column.dtype}"
    assert [*odd.damaged.values()] == [said]
    assert (odd.taken, sound.taken) == (0, 9)


def test_r8_a_picture_that_says_neither_yes_nor_no_is_named(old: Old, lake: LakeStore) -> None:
    """36c92f8: `filter predicate must be of type Boolean`, with a trace."""
    rows = picture(at("2024-01-01"), [1.0], [2.0]).with_columns(is_snapshot=pl.lit("yes"))
    old.put("binance/orderbook/BTC-USDT/2024-01-01.parquet", rows)
    assert [*only(take(old, lake)).damaged.values()] == ["its column is_snapshot is String"]


def test_r8_a_file_of_the_last_year_there_is_is_no_file_of_a_year(old: Old, lake: LakeStore) -> None:
    """36c92f8: `year 10000 is out of range`, with a trace."""
    old.put("binance/ohlc/BTC-USDT/1m/9999.parquet", bars("2024-01-01", 9))
    (left,) = take(old, lake).left_out
    assert left.why == "is no file of a year ending in .parquet"
