"""Which datasets have a deadline, and what of them is wanted; what follows is shown in the core."""

from typing import Any

import pytest

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import HOUR, MINUTE, SECOND, TimeRange, Us, parse_time
from dccd_core.lake.lake import State
from dccd_core.lake.partition.ledger import Accepted, Asked, Ledger, Source
from dccd_core.quality.deadline import Deadline, Safety
from dccd_pipeline.assets.deadlines import deadline_of, perishes
from dccd_pipeline.config.collect import Entry
from dccd_pipeline.config.read import settings_of

NOW = parse_time("2026-11-20T12:07:30")
MINUTES = Dataset.parse("kraken/ohlc/BTC-USD/1m")
BARS = {"exchange": "kraken", "symbols": ["BTC/USD"], "data_type": "ohlc", "span": "1m", "start": "recent"}


def entry(**more: Any) -> Entry:
    return settings_of({"collect": [BARS | more]}).collect[0]


def held(start: str, end: str) -> dict[str, State]:
    span = TimeRange(parse_time(start), parse_time(end))
    ledger = Ledger((Asked(span, Source.REST, span.end, 1, 720),))
    return {"2026-11": State("", 720, None, None, 1, "", ledger)}


def found(of: Entry | None, states: dict[str, State], now: Us = NOW, *accepted: Accepted) -> Deadline:
    one = deadline_of(of, MINUTES, states, now, accepted)
    assert one
    return one


@pytest.mark.parametrize(
    ("name", "does"),
    [
        ("kraken/ohlc/BTC-USD/1m", True),
        ("kraken/ohlc/BTC-USD/1d", True),
        ("bybit/trades/BTC-USDT", True),
        ("bybit/trades/BTC-USDT_USDT", True),
        ("okx/trades/BTC-USDT", True),
        ("binance/trades/BTC-USDT_USDT", True),
        ("binance/trades/BTC-USDT", False),
        ("kraken/trades/BTC-USD", False),
        ("bybit/ohlc/BTC-USDT/1m", False),
        ("bybit/orderbook/BTC-USDT", False),
        ("bitmex/trades/BTC-USD_BTC", False),
    ],
)
def test_what_perishes_is_what_an_exchange_shows_for_a_time(name: str, *, does: bool) -> None:
    assert perishes(Dataset.parse(name)) is does


def test_what_is_shown_for_ever_and_what_is_built_have_none() -> None:
    trades = {"exchange": "kraken", "symbols": ["BTC/USD"], "data_type": "trades", "start": "2026-11-01"}
    built = {**BARS, "derive_from": "trades", "start": "2026-11-01"}
    of_trades, of_bars = settings_of({"collect": [trades, built]}).collect
    assert deadline_of(of_trades, of_trades.datasets[0], {}, NOW) is None
    assert deadline_of(of_bars, MINUTES, {}, NOW) is None


def test_only_what_is_final_is_due() -> None:
    one = found(entry(), held("2026-11-20", "2026-11-20T12:07"))
    assert not one.due
    assert one.since == parse_time("2026-11-20T12:07")
    assert one.at == parse_time("2026-11-21T00:07")


def test_a_loss_that_dccd_yaml_accepts_is_none() -> None:
    states = held("2026-11-18", "2026-11-20T12:07")
    states["2026-11"] = State("", 1, None, None, 1, "", states["2026-11"].ledger.add(
        Asked(TimeRange(parse_time("2026-11-15"), parse_time("2026-11-16")), Source.REST, NOW, 1, 1)
    ))  # fmt: skip
    gap = TimeRange(parse_time("2026-11-16"), parse_time("2026-11-18"))
    assert [one.span for one in found(entry(), states).lost] == [gap]
    assert found(entry(), states, NOW, Accepted(gap, "on holiday")).safety is Safety.SAFE


def test_after_its_end_nothing_is_to_come() -> None:
    ended = entry(end="2026-11-20")
    assert found(ended, held("2026-11-19", "2026-11-20")).at is None
    states = held("2026-11-19", "2026-11-19T23:00")
    behind = found(ended, states, parse_time("2026-11-20T10:30"))
    assert behind.at == parse_time("2026-11-20T11:00")
    assert behind.at_risk
    after = found(ended, states)
    assert after.at is None
    assert [one.span.length for one in after.lost] == [HOUR]


def test_of_what_a_stream_records_the_last_minute_is_under_way() -> None:
    newest = Dataset.parse("bybit/trades/BTC-USDT")
    recorded = TimeRange(Us(NOW - HOUR), Us(NOW - 40 * SECOND))
    ledger = Ledger((Asked(recorded, Source.STREAM, NOW, 0, 0),))
    busy = State("", 1_000_000, None, None, 1, "", ledger)
    states = {"2026-11-20": busy}
    alone = deadline_of(None, newest, states, NOW, streamed=True)
    assert alone
    assert alone.safety is Safety.SAFE
    assert alone.shown is not None
    assert alone.shown < SECOND
    late = deadline_of(None, newest, states, Us(NOW + MINUTE), streamed=True)
    assert late
    assert late.safety is Safety.LOST, (
        "for more than a minute nothing was proven, and the venue shows it no more"
    )


def test_an_entry_that_is_wanted_from_today_has_lost_nothing_yet() -> None:
    one = found(entry(), {}, NOW)
    assert one.lost == ()
    assert one.safety is Safety.AT_RISK
    assert one.shown == 720 * MINUTE
