from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, HOUR, MILLISECOND, MINUTE, SECOND, TimeRange, Us, parse_time
from dccd_core.testing.sandbox.binance import VENUE
from dccd_core.testing.sandbox.binance_live import LIVE
from dccd_core.testing.sandbox.limits import Rule
from dccd_core.testing.sandbox.live import Act, Close
from dccd_core.testing.sandbox.market import Market
from dccd_core.testing.sandbox.venue import Ask, Hidden
from tests.dccd_core.testing.sandbox.talk import Talk, closes, messages, pings, told

NOW = parse_time("2024-06-05T12:00:20.05")
BTC, PERP = Symbol.parse("BTC/USDT"), Symbol.parse("BTC/USDT:USDT")
MARKET = Market(trades_per_day={"BTC/USDT": 500_000, "BTC/USDT:USDT": 500_000})


def talk(path: str = "/stream", now: Us = NOW, *, enforced: bool = False, **params: str) -> Talk:
    return Talk(LIVE, path, now, MARKET, enforced=enforced, **params)


def subscribed(*names: str, path: str = "/stream", now: Us = NOW) -> Talk:
    connection = talk(path, now)
    answer = told(connection.say({"method": "SUBSCRIBE", "params": names, "id": 7}))
    assert answer == [{"result": None, "id": 7}]
    return connection


def rest(path: str, symbol: str, limit: int, now: Us) -> Any:
    route = next(route for route in VENUE.routes if route.path == path)
    ask = Ask(MARKET, {"symbol": symbol, "limit": str(limit)}, now, Rule(1, SECOND), Hidden())
    return msgspec.json.decode(route.answer(ask))


def data(acts: list[Act], topic: str) -> list[Any]:
    return [message["data"] for message in told(acts, topic)]


class TestTrades:
    def test_a_subscriber_gets_exactly_the_trades_of_its_time(self) -> None:
        connection = subscribed("btcusdt@aggTrade")
        end = Us(NOW + MINUTE)
        rows = data(connection.until(end), "btcusdt@aggTrade")
        truth = MARKET.truth_trades("binance", BTC, TimeRange(NOW, end))
        assert len(rows) > 100
        assert [str(row["a"]) for row in rows] == truth["trade_id"].to_list()
        assert [float(row["p"]) for row in rows] == truth["price"].to_list()
        assert [float(row["q"]) for row in rows] == truth["amount"].to_list()
        assert ["sell" if row["m"] else "buy" for row in rows] == truth["side"].to_list()
        assert [row["T"] * MILLISECOND for row in rows] == truth["ts"].dt.epoch("us").to_list()
        assert {row["E"] - row["T"] for row in rows} == {0}
        assert {(row["e"], row["s"]) for row in rows} == {("aggTrade", "BTCUSDT")}

    @given(steps=st.lists(st.integers(1, 3 * MINUTE), min_size=1, max_size=8))
    def test_it_does_not_matter_how_often_one_looks(self, steps: list[int]) -> None:
        whole = subscribed("btcusdt@aggTrade", "ethusdt@aggTrade", "btcusdt@kline_1m")
        parts = subscribed("btcusdt@aggTrade", "ethusdt@aggTrade", "btcusdt@kline_1m")
        at, pieces = NOW, list[Act]()
        for step in steps:
            at = Us(at + step)
            pieces += parts.until(at)
        assert pieces == whole.until(at)

    def test_who_leaves_gets_no_more_and_who_comes_late_nothing_of_before(self) -> None:
        connection = subscribed("btcusdt@aggTrade")
        left = Us(NOW + 10 * SECOND)
        before = data(connection.until(left), "btcusdt@aggTrade")
        connection.say({"method": "UNSUBSCRIBE", "params": ["btcusdt@aggTrade"], "id": 8})
        back = Us(NOW + 20 * SECOND)
        assert messages(connection.until(back)) == []
        connection.say({"method": "SUBSCRIBE", "params": ["btcusdt@aggTrade"], "id": 9})
        after = data(connection.until(Us(NOW + 30 * SECOND)), "btcusdt@aggTrade")
        tape = MARKET.tape("binance", BTC)
        assert before[-1]["a"] == tape.count_before(left) - 1
        assert after[0]["a"] == tape.count_before(back)

    def test_futures_have_their_own_fields(self) -> None:
        rows = data(
            subscribed("btcusdt@aggTrade", path="/market/stream").until(Us(NOW + MINUTE)),
            "usdm:btcusdt@aggTrade",
        )
        truth = MARKET.truth_trades("binance", PERP, TimeRange(NOW, Us(NOW + MINUTE)))
        assert [str(row["a"]) for row in rows] == truth["trade_id"].to_list()
        assert all(row["st"] == 1 and row["nq"] == row["q"] and "M" not in row for row in rows)


class TestBars:
    def closed(self, acts: list[Act], topic: str) -> list[Any]:
        return [row["k"] for row in data(acts, topic) if row["k"]["x"]]

    @pytest.mark.parametrize(("interval", "bar"), [("1s", SECOND), ("1m", MINUTE), ("15m", Us(15 * MINUTE))])
    def test_the_closing_ones_are_the_bars_of_history(self, interval: str, bar: Us) -> None:
        end = Us(NOW + HOUR)
        topic = f"btcusdt@kline_{interval}"
        rows = self.closed(subscribed(topic).until(end), topic)
        first = Us(NOW - NOW % bar)
        truth = MARKET.truth_bars("binance", BTC, bar, TimeRange(first, Us(end - end % bar)))
        assert [row["t"] * MILLISECOND for row in rows] == truth["ts"].dt.epoch("us").to_list()
        for name, column in {"o": "open", "h": "high", "l": "low", "c": "close", "v": "volume"}.items():
            assert [float(row[name]) for row in rows] == truth[column].to_list()
        assert [float(row["q"]) for row in rows] == truth["quote_volume"].to_list()
        assert [row["n"] for row in rows] == truth["trades"].to_list()
        assert {row["T"] - row["t"] for row in rows} == {bar // MILLISECOND - 1}

    @pytest.mark.parametrize("interval", ["1m", "1d", "1w", "1M"])
    def test_a_running_bar_is_what_the_rest_interface_says_at_that_moment(self, interval: str) -> None:
        topic = f"ethusdt@kline_{interval}"
        pushed = data(subscribed(topic).until(Us(NOW + 3 * MINUTE)), topic)
        assert len(pushed) == 90
        route = next(route for route in VENUE.routes if route.path == "/api/v3/klines")
        for row in pushed[::7]:
            params = {
                "symbol": "ETHUSDT",
                "interval": interval,
                "startTime": str(row["k"]["t"]),
                "limit": "1",
            }
            ask = Ask(MARKET, params, Us(row["E"] * MILLISECOND), Rule(1, SECOND), Hidden())
            bar = msgspec.json.decode(route.answer(ask))[0]
            k = row["k"]
            names = ("t", "o", "h", "l", "c", "v", "T", "q", "n", "V", "Q")
            assert [k[name] for name in names] == bar[:11]

    def test_pushes_come_every_two_seconds_and_say_which_trades_they_hold(self) -> None:
        pushed = data(subscribed("ethusdt@kline_1m").until(Us(NOW + 10 * MINUTE)), "ethusdt@kline_1m")
        assert np.unique(np.diff([row["E"] for row in pushed])).tolist() == [2_000]
        tape = MARKET.tape("binance", Symbol.parse("ETH/USDT"))
        quiet = [row["k"] for row in pushed if not row["k"]["n"]]
        assert quiet
        assert {(k["f"], k["L"]) for k in quiet} == {(-1, -1)}
        assert {k["o"] == k["h"] == k["l"] == k["c"] for k in quiet} == {True}
        for row in pushed:
            k = row["k"]
            if k["n"]:
                assert k["f"] == tape.count_before(Us(k["t"] * MILLISECOND))
                assert k["L"] == tape.count_before(Us(row["E"] * MILLISECOND)) - 1

    def test_an_outage_is_silent(self) -> None:
        now, shut, back = (parse_time(f"2023-03-24T{time}") for time in ("09:59:30", "10:00", "11:00"))
        topics = ["btcusdt@kline_1m", "btcusdt@aggTrade", "btcusdt@depth@100ms"]
        acts = subscribed(*topics, now=now).until(Us(back + 90 * SECOND))
        inside = [act for act in acts if shut < act.at < back]
        assert messages(inside) == []
        closed = [row["t"] * MILLISECOND for row in self.closed(acts, topics[0])]
        assert closed == [shut - MINUTE, back]

    def test_nothing_is_pushed_before_the_first_trade(self) -> None:
        listed = parse_time("2024-02-10T08:00")
        acts = subscribed("newusdt@kline_1m", now=Us(listed - MINUTE)).until(Us(listed + 10 * MINUTE))
        first = MARKET.tape("binance", Symbol.parse("NEW/USDT")).first_time
        assert messages(acts)[0].at == first - first % (2 * SECOND) + 2 * SECOND


class TestBooks:
    """A book is built as the venue says: begin with a REST snapshot, then apply what was pushed since."""

    def applied(self, book: dict[str, dict[str, str]], row: Any) -> None:
        for side in ("bids", "asks"):
            for price, amount in row[side[0]]:
                if float(amount):
                    book[side][price] = amount
                else:
                    book[side].pop(price, None)

    def top(self, book: dict[str, dict[str, str]]) -> list[tuple[float, float]]:
        levels = {side: [(float(p), float(a)) for p, a in book[side].items()] for side in book}
        return [*sorted(levels["bids"], reverse=True), *sorted(levels["asks"])]

    def truth(self, symbol: Symbol, at: Us, depth: int) -> list[tuple[float, float]]:
        return MARKET.truth_book("binance", symbol, at, depth).select("price", "amount").rows()

    def test_spot(self) -> None:
        connection = subscribed("btcusdt@depth@100ms")
        asked, end = Us(NOW + 550 * MILLISECOND), Us(NOW + 4 * SECOND)
        told_first = rest("/api/v3/depth", "BTCUSDT", 1_000, asked)
        last = told_first["lastUpdateId"]
        book = {side: dict(told_first[side]) for side in ("bids", "asks")}
        pushed = data(connection.until(end), "btcusdt@depth@100ms")
        assert pushed[0]["U"] <= last
        left = [row for row in pushed if row["u"] > last]
        assert left[0]["U"] <= last + 1 <= left[0]["u"]
        assert len(left) < len(pushed)
        for row in left:
            assert row["U"] == last + 1
            last = row["u"]
            self.applied(book, row)
            at = Us(row["E"] * MILLISECOND)
            assert self.top(book) == self.truth(BTC, at, 1_000)

    def test_futures(self) -> None:
        connection = subscribed("btcusdt@depth@100ms", path="/public/stream")
        asked, end = Us(NOW + 550 * MILLISECOND), Us(NOW + 4 * SECOND)
        told_first = rest("/fapi/v1/depth", "BTCUSDT", 1_000, asked)
        last = told_first["lastUpdateId"]
        book = {side: dict(told_first[side]) for side in ("bids", "asks")}
        pushed = data(connection.until(end), "usdm:btcusdt@depth@100ms")
        left = [row for row in pushed if row["u"] >= last]
        assert 1 < len(left) < len(pushed)
        assert left[0]["U"] <= last <= left[0]["u"]
        previous = left[0]["pu"]
        for row in left:
            assert row["pu"] == previous < row["U"] - 1
            previous = row["u"]
            self.applied(book, row)
            assert self.top(book) == self.truth(PERP, Us(row["T"] * MILLISECOND), 1_000)

    @pytest.mark.parametrize("path", ["/stream", "/public/stream"])
    def test_the_chain_holds_over_an_outage_in_which_nothing_is_told(self, path: str) -> None:
        start = parse_time("2023-03-24T09:59:59.95")
        back = parse_time("2023-03-24T11:00")
        connection = subscribed("btcusdt@depth@100ms", path=path, now=start)
        prefix = "" if path == "/stream" else "usdm:"
        rows = data(connection.until(Us(back + SECOND)), f"{prefix}btcusdt@depth@100ms")
        times = [row["E"] * MILLISECOND for row in rows]
        assert times == [start + 50 * MILLISECOND, *(back + n * 100 * MILLISECOND for n in range(10))]
        assert all(float(amount) == 0 for _, amount in (*rows[0]["b"], *rows[0]["a"]))
        for before, row in pairwise(rows):
            assert row.get("pu", row["U"] - 1) == before["u"]


class TestWords:
    def test_streams_can_be_named_in_the_address(self) -> None:
        raw = talk("/ws/{streams:path}", streams="btcusdt@aggTrade/ethusdt@aggTrade")
        combined = talk(streams="btcusdt@aggTrade/ethusdt@aggTrade")
        end = Us(NOW + MINUTE)
        one, other = told(raw.until(end)), told(combined.until(end))
        assert {row["stream"] for row in other} == {"btcusdt@aggTrade", "ethusdt@aggTrade"}
        assert one == [row["data"] for row in other]

    def test_subscriptions_can_be_listed(self) -> None:
        connection = subscribed("btcusdt@aggTrade", "btcusdt@aggTrade", "nobody@knows")
        answer = told(connection.say({"method": "LIST_SUBSCRIPTIONS", "id": 3}))
        assert answer == [{"result": ["btcusdt@aggTrade", "nobody@knows"], "id": 3}]

    @pytest.mark.parametrize(
        ("path", "name"),
        [
            ("/stream", "nopeusdt@aggTrade"),
            ("/stream", "BTCUSDT@aggTrade"),
            ("/stream", "btcusdt@kline_7m"),
            ("/stream", "btcusdt"),
            ("/market/stream", "btcusdt@depth@100ms"),
            ("/public/stream", "btcusdt@aggTrade"),
        ],
    )
    def test_an_unknown_stream_is_accepted_and_stays_silent(self, path: str, name: str) -> None:
        assert messages(subscribed(name, path=path).until(Us(NOW + MINUTE))) == []

    @pytest.mark.parametrize(
        ("words", "code", "said"),
        [
            ("garbage", 3, "Invalid JSON: "),
            ("", 3, "Invalid JSON: "),
            ({"method": "SING", "id": 1}, 2, "Invalid request: "),
            ({"method": "SUBSCRIBE", "params": "btcusdt@aggTrade", "id": 1}, 2, "Invalid request: "),
            ({"op": "subscribe"}, 2, "Invalid request: "),
        ],
    )
    def test_what_it_does_not_understand_is_an_error(self, words: object, code: int, said: str) -> None:
        [answer] = told(talk().say(words))
        assert answer["code"] == code
        assert str(answer["msg"]).startswith(said)

    def test_it_says_that_it_will_go_down(self) -> None:
        event = {"e": "serverShutdown", "E": NOW // MILLISECOND}
        assert told(talk("/ws").side.notice(NOW)) == [event]
        assert told(talk().side.notice(NOW)) == [{"stream": "!serverShutdown", "data": event}]


class TestLimits:
    @pytest.mark.parametrize(("path", "allowed"), [("/stream", 5), ("/market/stream", 10)])
    def test_too_many_messages_in_a_second_end_the_connection(self, path: str, allowed: int) -> None:
        connection = talk(path, enforced=True)
        words = {"method": "LIST_SUBSCRIPTIONS", "id": 1}
        assert [closes(connection.say(words)) for _ in range(allowed)] == [[]] * allowed
        assert closes(connection.say(words)) == [Close(NOW, 1008, "Too many requests")]
        free = talk(path)
        assert not any(closes(free.say(words)) for _ in range(3 * allowed))

    def test_too_many_streams_end_the_connection(self) -> None:
        names = [f"s{number}@aggTrade" for number in range(1_025)]
        connection = subscribed(*names[:-1])
        [close] = closes(connection.say({"method": "SUBSCRIBE", "params": names[-1:], "id": 2}))
        assert close.code == 1008

    @pytest.mark.parametrize(("path", "seconds"), [("/stream", 20), ("/market/stream", 180)])
    def test_it_pings_and_cuts_after_a_day(self, path: str, seconds: int) -> None:
        connection = talk(path)
        acts = connection.until(Us(NOW + DAY + SECOND))
        times = range(NOW + seconds * SECOND, NOW + DAY + 1, seconds * SECOND)
        assert [(ping.at, ping.payload) for ping in pings(acts)] == [
            (at, b"%d" % (at // MILLISECOND)) for at in times
        ]
        [close] = closes(acts)
        assert (close.at, close.code) == (NOW + DAY, 1001)


def test_a_snapshot_of_usd_m_ends_exactly_on_an_event_and_the_next_one_says_so() -> None:
    """Who came after the event that it ends on has nothing but ``pu`` of the next one to join them by."""
    connection = subscribed("btcusdt@depth@100ms", path="/public/stream")
    now = NOW
    last = rest("/fapi/v1/depth", "BTCUSDT", 1_000, now)["lastUpdateId"]
    event = data(connection.until(Us(now + SECOND)), "usdm:btcusdt@depth@100ms")[0]
    assert (event["pu"], event["U"] > last) == (last, True)
