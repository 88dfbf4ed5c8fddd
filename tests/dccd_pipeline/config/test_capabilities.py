from dataclasses import replace
from datetime import date

import pytest

from dccd_core.adapter.contract import FULL, NOW, Reach
from dccd_core.domain.timespan import DAY, HOUR, MINUTE, SECOND, Us, parse_time
from dccd_core.exchanges import NAMES, get
from dccd_core.exchanges.binance import EXCHANGE
from dccd_core.tables import DataType
from dccd_pipeline.config.capabilities import (
    askable_since,
    can_ask,
    closed_on,
    elsewhere,
    later,
    limits_of,
    said_time,
    served,
    weight_per_minute,
)

AT = parse_time("2026-03-01T12:00")


def test_an_exchange_closes_when_its_time_has_come() -> None:
    assert closed_on(EXCHANGE, AT) is None
    assert closed_on(replace(EXCHANGE, closed=Us(AT + DAY)), AT) is None
    assert closed_on(replace(EXCHANGE, closed=parse_time("2020-03-01T04:00")), AT) == date(2020, 3, 1)
    assert closed_on(replace(EXCHANGE, closed=parse_time("2020-03-01")), AT) == date(2020, 2, 29)


def test_a_closed_exchange_shows_no_present() -> None:
    closed = replace(EXCHANGE, closed=parse_time("2020-03-01"))
    assert served(EXCHANGE, DataType.ORDERBOOK, AT).keys() == {"spot", "linear"}
    assert served(closed, DataType.ORDERBOOK, AT) == {}
    assert served(closed, DataType.TRADES, AT) == served(EXCHANGE, DataType.TRADES, AT)
    assert served(EXCHANGE, DataType.TRADES, AT, ["linear", "inverse"]).keys() == {"linear"}


@pytest.mark.parametrize(
    ("reach", "bar", "since"),
    [
        (FULL, MINUTE, Us(0)),
        (NOW, None, AT),
        (Reach(rows=720), HOUR, Us(AT - 30 * DAY)),
        (Reach(period=DAY), None, Us(AT - DAY)),
        (Reach(rows=60), None, Us(AT - DAY)),
    ],
    ids=str,
)
def test_how_far_back_can_be_asked(reach: Reach, bar: Us | None, since: Us) -> None:
    endpoint = replace(EXCHANGE.endpoints[DataType.TRADES], reach=reach)
    assert askable_since(endpoint, bar, AT) == since


def test_others_are_named_that_are_open_and_go_back_as_far(monkeypatch: pytest.MonkeyPatch) -> None:
    known = ("binance", "bybit", "okx", "coinbase", "kraken", "bitfinex", "bitmex")
    monkeypatch.setattr("dccd_pipeline.config.capabilities.NAMES", known)  # one that is added may do it too

    def others(data_type: DataType, kind: str, bar: Us | None, start: str) -> list[str]:
        return elsewhere(get("kraken"), data_type, kind, bar, parse_time(start), parse_time("2026-10-01"))

    assert others(DataType.OHLC, "spot", MINUTE, "2020-01-01") == ["binance", "bybit", "okx"]
    assert others(DataType.OHLC, "spot", MINUTE, "2014-01-01") == ["bitfinex"]
    assert others(DataType.TRADES, "inverse", None, "2020-01-01") == []  # BitMEX had them
    assert not can_ask(get("okx"), DataType.TRADES, "spot", None, parse_time("2020-01-01"), AT)


@pytest.mark.parametrize("name", NAMES)
def test_every_endpoint_has_limits(name: str) -> None:
    exchange = get(name)
    for data_type in DataType:
        for kind in served(exchange, data_type, AT):
            limits = limits_of(exchange, kind, data_type, AT)
            assert set(limits) <= set(exchange.limits)
            assert weight_per_minute(limits) > 0


def test_the_limits_are_those_of_the_pool() -> None:
    spot = weight_per_minute(limits_of(EXCHANGE, "spot", DataType.TRADES, AT))
    assert spot == 6_000 != weight_per_minute(limits_of(EXCHANGE, "linear", DataType.TRADES, AT))
    bitfinex = get("bitfinex")
    assert weight_per_minute(limits_of(bitfinex, "spot", DataType.OHLC, AT)) == 30
    assert weight_per_minute(limits_of(bitfinex, "spot", DataType.TRADES, AT)) == 15


def test_times_are_written_as_short_as_they_can_be() -> None:
    assert said_time(parse_time("2026-03-01")) == "2026-03-01"
    assert said_time(Us(AT + 5 * SECOND)) == "2026-03-01T12:00Z"


@pytest.mark.parametrize(
    ("reach", "said"),
    [(30 * DAY, "2026-02-01"), (DAY, "2026-02-28T13:00Z"), (HOUR, "2026-03-01T11:01Z")],
)
def test_a_time_to_ask_from_stays_within_the_reach_for_a_while(reach: int, said: str) -> None:
    since = Us(AT - reach)
    assert later(since, AT) == said
    assert since < parse_time(said) < AT
