import asyncio
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from dccd_core.domain.dataset import Dataset, partition_key
from dccd_core.domain.errors import ConfigError
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, HOUR, TimeRange, Us, parse_time
from dccd_core.fetch.estimate import Estimate
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.partition.ledger import Condition
from dccd_core.net.clock import SystemClock
from dccd_core.net.http import DEFAULT_SHARE
from dccd_core.tables import DataType
from dccd_core.testing.sandbox.process import RunningSandbox, running_sandbox
from dccd_pipeline.build import silent
from dccd_pipeline.cli.backfill import Order, backfill, keys_of, order_of, pace, plan
from dccd_pipeline.config.read import settings_of
from dccd_pipeline.config.settings import ExchangeSettings, Settings
from tests.dccd_pipeline.held import BOOKS, HOURS, MINUTES, TRADES

ETH_HOURS = Dataset("binance", Symbol("ETH", "USDT"), DataType.OHLC, HOUR)
ENTRY = {"exchange": "binance", "symbols": ["BTC/USDT", "ETH/USDT"], "data_type": "ohlc", "span": "1h"}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox() as running:
        yield running


@pytest.fixture
def settings(sandbox: RunningSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("DCCD_STATE_DIR", str(tmp_path / "state"))
    sandbox.reset()
    return settings_of(
        {
            "store": str(tmp_path / "lake"),
            "exchanges": {"binance": {"rest_url": sandbox.rest_url("binance")}},
            "collect": [{**ENTRY, "start": "2024-01-01", "name": "majors"}],
        }
    )


def keys(dataset: Dataset, start: str, end: str | None, settings: Settings | None = None) -> list[str]:
    return keys_of(settings or Settings(), dataset, parse_time(start), parse_time(end) if end else None)


def planned(settings: Settings, dataset: Dataset, keys: list[str]) -> Estimate:
    return asyncio.run(plan(settings, [order_of(settings, dataset, keys)]))


def test_partitions_are_those_that_share_time_with_the_question() -> None:

    assert keys(MINUTES, "2024-01-31T23:59:59", "2024-03-01") == ["2024-01", "2024-02"]
    assert keys(HOURS, "2024-12-31", "2025-01-01T00:00:00.000001") == ["2024", "2025"]
    assert keys(TRADES, "2024-02-28", "2024-03-01") == ["2024-02-28", "2024-02-29"]
    assert keys(HOURS, "1999-01-01", "2018-06-01") == ["2017", "2018"]  # Binance began in 2017
    now = SystemClock().now()
    assert keys_of(Settings(), TRADES, Us(now - DAY), None)[-1] >= partition_key(TRADES.grain, now)
    assert keys_of(Settings(), TRADES, now, Us(now + 9 * DAY))[-1] <= partition_key(
        TRADES.grain, Us(now + DAY)
    )


@pytest.mark.parametrize(
    ("dataset", "start", "end", "said"),
    [
        (HOURS, "2024-01-01", "2024-01-01", "nothing lies between"),
        (HOURS, "2999-01-01", None, "nothing lies between"),
        (HOURS, "2010-01-01", "2011-01-01", "Binance has data from 2017-07-14 to now"),
        (BOOKS, "2024-01-01", "2024-01-02", "Binance shows only the present binance/orderbook/BTC-USDT"),
        (BOOKS, "2024-01-01", None, "write --start 20"),
    ],
    ids=str,
)
def test_an_impossible_time_is_refused(dataset: Dataset, start: str, end: str | None, said: str) -> None:
    with pytest.raises(ConfigError) as e:
        keys(dataset, start, end)
    assert said in str(e.value)


@pytest.mark.parametrize(
    ("dataset", "said"),
    [
        (Dataset("binance", Symbol("BTC", "USDT"), DataType.OHLC, Us(7 * HOUR)), "nearest is 6h"),
        (Dataset("binance", Symbol("BTC", "USD", "BTC"), DataType.TRADES), "has no inverse markets"),
        (Dataset("binance", Symbol("btc", "usdt"), DataType.TRADES), "write BTC/USDT"),
    ],
    ids=str,
)
def test_a_dataset_that_nobody_serves_is_refused_before_anything_runs(
    settings: Settings, dataset: Dataset, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        keys(dataset, "2024-01-01", "2024-01-02", settings)
    with dg.DagsterInstance.ephemeral() as instance:
        with pytest.raises(ConfigError, match=said):
            backfill(settings, dataset, ["2024"], instance, silent)
        assert instance.get_runs_count() == 0
    with pytest.raises(ConfigError, match=said):
        planned(settings, dataset, ["2024"])


KRAKEN_HOURS = Dataset("kraken", Symbol("BTC", "USD"), DataType.OHLC, HOUR)
BITMEX_TRADES = Dataset("bitmex", Symbol("BTC", "USD", "BTC"), DataType.TRADES)


def test_what_is_out_of_reach_is_refused_with_the_ways_out() -> None:
    with pytest.raises(ConfigError) as e:
        keys(KRAKEN_HOURS, "2024-01-01", None)
    said, _, hint = str(e.value).partition(" -> ")
    assert said.startswith("Kraken serves the last 720 rows of kraken/ohlc/BTC-USD/1h, now from 20")
    assert hint.startswith("write --start 20")
    assert hint.endswith(", or take it from binance or bybit or okx")
    start = hint.removeprefix("write --start ").partition(",")[0]
    assert keys(KRAKEN_HOURS, start, None)[-1] == partition_key(KRAKEN_HOURS.grain, SystemClock().now())


def test_how_far_a_number_of_trades_reaches_is_not_claimed() -> None:
    trades = Dataset("bybit", Symbol("BTC", "USDT"), DataType.TRADES)
    with pytest.raises(ConfigError) as e:
        keys(trades, "2024-01-01", None)
    today = partition_key(trades.grain, SystemClock().now())
    assert str(e.value) == (
        "Bybit serves the last 60 rows of bybit/trades/BTC-USDT"
        f" -> write --start {today}, or take it from binance or coinbase or kraken"
    )


def test_derived_bars_reach_as_far_as_the_trades() -> None:
    trades = {"exchange": "kraken", "symbols": ["BTC/USD"], "data_type": "trades", "start": "2024-01-01"}
    bars = {**trades, "data_type": "ohlc", "span": "1h", "derive_from": "trades"}
    settings = settings_of({"collect": [trades, bars]})
    assert keys(KRAKEN_HOURS, "2023-01-01", "2024-03-01", settings) == ["2023", "2024"]
    with pytest.raises(ConfigError, match="is built of stored trades: nothing to estimate"):
        planned(settings, KRAKEN_HOURS, ["2023"])


def test_bars_of_bars_reach_as_far_as_what_those_are_made_of() -> None:
    days = Dataset("kraken", Symbol("BTC", "USD"), DataType.OHLC, DAY)
    trades = {"exchange": "kraken", "symbols": ["BTC/USD"], "data_type": "trades", "start": "2024-01-01"}
    hours = {**trades, "data_type": "ohlc", "span": "1h"}
    chain = [trades, {**hours, "derive_from": "trades"}, {**hours, "span": "1d", "derive_from": "1h"}]
    settings = settings_of({"collect": chain})
    assert keys(days, "2023-01-01", "2024-03-01", settings) == ["2023", "2024"]
    with pytest.raises(ConfigError, match="is built of stored 1h bars: nothing to estimate -> leave --dry"):
        planned(settings, days, ["2023"])
    asked = {key: value for key, value in hours.items() if key != "start"}
    recent = [{**asked, "start": "recent"}, {**asked, "span": "1d", "derive_from": "1h"}]
    settings = settings_of({"collect": recent})
    with pytest.raises(ConfigError, match="serves the last 720 rows of kraken/ohlc/BTC-USD/1h, now from"):
        keys(days, "2023-01-01", None, settings)


def test_a_closed_exchange_is_asked_for_its_past_and_elsewhere() -> None:
    with pytest.raises(ConfigError, match=r"BitMEX closed on 2026-09-23 -> set exchanges\.bitmex\.rest_url"):
        keys(BITMEX_TRADES, "2024-01-01", "2024-01-02")
    settings = Settings(exchanges={"bitmex": ExchangeSettings(rest_url="http://127.0.0.1:9/bitmex")})
    assert keys(BITMEX_TRADES, "2026-09-22", None, settings) == ["2026-09-22", "2026-09-23"]
    with pytest.raises(ConfigError, match="BitMEX has data from 2014-11-22 to 2026-09-23"):
        keys(BITMEX_TRADES, "2026-10-01", None, settings)


def test_a_delisted_symbol_is_asked_for_while_it_lived() -> None:
    life = {"delisted": "2024-02-01", "renamed_to": "POL/USDT"}
    settings = settings_of({"exchanges": {"binance": {"symbols": {"BTC/USDT": life}}}})
    assert keys(MINUTES, "2024-01-01", "2024-04-01", settings) == ["2024-01", "2024-02"]
    with pytest.raises(ConfigError, match="was delisted on 2024-02-01 -> it is called POL/USDT now"):
        keys(MINUTES, "2024-03-01", "2024-04-01", settings)


def test_the_pace_is_that_of_the_limits_that_count() -> None:
    settings = Settings(exchanges={"bitfinex": ExchangeSettings(budget=0.5)})
    bars = Dataset("bitfinex", Symbol("BTC", "USD"), DataType.OHLC, HOUR)
    assert pace(settings, bars) == 15
    assert pace(settings, Dataset("bitfinex", bars.symbol, DataType.TRADES)) == 7.5
    assert pace(settings, HOURS) == DEFAULT_SHARE * 6_000


def test_it_runs_as_the_job_that_collects_the_dataset(settings: Settings, sandbox: RunningSandbox) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        done = backfill(settings, ETH_HOURS, ["2024"], instance, silent)
        assert (done.job, done.failure, done.complete) == ("majors", "", True)
        assert done.conditions == {(ETH_HOURS, "2024"): Condition.AVAILABLE}
        year = TimeRange(parse_time("2024-01-01"), parse_time("2025-01-01"))
        expected = sandbox.market.truth_bars("binance", ETH_HOURS.symbol, HOUR, year)
        assert LakeStore(settings.store).scan(ETH_HOURS).collect().equals(expected)
        assert LakeStore(settings.store).datasets() == [ETH_HOURS]  # not its neighbour

        earlier = backfill(settings, ETH_HOURS, ["2023", "2024"], instance, silent)
        assert earlier.job == "binance_ohlc_1h"  # the configured entry begins later
        assert earlier.complete
        jobs = {instance.get_run_by_id(one.run_id).job_name for one in (done, earlier)}  # type: ignore[union-attr]
        assert jobs == {"majors", "binance_ohlc_1h"}


def test_a_tick_is_judged_by_what_its_entry_wants() -> None:
    """d446da6: of an entry that ends within a year all of it, and "pending"."""
    raw = {**ENTRY, "start": "2024-01-01", "end": "2024-01-15"}
    (entry,) = settings_of({"collect": [raw]}).collect
    asked = TimeRange(parse_time("2024-01-02"), parse_time("2024-01-03"))
    tick = Order(entry, entry.datasets, ("2024",), catch_up=True)
    assert tick.judged == entry.within
    assert Order(entry, entry.datasets, ("2024",)).judged is None, "whoever asks for all of it is told of all"
    assert Order(entry, entry.datasets, ("2024",), asked).judged == asked


def test_a_failure_is_told_in_its_own_words(settings: Settings) -> None:
    nope = Dataset("binance", Symbol("NOPE", "USDT"), DataType.OHLC, HOUR)
    with dg.DagsterInstance.ephemeral() as instance:
        failed = backfill(settings, nope, ["2024"], instance, silent)
    assert not failed.succeeded
    assert not failed.complete
    assert failed.conditions == {(nope, "2024"): Condition.MISSING}
    head, line = failed.failure.splitlines()
    assert head == "1 of 1 datasets failed"
    assert "[binance /api/v3/klines NOPE/USDT] HTTP 400: -1121 Invalid symbol." in line


def test_progress_is_told_page_by_page(settings: Settings) -> None:
    told: list[tuple[Dataset, str, int, Us]] = []

    def listen(dataset: Dataset, key: str, rows: int, until: Us) -> None:
        told.append((dataset, key, rows, until))

    with dg.DagsterInstance.ephemeral() as instance:
        backfill(settings, HOURS, ["2024"], instance, listen)
    assert {page[:2] for page in told} == {(HOURS, "2024")}
    assert sum(rows for _, _, rows, _ in told) == 8_784
    assert [until for *_, until in told] == sorted(until for *_, until in told)
    assert told[-1][-1] == parse_time("2025-01-01")


@pytest.mark.parametrize(("dataset", "keys"), [(HOURS, ["2023", "2024"]), (TRADES, ["2024-01-01"])], ids=str)
def test_a_plan_stores_nothing_and_comes_true(
    settings: Settings, sandbox: RunningSandbox, dataset: Dataset, keys: list[str]
) -> None:
    found = planned(settings, dataset, keys)
    assert LakeStore(settings.store).datasets() == []
    asked = sandbox.stats().count()
    with dg.DagsterInstance.ephemeral() as instance:
        assert backfill(settings, dataset, keys, instance, silent).complete
    states = LakeStore(settings.store).states(dataset).values()
    assert found.rows == pytest.approx(sum(state.rows for state in states), rel=0.001)
    assert found.bytes == pytest.approx(sum(state.bytes for state in states), rel=0.5)
    weights = {HOURS: 2, TRADES: 4}
    assert found.weight == weights[dataset] * found.requests
    assert found.requests <= sandbox.stats().count() - asked <= found.requests + 3  # the listing, an outage

    assert planned(settings, dataset, keys).requests == 0


def test_a_plan_knows_what_the_settings_say_of_a_symbol_s_life(
    settings: Settings, sandbox: RunningSandbox
) -> None:
    life = {"BTC/USDT": {"listed": "2024-03-01", "delisted": "2024-03-10"}}
    known = {"rest_url": sandbox.rest_url("binance"), "symbols": life}
    known_life = settings_of(
        {
            "store": str(settings.store),
            "exchanges": {"binance": known},
            "collect": [{**ENTRY, "start": "2024-01-01"}],
        }
    )
    assert planned(known_life, HOURS, ["2024"]).rows == 10 * 24
    assert planned(settings, HOURS, ["2024"]).rows == 366 * 24


def test_of_an_order_book_there_is_nothing_to_plan(settings: Settings) -> None:
    today = partition_key(BOOKS.grain, SystemClock().now())
    with pytest.raises(ConfigError, match="one request for the present"):
        planned(settings, BOOKS, [today])
    with dg.DagsterInstance.ephemeral() as instance:
        assert backfill(settings, BOOKS, [today], instance, silent).complete
