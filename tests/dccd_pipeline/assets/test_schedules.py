"""What a tick leaves alone; what it asks for and what becomes of it is shown in tests/e2e."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pytest

from dccd_pipeline.assets.schedules import entry_schedule
from dccd_pipeline.config.read import SettingsError, settings_of
from dccd_pipeline.dagster_compat import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    cron_string_iterator,
)

NOON = datetime.fromisoformat("2026-11-20T12:00:00+00:00")
TRADES = {"symbols": ["BTC/USDT"], "data_type": "trades"}
KRAKEN = {"exchange": "kraken", "symbols": ["BTC/USD"]}


Tick = Callable[..., tuple[str, str]]


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("instance"))) as instance:
        yield instance


@pytest.fixture
def tick(instance: dg.DagsterInstance) -> Tick:
    """Return the first and the last partition that a tick of the last entry asks for."""

    def run(*collect: dict[str, Any], exchanges: dict[str, Any] | None = None) -> tuple[str, str]:
        entry = settings_of({"collect": collect, "exchanges": exchanges or {}}).collect[-1]
        context = dg.build_schedule_context(instance=instance, scheduled_execution_time=NOON)
        (request,) = entry_schedule(entry, running=False).evaluate_tick(context).run_requests or []
        return request.tags[ASSET_PARTITION_RANGE_START_TAG], request.tags[ASSET_PARTITION_RANGE_END_TAG]

    return run


@pytest.mark.parametrize(
    ("entry", "asked"),
    [
        ({**TRADES, "exchange": "binance", "start": "2026-01-01"}, ("2026-01-01", "2026-11-20")),
        ({**TRADES, "exchange": "okx", "start": "recent"}, ("2026-08-22", "2026-11-20")),
        ({**TRADES, "exchange": "bybit", "start": "recent"}, ("2026-11-19", "2026-11-20")),
        ({**KRAKEN, "data_type": "ohlc", "span": "30m", "start": "recent"}, ("2026-11", "2026-11")),
        ({**KRAKEN, "data_type": "ohlc", "span": "1h", "start": "recent"}, ("2026", "2026")),
        ({**KRAKEN, "data_type": "orderbook"}, ("2026-11-20", "2026-11-20")),
    ],
    ids=str,
)
def test_what_is_out_of_reach_is_not_asked_for(
    tick: Tick, entry: dict[str, Any], asked: tuple[str, str]
) -> None:
    assert tick(entry) == asked


def test_derived_bars_reach_as_far_as_the_trades(tick: Tick) -> None:
    trades = {**KRAKEN, "data_type": "trades", "start": "2024-05-01"}
    bars = {**trades, "data_type": "ohlc", "span": "1m", "derive_from": "trades"}
    assert tick(trades, bars) == ("2024-05", "2026-11")


def test_a_symbol_that_was_delisted_is_not_asked_for_afterwards(tick: Tick) -> None:
    lives = {"binance": {"symbols": {"BTC/USDT": {"listed": "2026-02-01", "delisted": "2026-03-05"}}}}
    entry = {**TRADES, "exchange": "binance", "start": "2026-01-01"}
    assert tick(entry, exchanges=lives) == ("2026-02-01", "2026-03-05")


CRON = {"exchange": "binance", "symbols": ["BTC/USDT"], "data_type": "trades", "start": "2026-01-01"}


@pytest.mark.parametrize(
    ("cron", "since", "ticks"),
    [
        ("30 2 * * *", "2026-03-28", ["28T01:30", "29T01:00", "30T00:30"]),  # 2:00 is 3:00 on the 29th
        ("30 2 * * *", "2026-10-24", ["24T00:30", "25T01:30", "26T01:30"]),  # 3:00 is 2:00 on the 25th
        ("0 9 * * *", "2026-03-28", ["28T08:00", "29T07:00", "30T07:00"]),
    ],
)
def test_a_cron_is_meant_in_the_time_zone_and_runs_once_a_day_whatever_the_clocks_do(
    cron: str, since: str, ticks: list[str]
) -> None:
    settings = settings_of({"collect": [{**CRON, "cron": cron}], "timezone": "Europe/Paris"})
    made = entry_schedule(settings.collect[0], "", settings.timezone, running=False)
    assert made.execution_timezone == "Europe/Paris"
    began = datetime.fromisoformat(f"{since}T00:00+00:00").timestamp()
    times = cron_string_iterator(began, cron, "Europe/Paris")
    found = [next(times).astimezone(UTC) for _ in ticks]
    assert [f"{at:%dT%H:%M}" for at in found] == ticks


def test_an_interval_stays_utc_and_a_zone_that_is_none_is_refused() -> None:
    settings = settings_of({"collect": [{**CRON, "every": "1d"}], "timezone": "Europe/Paris"})
    assert entry_schedule(settings.collect[0], "", "Europe/Paris", running=False).execution_timezone == "UTC"
    with pytest.raises(SettingsError, match="'Europe/Pari' is no time zone -> did you mean Europe/Paris"):
        settings_of({"timezone": "Europe/Pari"})
