"""What a sandbox is told, for its server, its command and the tests' helper alike."""

from dataclasses import fields
from typing import get_type_hints

import pytest

from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import HOUR, MINUTE, SECOND, TimeRange, Us, parse_time
from dccd_core.testing.sandbox.limits import Rule, Style
from dccd_core.testing.sandbox.options import OptionArguments, Options

RULE = Rule(2, MINUTE, Style.WINDOW, "orders", patience=3)
NOON = parse_time("2024-03-01T12:00")


def test_arguments_are_the_options() -> None:
    assert get_type_hints(OptionArguments) == {
        one.name: get_type_hints(Options)[one.name] for one in fields(Options)
    }


def test_limits_are_counted_but_kept_only_where_that_is_wanted() -> None:
    counted, kept = Options().meter(RULE), Options(rate_limits=True).meter(RULE)
    assert [counted.charge(1, NOON).status for _ in range(4)] == [200] * 4
    assert [kept.charge(1, NOON).status for _ in range(4)] == [200, 200, 429, 429]
    assert counted.charge(1, NOON).used == kept.charge(1, NOON).used == 5


def test_amount_and_period_of_a_limit_may_be_others_and_the_rest_stays() -> None:
    rule = Options(rate_limits=True, limit_weight=7, window_s=5).meter(RULE).rule
    assert rule == Rule(7, Us(5 * SECOND), Style.WINDOW, "orders", patience=3)
    assert Options(rate_limits=True).meter(RULE).rule == RULE


def test_its_market_knows_the_symbols_and_outages_that_are_added() -> None:
    market = Options(symbols=["NEW/USDT"], outages=["2024-03-01T00:00/2024-03-01T06:00"]).market()
    new, span = Symbol("NEW", "USDT"), TimeRange(NOON, Us(NOON + HOUR))
    assert market.truth_bars("binance", new, MINUTE, span).height > 0
    plain = Options().market()
    night = TimeRange(parse_time("2024-03-01T00:00"), parse_time("2024-03-01T06:00"))
    btc = Symbol("BTC", "USDT")
    assert plain.truth_bars("binance", btc, MINUTE, night).height == 360
    assert market.truth_bars("binance", btc, MINUTE, night).height == 0
    assert market.truth_bars("binance", btc, MINUTE, TimeRange(night.end, NOON)).height == 360


def test_an_outage_without_an_end_is_refused() -> None:
    with pytest.raises(ValueError, match="isoformat"):
        Options(outages=["2024-03-01"]).market()
