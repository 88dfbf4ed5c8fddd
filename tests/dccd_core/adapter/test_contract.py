from dataclasses import replace

import pytest

from dccd_core.adapter.contract import FULL, NOW, Reach, Request, Response
from dccd_core.domain.timespan import DAY, HOUR, MINUTE, SECOND, WEEK, Us, parse_time
from dccd_core.exchanges import get
from dccd_core.tables import DataType

NOON = parse_time("2024-06-05T12:00")


@pytest.mark.parametrize(
    ("headers", "at"),
    [
        ({"date": "Thu, 01 Jan 1970 00:03:10 GMT"}, 190 * SECOND),
        ({"date": "Thu, 01 Jan 1970 01:03:10 +0100"}, 190 * SECOND),
        ({"date": "yesterday"}, 7),
        ({"date": ""}, 7),
        ({}, 7),
    ],
)
def test_the_venues_time_is_its_date_header_else_our_clock(headers: dict[str, str], at: int) -> None:
    assert Response(200, headers, b"", Us(7)).venue_time == at


@pytest.mark.parametrize(
    ("reach", "text"),
    [
        (FULL, "full history"),
        (NOW, "the present only"),
        (Reach(rows=720), "the last 720 rows"),
        (Reach(rows=10_000), "the last 10,000 rows"),
        (Reach(period=DAY), "the last 24 hours"),
        (Reach(period=Us(90 * DAY)), "the last 90 days"),
        (Reach(period=WEEK), "the last 7 days"),
    ],
)
def test_a_reach_is_told_to_people(reach: Reach, text: str) -> None:
    assert str(reach) == text


@pytest.mark.parametrize(
    ("reach", "bar", "since"),
    [
        (FULL, MINUTE, 0),
        (FULL, None, 0),
        (NOW, None, NOON),
        (Reach(period=DAY), None, NOON - DAY),
        (Reach(period=DAY), MINUTE, NOON - DAY),
        (Reach(rows=720), MINUTE, NOON - 12 * HOUR),
        (Reach(rows=720), None, None),
    ],
)
def test_a_reach_says_since_when_rows_can_be_had(reach: Reach, bar: Us | None, since: int | None) -> None:
    assert reach.since(NOON, bar) == since


def test_what_is_special_for_a_kind_of_market_replaces_what_all_have() -> None:
    bars, trades = DataType.OHLC, DataType.TRADES
    plain = get("binance")
    other = replace(plain.endpoints[bars], page_limit=7)
    exchange = replace(
        plain,
        endpoints={bars: plain.endpoints[bars]},
        special={("linear", bars): other, ("inverse", bars): None, ("linear", trades): other},
    )
    assert exchange.endpoint("spot", bars) is plain.endpoints[bars]
    assert exchange.endpoint("linear", bars) is other
    assert exchange.endpoint("inverse", bars) is None
    assert exchange.endpoint("spot", trades) is None
    assert exchange.endpoint("linear", trades) is other


def test_a_request_counts_once_in_the_nameless_pool_and_goes_to_the_exchanges_own_host() -> None:
    request = Request("/x", {})
    assert (request.weight, request.pool, request.market, request.host) == (1, "", "", "")
