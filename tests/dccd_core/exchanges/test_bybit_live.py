"""What the WebSocket is asked, and what its messages mean, beside what history says of the same."""

import json
from collections.abc import Callable, Sequence
from functools import partial

import polars as pl
import pytest

from dccd_core.adapter.live import Ack, BookChange, DecodedBatch, Topic
from dccd_core.domain.timespan import DAY, MILLISECOND, MINUTE, SECOND, WEEK, Us
from dccd_core.exchanges import bybit
from dccd_core.exchanges.bybit_live import LIVE
from dccd_core.stream.book import Book
from dccd_core.tables import DataType
from tests.dccd_core.exchanges.hearing import Ear

KINDS = ("spot", "linear", "inverse")
TRADES = Topic(DataType.TRADES, "BTCUSDT")
BARS = Topic(DataType.OHLC, "BTCUSDT", bar=MINUTE)
BOOK = Topic(DataType.ORDERBOOK, "BTCUSDT", depth=50)


def history(*rows: object) -> bytes:
    """Return what REST answers with these rows."""
    result = {"category": "spot", "list": rows}
    return json.dumps({"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": 9}).encode()


def trade(name: str = "7", price: str = "4", size: str = "2", side: str = "Buy", time: str = "5") -> object:
    return {"execId": name, "symbol": "BTCUSDT", "price": price, "size": size, "side": side, "time": time}


KLINES = history(["60000", "1.5", "2.5", "0.5", "2.0", "10", "15"])


def pushed(topic: str, data: object, **more: object) -> bytes:
    return json.dumps({"topic": topic, "type": "snapshot", "ts": 9, **more, "data": data}).encode()


def answer(**told: object) -> bytes:
    return json.dumps({"success": True, "ret_msg": "", "conn_id": "x", "op": "subscribe", **told}).encode()


def pushed_trade(name: str = "7", **other: object) -> dict[str, object]:
    row = {"T": 5, "s": "BTCUSDT", "S": "Buy", "v": "2", "p": "4", "L": "PlusTick", "i": name, "BT": False}
    return {**row, **other}


def pushed_kline(start: int = 60_000, **other: object) -> dict[str, object]:
    prices = {"open": "1.5", "high": "2.5", "low": "0.5", "close": "2.0", "volume": "10", "turnover": "15"}
    row = {"start": start, "end": start + 59_999, "interval": "1", **prices, "confirm": True}
    return {**row, **other}


def pushed_book(
    u: int, bids: Sequence[tuple[str, str]] = (), asks: Sequence[tuple[str, str]] = (), **more: object
) -> bytes:
    told = {"s": "BTCUSDT", "b": bids, "a": asks, "u": u, "seq": u * 1_000}
    return pushed("orderbook.50.BTCUSDT", told, **{"type": "delta", "cts": 7, **more})


EAR = Ear(LIVE, state="spot")
decoded, understood, followed = EAR.decoded, EAR.understood, EAR.followed


class TestAsking:
    @pytest.mark.parametrize(
        ("topic", "name", "path"),
        [
            (TRADES, "publicTrade.BTCUSDT", "spot"),
            (Topic(DataType.TRADES, "BTCPERP", "linear"), "publicTrade.BTCPERP", "linear"),
            (BARS, "kline.1.BTCUSDT", "spot"),
            (Topic(DataType.OHLC, "BTCUSD", "inverse", DAY), "kline.D.BTCUSD", "inverse"),
            (BOOK, "orderbook.50.BTCUSDT", "spot"),
            (Topic(DataType.ORDERBOOK, "A", "linear", depth=1_000), "orderbook.1000.A", "linear"),
        ],
    )
    def test_a_topic_has_a_name_and_an_address(self, topic: Topic, name: str, path: str) -> None:
        assert LIVE.name(topic) == name
        assert LIVE.url(topic) == f"wss://stream.bybit.com/v5/public/{path}"

    @pytest.mark.parametrize(
        ("wanted", "depth"), [(1, 1), (2, 50), (50, 50), (51, 200), (500, 1_000), (1_001, None)]
    )
    def test_the_least_depth_that_shows_enough_is_asked_for(self, wanted: int, depth: int | None) -> None:
        """Depth 500, which was there once, is refused now."""
        for kind in KINDS:
            channel = LIVE.channel(kind, DataType.ORDERBOOK)
            assert channel is not None
            assert channel.depth(wanted) == depth

    def test_only_inverse_markets_count_contracts_and_history_converts_them_by_itself(self) -> None:
        counting = {
            (kind, data_type)
            for kind in KINDS
            for data_type in DataType
            if (channel := LIVE.channel(kind, data_type)) and channel.contracts
        }
        assert counting == {("inverse", DataType.TRADES), ("inverse", DataType.ORDERBOOK)}

    def test_a_request_is_numbered_with_the_kind_of_market(self) -> None:
        inverse = [
            Topic(DataType.TRADES, "BTCUSD", "inverse"),
            Topic(DataType.OHLC, "BTCUSD", "inverse", WEEK),
        ]
        assert LIVE.subscribe(inverse, 12) == (
            b'{"req_id":"inverse:12","op":"subscribe","args":["publicTrade.BTCUSD","kline.W.BTCUSD"]}'
        )
        assert LIVE.unsubscribe([BOOK], 3, None) == (
            b'{"req_id":"spot:3","op":"unsubscribe","args":["orderbook.50.BTCUSDT"]}'
        )

    def test_spot_refuses_more_than_ten_topics_a_request(self) -> None:
        assert LIVE.batch == 10
        args: list[str] = json.loads(LIVE.subscribe([TRADES] * 10, 1))["args"]
        assert args == ["publicTrade.BTCUSDT"] * 10

    def test_a_ping_is_sent_often_enough(self) -> None:
        assert LIVE.ping is not None
        assert LIVE.ping(5) == b'{"op":"ping"}'
        assert LIVE.ping_every == 20 * SECOND
        assert LIVE.silence >= 2 * LIVE.ping_every


class TestAnswers:
    @pytest.mark.parametrize("said", ["subscribe", ""])
    def test_an_agreement_tells_number_and_kind(self, said: str) -> None:
        found = understood(answer(ret_msg=said, req_id="inverse:12"), state=None)
        assert (found.acks, found.state, found.at) == ([Ack(id=12)], "inverse", None)

    def test_a_refusal_concerns_its_request_or_all(self) -> None:
        text = "error:handler not found,topic:kline.7.BTCUSDT"
        found = understood(answer(success=False, ret_msg=text, req_id="linear:3"), state=None)
        assert (found.acks, found.state) == ([Ack(id=3, error=text)], "linear")
        for nameless in ({"req_id": ""}, {"op": ""}, {"op": None}):
            told = {name: value for name, value in nameless.items() if value is not None}
            found = understood(answer(success=False, ret_msg="args size >10", **told))
            assert (found.acks, found.state) == ([Ack(error="args size >10")], "spot")
        assert understood(answer(success=False)).acks == [Ack(error="refused")]

    @pytest.mark.parametrize("text", ["error:args too long", "Too many topics", "connection limit reached"])
    def test_a_connection_that_takes_no_more_says_so(self, text: str) -> None:
        found = understood(answer(success=False, ret_msg=text, req_id="spot:4"))
        assert found.acks == [Ack(id=4, error=text, full=True)]
        for other in ("args size >10", "error:handler not found,topic:publicTrade.LIMITUSDT"):
            assert not understood(answer(success=False, ret_msg=other, req_id="spot:4")).acks[0].full

    def test_a_kind_that_is_known_is_that_of_the_address(self) -> None:
        assert understood(answer(req_id="inverse:3"), state="spot").state == "spot"

    def test_what_is_refused_because_it_is_on_is_agreed_to(self) -> None:
        text = "error:already subscribed,topic:orderbook.50.BTCUSDT"
        found = understood(answer(success=False, ret_msg=text, req_id="spot:4"))
        assert found.acks == [Ack("orderbook.50.BTCUSDT")]

    @pytest.mark.parametrize(
        "frame",
        [
            answer(ret_msg="pong", req_id="", op="ping"),
            b'{"req_id":"5","op":"pong","args":["1675418560633"],"conn_id":"x"}',
            answer(req_id="spot:9", op="unsubscribe"),
            answer(req_id="spot:9", op="unsubscribe", success=False, ret_msg="error:whatever"),
        ],
    )
    def test_pongs_and_answers_to_leaving_say_nothing(self, frame: bytes) -> None:
        assert understood(frame) == DecodedBatch(state="spot")

    @pytest.mark.parametrize(
        "frame",
        [
            answer(op="auth", req_id="spot:1"),
            b'{"op":"welcome","conn_id":"x"}',
            b'{"success":false,"ret_msg":"error:invalid op","conn_id":"x","req_id":null,"op":"dance"}',
        ],
    )
    def test_l8_what_answers_no_subscription_tells_of_no_topic(self, frame: bytes) -> None:
        """So it neither spoils nor refuses one."""
        assert understood(frame) == DecodedBatch(state="spot")


class TestLiveTrades:
    def test_they_are_those_of_history(self) -> None:
        rows = [pushed_trade("7"), pushed_trade("9", S="Sell", T=6, p="4.5"), pushed_trade("8", T=6, BT=True)]
        body = history(trade("8", time="6"), trade("9", "4.5", side="Sell", time="6"), trade("7"))
        live = understood(
            pushed("publicTrade.BTCUSDT", rows[:1]), pushed("publicTrade.BTCUSDT", rows[1:])
        ).trades
        assert live is not None
        assert live.drop("topic", "received").equals(bybit.decode_trades(body, Us(0)).drop("received"))
        assert live["topic"].unique().to_list() == ["publicTrade.BTCUSDT"]
        assert live["received"].to_list() == [1_000, 1_001, 1_001]

    def test_inverse_ones_are_left_in_contracts_for_the_engine(self) -> None:
        frame = pushed("publicTrade.BTCUSD", [pushed_trade(v="100", p="40000.5")])
        live = understood(frame, state="inverse").trades
        assert live is not None
        assert live["amount"].to_list() == [100.0]
        assert bybit.decode_inverse_trades(history(trade(price="40000.5", size="100")), Us(0))[
            "amount"
        ].to_list() == [100 * 1.0 / 40000.5]

    @pytest.mark.parametrize("kind", ["snapshot", "delta"])
    def test_their_type_means_nothing(self, kind: str) -> None:
        found = understood(pushed("publicTrade.BTCUSDT", [pushed_trade()], type=kind))
        assert found.trades is not None
        assert found.books == []


class TestLiveBars:
    def test_they_are_those_of_history_with_the_venue_s_flag(self) -> None:
        rows = [pushed_kline(confirm=False), pushed_kline(), pushed_kline(120_000, confirm=False)]
        bars = understood(*(pushed("kline.1.BTCUSDT", [row]) for row in rows)).bars
        assert bars is not None
        assert bars["closed"].to_list() == [False, True, False]
        assert bars["topic"].unique().to_list() == ["kline.1.BTCUSDT"]
        closed = bars.filter("closed").drop("topic", "received", "closed")
        assert closed.equals(bybit.decode_klines(KLINES, Us(0)))

    @pytest.mark.parametrize(
        ("state", "market", "decode"),
        [
            ("spot", "BTCUSD", bybit.decode_klines),
            ("spot", "XRPRLUSD", bybit.decode_klines),
            ("linear", "BTCUSDT", bybit.decode_klines),
            ("inverse", "BTCUSD", bybit.decode_inverse_klines),
        ],
    )
    def test_the_kind_of_market_says_whose_volume_it_is_not_the_name(
        self, state: str, market: str, decode: Callable[[bytes, Us], pl.DataFrame]
    ) -> None:
        bars = understood(pushed(f"kline.1.{market}", [pushed_kline()]), state=state).bars
        assert bars is not None
        assert bars.drop("topic", "received", "closed").equals(decode(KLINES, Us(0)))

    def test_l7_before_an_answer_tells_the_kind_they_wait_for_it(self) -> None:
        frame, told = pushed("kline.1.BTCUSD", [pushed_kline()]), answer(req_id="inverse:1")
        first = understood(frame, state=None)
        assert (first.bars, first.at) == (None, 9 * MILLISECOND)
        late = understood(told, state=first.state)
        both = understood(frame, told, state=None)  # in whatever order they came
        third = understood(frame, state=late.state)
        for found in (late, both, third):
            assert found.bars is not None
            assert found.bars["volume"].to_list() == [15.0]
            assert found.bars["received"].to_list() == [1_000]
            assert found.state == "inverse"

    def test_no_more_of_them_wait_than_a_connection_brings_in_seconds(self) -> None:
        state: object = None
        for n in range(3):
            rows = [pushed_kline(60_000 * (600 * n + m)) for m in range(600)]
            state = understood(pushed("kline.1.BTCUSD", rows), state=state).state
        assert understood(state=state).state == state
        bars = understood(answer(req_id="spot:1"), state=state).bars
        assert bars is not None
        assert bars["ts"].cast(int).to_list() == [MINUTE * n for n in range(800, 1_800)]

    @pytest.mark.parametrize(
        "other", [{"confirm": None}, {"confirm": "true"}, {"volume": 10}, {"low": None}, {"turnover": None}]
    )
    def test_another_shape_is_bad_even_where_it_is_left_out(self, other: dict[str, object]) -> None:
        frame = pushed("kline.1.BTCUSDT", [{**pushed_kline(), **other}])
        for state in (None, "spot", "inverse"):
            assert [text for text, _ in decoded(frame, state=state).bad] == [frame]


class TestLiveBooks:
    def test_levels_stay_as_they_are_written_and_the_time_is_the_engine_s(self) -> None:
        bids, asks = [("41006.80", "0.60038921")], [("41007", "0")]
        for kind, whole in (("snapshot", True), ("delta", False)):
            [change] = understood(pushed_book(17, bids, asks, type=kind)).books
            at = Us(7 * MILLISECOND)
            assert change == BookChange("orderbook.50.BTCUSDT", at, bids, asks, whole, first=17, last=17)

    def test_without_the_engine_s_time_it_is_the_message_s(self) -> None:
        frame = pushed("orderbook.50.BTCUSDT", {"b": [], "a": [], "u": 4}, type="delta")
        assert [change.at for change in understood(frame).books] == [9 * MILLISECOND]

    @pytest.mark.parametrize("ts", [None, 0])
    def test_l10_the_message_s_own_time_is_not_needed(self, ts: int | None) -> None:
        [change] = understood(pushed_book(17, ts=ts)).books
        assert change.at == 7 * MILLISECOND
        without = pushed("orderbook.50.BTCUSDT", {"b": [], "a": [], "u": 4}, type="delta", ts=None)
        assert [change.at for change in understood(without).books] == [None]

    def test_keys_may_stand_in_any_order(self) -> None:
        message = json.loads(pushed_book(17, [("8", "1")]))
        turned = {name: message[name] for name in reversed(message)}
        turned["data"] = {name: message["data"][name] for name in reversed(message["data"])}
        assert understood(json.dumps(turned).encode()) == understood(json.dumps(message).encode())

    def test_it_is_followed_by_its_numbers(self) -> None:
        kept = followed(
            pushed_book(17, [("8", "1"), ("7", "2")], [("9", "1")], type="snapshot"),
            pushed_book(18, [("8", "0"), ("6", "3")]),
            pushed_book(19, [], [("9", "4")]),
        )
        assert kept.lost is None
        assert (kept.bids.best(9), kept.asks.best(9)) == ([("7", "2"), ("6", "3")], [("9", "4")])

    @pytest.mark.parametrize("u", [19, 20, 1_000])
    def test_a_missing_change_loses_it_until_it_is_whole(self, u: int) -> None:
        frames = pushed_book(17, [("8", "1")], type="snapshot"), pushed_book(u, [("8", "0")])
        assert followed(*frames).lost == f"updates 18 to {u - 1} are missing"
        found = followed(
            *frames, pushed_book(u + 1, [("5", "5")]), pushed_book(u + 9, [("4", "4")], type="snapshot")
        )
        assert (found.lost, found.bids.best(9)) == (None, [("4", "4")])

    def test_before_the_first_snapshot_nothing_is_known(self) -> None:
        assert followed(pushed_book(18, [("8", "1")])).lost == "no snapshot yet"

    @pytest.mark.parametrize("kind", ["snapshot", "delta"])
    def test_number_1_is_a_new_book_whatever_its_type(self, kind: str) -> None:
        kept = followed(
            pushed_book(17, [("8", "1")], type="snapshot"),
            pushed_book(1, [("5", "5")], type=kind),
            pushed_book(2, [("4", "4")]),
        )
        assert (kept.lost, kept.bids.best(9)) == (None, [("5", "5"), ("4", "4")])

    def test_a_snapshot_at_any_time_replaces_it(self) -> None:
        kept = followed(
            pushed_book(17, [("8", "1")], type="snapshot"), pushed_book(18, [("6", "1")], type="snapshot")
        )
        assert (kept.lost, kept.bids.best(9)) == (None, [("6", "1")])

    def test_one_level_comes_in_snapshots_and_again_with_the_same_number(self) -> None:
        quote = partial(pushed_book, type="snapshot")
        kept = Book(LIVE.channels[DataType.ORDERBOOK], 1)
        changes = understood(quote(17, [("8", "1")]), quote(17, [("8", "1")]), quote(18, [("8", "2")])).books
        assert kept.apply(changes[0])
        for change in changes[1:]:
            assert kept.continues(change)
            assert kept.apply(change)
        assert kept.bids.best(9) == [("8", "2")]


BAD = [
    *(b"", b"pong", b"null", b"[]", b"7", b"{}", b'{"topic":', b"\xff", b'{"a":1},{"a":2}'),
    pushed("tickers.BTCUSDT", {}),
    pushed("trade.linear.BTCUSDT", [pushed_trade()]),
    pushed("orderBookL2_25.BTCUSDT", {}),
    b'{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":9}',
    b'{"op":"subscribe","req_id":"spot:1"}',
    # an agreement to no request of ours
    *(answer(**{"req_id": "spot:1", **told}) for told in ({"op": None}, {"success": None})),
    *(answer(req_id=number) for number in ("", "12", "x:1")),
    # a trade, or a book, of another shape
    *(
        pushed("publicTrade.BTCUSDT", [pushed_trade("1"), pushed_trade("2", **other)])
        for other in (
            *({name: None} for name in ("T", "S", "v", "p", "i")),
            *({"S": "None"}, {"S": "buy"}, {"v": 2}, {"p": "four"}, {"i": 7}, {"T": "5"}, {"T": 1.5}),
            {"T": 1_704_067_200_000_000},
        )
    ),
    *(pushed_book(17, type=None), pushed_book(17, type="partial"), pushed_book(-1), pushed_book(17, ts="9")),
    pushed("orderbook.50.BTCUSDT", {"b": [["8"]], "a": [], "u": 17}, type="delta"),
    pushed("orderbook.50.BTCUSDT", {"b": [], "u": 1}),
    pushed("orderbook.50.BTCUSDT", {"b": [["8", 1.0]], "a": [], "u": 1}),
    pushed("orderbook.50.BTCUSDT", []),
    pushed("orderbook.50.BTCUSDT", None),
]


class TestHearing:
    @pytest.mark.parametrize("other", [{"ts": None}, {"ts": 0}, {"type": None}, {"type": "news"}])
    def test_l10_rows_need_nothing_that_is_not_used(self, other: dict[str, object]) -> None:
        frames = [
            json.dumps({name: value for name, value in json.loads(frame).items() if value is not None})
            for frame in (
                pushed("publicTrade.BTCUSDT", [pushed_trade()], **other),
                pushed("kline.1.BTCUSDT", [pushed_kline()], **other),
            )
        ]
        found = understood(*(frame.encode() for frame in frames))
        assert found.trades is not None
        assert found.bars is not None

    @pytest.mark.parametrize(
        ("frame", "topics"),
        [
            (b'}"topic":"kline.1.BTCUSDT","type":', ("kline.1.BTCUSDT",)),
            (b'{"data":[],"ts":[],"topic" : "publicTrade.BTC-01JAN27"', ("publicTrade.BTC-01JAN27",)),
            (b'{"topic":"orderbook.50.A"}{"topic":"orderbook.1.A"', ("orderbook.50.A", "orderbook.1.A")),
            (b'{"topic":"orderbook.50.BTCUS', ()),
            (b'{"topic":"orderbook.50."', ()),
            (b'{"topic":"tickers.BTCUSDT"', ()),
            (b'{"topic":"tickers.BTCUSDT"}', ("tickers.BTCUSDT",)),
            (b'{"topic":"x"}', ()),
            (b'{"topic":["kline.1.BTCUSDT"]', ()),
            (b'{"ret_msg":"{\\"topic\\":\\"kline.1.BTCUSDT\\"}"', ()),
            (b'{"ret_msg":"error:handler not found,topic:kline.1.BTCUSDT"', ()),
        ],
    )
    def test_a_message_that_is_not_understood_may_still_name_its_topic(
        self, frame: bytes, topics: tuple[str, ...]
    ) -> None:
        assert LIVE.topics_in(frame, "spot") == topics

    @pytest.mark.parametrize(
        ("frames", "at"),
        [
            ([pushed("publicTrade.BTCUSDT", [pushed_trade()]), pushed_book(1, ts=8)], 9 * MILLISECOND),
            ([pushed_book(1, ts=12, cts=7), pushed("kline.1.BTCUSDT", [pushed_kline()])], 12 * MILLISECOND),
            ([answer(req_id="spot:1"), answer(ret_msg="pong", op="ping")], None),
            ([], None),
        ],
    )
    def test_the_newest_time_that_was_told(self, frames: list[bytes], at: int | None) -> None:
        assert understood(*frames).at == at

    @pytest.mark.parametrize("bad", BAD, ids=repr)
    def test_what_is_not_understood_is_bad_and_spoils_no_other(self, bad: bytes) -> None:
        good = pushed("publicTrade.BTCUSDT", [pushed_trade()]), pushed("kline.1.BTCUSDT", [pushed_kline()])
        EAR.spoils_no_other(bad, *good, pushed_book(17, [("8", "1")]), answer(req_id="spot:1"))
