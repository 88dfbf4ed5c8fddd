"""Real payloads of Coinbase, where the folder that holds them stands beside the project."""

import json

import pytest

from dccd_core.adapter.live import Ack, DecodedBatch, Topic
from dccd_core.domain.timespan import Us, parse_time
from dccd_core.exchanges.coinbase import EXCHANGE
from dccd_core.exchanges.coinbase_live import LIVE
from dccd_core.tables import DataType
from tests.conformance.samples import SAMPLES, needs_samples, sample

pytestmark = needs_samples


def test_the_book() -> None:
    body = sample("coinbase/rest_exchange_book_level2.json")
    rows = EXCHANGE.endpoints[DataType.ORDERBOOK].decode(body, Us(1))
    assert [(str(row[0]), *row[1:]) for row in rows.rows()] == [
        ("2024-01-24 15:32:52.961744+00:00", "bid", 0, 39982.8, 0.01884514, None),
        ("2024-01-24 15:32:52.961744+00:00", "ask", 0, 39985.08, 0.07946493, None),
    ]


def test_the_products() -> None:
    markets = EXCHANGE.markets.decode(sample("coinbase/rec2021_rest_products_first3.json"))
    assert markets.rows() == [
        ("SKL/EUR", "SKL-EUR", True, None, None, None, None, None),
        ("BTC/GBP", "BTC-GBP", True, None, None, None, None, None),
        ("OMG/GBP", "OMG-GBP", True, None, None, None, None, None),
    ]


@pytest.mark.parametrize("file", ["rec2021_ws_match.json", "rec2021_ws_last_match.json"])
def test_a_trade_of_the_feed_has_all_that_a_page_s_row_has(file: str) -> None:
    """No page of trades was kept; the feed's messages carry the same fields and some more."""
    match = json.loads(sample(f"coinbase/{file}"))
    rows = EXCHANGE.endpoints[DataType.TRADES].decode(json.dumps([match]).encode(), Us(1))
    taker = {"buy": "sell", "sell": "buy"}[match["side"]]
    [(ts, *values)] = rows.rows()
    assert ts.isoformat().replace("+00:00", "Z") == match["time"]
    assert values == [float(match["price"]), float(match["size"]), taker, str(match["trade_id"]), None]


# what the feed sends of channels that are listened to, what it sends besides, and what was sent to it;
# Advanced Trade is another interface
WS_DECLARED = ("l2update", "l2update_delete", "last_match", "match", "snapshot", "subscriptions")
WS_UNDECLARED = ("ticker",)
WS_SENT = ("sent_subscribe",)
CAME = parse_time("2021-04-17T16:43:38")


def decoded(name: str) -> DecodedBatch:
    return LIVE.decode([sample(f"coinbase/rec2021_ws_{name}.json")], [CAME], None)


def test_every_message_of_the_feed_is_known() -> None:
    found = {path.stem for path in SAMPLES.glob("coinbase/*ws_*.json")}
    own = {stem.removeprefix("rec2021_ws_") for stem in found if stem.startswith("rec2021_")}
    assert own == {*WS_DECLARED, *WS_UNDECLARED, *WS_SENT}
    assert all(stem.startswith(("rec2021_ws_", "ws_advanced_")) for stem in found)


@pytest.mark.parametrize("name", WS_DECLARED)
def test_a_message_of_a_channel_that_is_listened_to_is_understood(name: str) -> None:
    assert decoded(name).bad == []


@pytest.mark.parametrize("name", [*WS_UNDECLARED, *WS_SENT])
def test_another_message_is_not(name: str) -> None:
    [(_, reason)] = decoded(name).bad
    assert "unexpected message" in reason


@pytest.mark.parametrize(
    ("name", "row", "time"),
    [
        (
            "match",
            (0.00001305, 985.0, "buy", "280232", CAME, "matches:SKL-BTC"),
            "2021-04-17T16:43:37.089723",
        ),
        (
            "last_match",
            (14.7775, 0.04, "buy", "881613", CAME, "matches:BAND-GBP"),
            "2021-04-17T16:43:30.244075",
        ),
    ],
)
def test_a_trade_as_it_is_pushed(name: str, row: tuple[object, ...], time: str) -> None:
    result = decoded(name)
    assert result.trades is not None
    assert result.trades.drop("ts").rows() == [row]
    assert result.trades["ts"].to_physical().to_list() == [parse_time(time)]
    assert result.at == (parse_time(time) if name == "match" else None)


def test_a_book_as_it_is_pushed() -> None:
    result = decoded("snapshot")
    [whole] = result.books
    told = json.loads(sample("coinbase/rec2021_ws_snapshot.json"))
    assert (whole.topic, whole.whole, whole.at, result.at) == ("level2_batch:BAND-GBP", True, None, None)
    assert [list(level) for level in whole.bids] == told["bids"]
    assert [list(level) for level in whole.asks] == told["asks"]
    assert (whole.bids[0], len(whole.bids)) == (("14.7693", "27.51"), 152)
    assert (whole.asks[0], len(whole.asks)) == (("14.8024", "12.77"), 166)
    [change] = decoded("l2update").books
    assert (change.topic, change.bids, change.asks) == (
        *("level2_batch:SKL-BTC", []),
        [("0.00001306", "660.5")],
    )
    assert change.at == parse_time("2021-04-17T16:43:37.075687")
    [change] = decoded("l2update_delete").books
    assert (change.topic, change.bids, change.asks) == ("level2_batch:SKL-USD", [("0.7885", "0.0")], [])
    assert change.at == parse_time("2021-04-17T16:43:37.077621")


def test_answers_are_of_what_was_asked() -> None:
    """The recording subscribed to ``level2``, which takes a key by now."""
    asked = json.loads(sample("coinbase/rec2021_ws_sent_subscribe.json"))
    acks = {Ack(f"level2:{product}") for product in asked["product_ids"]}
    assert set(decoded("subscriptions").acks) == acks
    ours = json.loads(LIVE.subscribe([Topic(DataType.ORDERBOOK, "SKL-USD")], 1))
    assert ours["type"] == asked["type"]
