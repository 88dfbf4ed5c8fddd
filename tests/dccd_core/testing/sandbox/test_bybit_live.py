"""What the sandbox sends is the truth, as soon as the adapter has read it."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import msgspec
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dccd_core.adapter.live import Ack, BookChange, Channel, DecodedBatch, Topic
from dccd_core.domain.barspan import parse_bar_span
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, HOUR, MILLISECOND, MINUTE, SECOND, TimeRange, Us, parse_time
from dccd_core.exchanges import bybit as adapter
from dccd_core.exchanges.bybit_live import LIVE as OURS
from dccd_core.stream.book import Book
from dccd_core.tables import DataType
from dccd_core.testing.sandbox.books import BOOK_PERIOD
from dccd_core.testing.sandbox.bybit import VENUE
from dccd_core.testing.sandbox.bybit_live import LIVE
from dccd_core.testing.sandbox.limits import Rule
from dccd_core.testing.sandbox.line import Line
from dccd_core.testing.sandbox.live import ABORTED, Act, Close, Message
from dccd_core.testing.sandbox.market import Market
from dccd_core.testing.sandbox.stream_faults import StreamFault, StreamFaultKind, StreamInjector
from dccd_core.testing.sandbox.venue import Ask, Hidden
from tests.dccd_core.testing.sandbox.asked import asked
from tests.dccd_core.testing.sandbox.talk import Talk, closes, messages, told

NOW = parse_time("2024-06-05T12:00:20.05")
BTC, ETH, PERP, INVERSE = map(Symbol.parse, ("BTC/USDT", "ETH/USDT", "BTC/USDT:USDT", "BTC/USD:BTC"))
SYMBOLS = [BTC, PERP, INVERSE]
MARKET = Market(trades_per_day={str(symbol): 500_000 for symbol in SYMBOLS})
SHUT = TimeRange(parse_time("2023-03-24T10:00"), parse_time("2023-03-24T11:00"))
TRADES, OHLC, ORDERBOOK = DataType.TRADES, DataType.OHLC, DataType.ORDERBOOK


def trades_of(symbol: Symbol) -> Topic:
    return Topic(TRADES, adapter.market(symbol), symbol.market_type)


def bars_of(symbol: Symbol, bar: Us) -> Topic:
    return Topic(OHLC, adapter.market(symbol), symbol.market_type, bar)


def book_of(symbol: Symbol, depth: int = 50) -> Topic:
    return Topic(ORDERBOOK, adapter.market(symbol), symbol.market_type, depth=depth)


def talk(kind: str = "spot", now: Us = NOW, *, enforced: bool = False) -> Talk:
    return Talk(LIVE, f"/v5/public/{kind}", now, MARKET, enforced=enforced)


def said(connection: Talk, message: bytes) -> list[Act]:
    return connection.say(message.decode())


def heard(acts: Sequence[Act], state: object = None) -> DecodedBatch:
    came = messages(acts)
    found = OURS.decode([act.text.encode() for act in came], [act.at for act in came], state)
    assert found.bad == []
    return found


def subscribed(*topics: Topic, now: Us = NOW, enforced: bool = False) -> tuple[Talk, list[Act]]:
    """Return a connection that was agreed to, and all that it sent."""
    [url] = {OURS.url(topic) for topic in topics}
    assert url.removeprefix("wss://stream.bybit.com") in LIVE.paths
    connection = talk(topics[0].market_type, now, enforced=enforced)
    acts = said(connection, OURS.subscribe(topics, 7))
    assert heard(acts).acks == [Ack(id=7)]
    return connection, acts


def listened(topic: Topic, end: Us, now: Us = NOW) -> DecodedBatch:
    connection, acts = subscribed(topic, now=now)
    return heard([*acts, *connection.until(end)])


def table(frame: pl.DataFrame | None, data_type: DataType) -> pl.DataFrame:
    assert frame is not None
    return asked(frame, data_type)


def in_base(symbol: Symbol) -> pl.Expr:
    """Convert amounts as the engine does where a channel counts contracts, here of a dollar."""
    channels = [OURS.channel(symbol.market_type, data_type) for data_type in (TRADES, ORDERBOOK)]
    [contracts] = {channel.contracts for channel in channels if channel}
    return pl.col("amount") / (pl.col("price") if contracts else 1.0)


class TestTrades:
    @pytest.mark.parametrize("symbol", SYMBOLS, ids=str)
    def test_a_subscriber_gets_exactly_the_trades_of_its_time(self, symbol: Symbol) -> None:
        end = Us(NOW + MINUTE)
        found = listened(trades_of(symbol), end)
        wanted = MARKET.truth_trades("bybit", symbol, TimeRange(NOW, end))
        assert wanted.height > 100
        assert table(found.trades, TRADES).with_columns(in_base(symbol)).equals(wanted)
        assert found.trades is not None
        assert found.trades["topic"].unique().to_list() == [f"publicTrade.{adapter.market(symbol)}"]
        assert found.trades["received"].to_list() == wanted["ts"].dt.epoch("us").to_list()
        assert found.at == wanted["ts"].dt.epoch("us")[-1]

    def test_the_trades_of_a_moment_are_one_message(self) -> None:
        acts = subscribed(trades_of(BTC))[0].until(Us(NOW + MINUTE))
        rows: list[Any] = told(acts)
        assert max(len(row["data"]) for row in rows) > 1
        for row in rows:
            assert {trade["T"] for trade in row["data"]} == {row["ts"]}
            assert (row["topic"], row["type"]) == ("publicTrade.BTCUSDT", "snapshot")
        assert all(before.at < after.at for before, after in pairwise(acts))

    @given(steps=st.lists(st.integers(1, 3 * MINUTE), min_size=1, max_size=8))
    def test_it_does_not_matter_how_often_one_looks(self, steps: list[int]) -> None:
        topics = [trades_of(BTC), trades_of(ETH), bars_of(BTC, MINUTE)]
        (whole, _), (parts, _) = subscribed(*topics), subscribed(*topics)
        at, pieces = NOW, list[Act]()
        for step in steps:
            at = Us(at + step)
            pieces += parts.until(at)
        assert pieces == whole.until(at)

    def test_who_leaves_gets_no_more_and_who_comes_late_nothing_of_before(self) -> None:
        topic = trades_of(BTC)
        connection, _ = subscribed(topic)
        left, back, end = (Us(NOW + seconds * SECOND) for seconds in (10, 20, 30))
        before = heard(connection.until(left)).trades
        assert heard(said(connection, OURS.unsubscribe([topic], 8, None))) == DecodedBatch()
        assert connection.until(back) == []
        assert heard(said(connection, OURS.subscribe([topic], 9))).acks == [Ack(id=9)]
        after = heard(connection.until(end)).trades
        for rows, span in ((before, TimeRange(NOW, left)), (after, TimeRange(back, end))):
            wanted = MARKET.truth_trades("bybit", BTC, span)["trade_id"]
            assert table(rows, TRADES)["trade_id"].to_list() == wanted.to_list()


class TestBars:
    @pytest.mark.parametrize("symbol", SYMBOLS, ids=str)
    @pytest.mark.parametrize("text", ["1m", "15m"])
    def test_the_confirmed_ones_are_the_bars_of_history(self, text: str, symbol: Symbol) -> None:
        bar, end = parse_bar_span(text), Us(NOW + HOUR)
        bars = listened(bars_of(symbol, bar), end).bars
        assert bars is not None
        wanted = MARKET.truth_bars("bybit", symbol, bar, TimeRange(Us(NOW - NOW % bar), Us(end - end % bar)))
        assert wanted.height == HOUR // bar
        assert table(bars.filter("closed"), OHLC).equals(wanted)

    def test_a_name_that_spot_shares_with_a_contract_keeps_its_volumes(self) -> None:
        """The topic alone does not tell whether it is dollars that are counted."""
        spot = Symbol.parse("BTC/USD")
        assert bars_of(spot, MINUTE).market == bars_of(INVERSE, MINUTE).market
        for symbol in (spot, INVERSE):
            bars = listened(bars_of(symbol, MINUTE), Us(NOW + HOUR)).bars
            assert bars is not None
            wanted = MARKET.truth_bars(
                "bybit", symbol, MINUTE, TimeRange(Us(NOW - NOW % MINUTE), Us(NOW + HOUR - NOW % MINUTE))
            )
            assert table(bars.filter("closed"), OHLC).equals(wanted)

    @pytest.mark.parametrize("bar", OURS.channels[OHLC].spans)
    @pytest.mark.parametrize("symbol", [ETH, INVERSE], ids=str)
    def test_a_running_bar_is_what_the_rest_interface_says_at_that_moment(
        self, bar: Us, symbol: Symbol
    ) -> None:
        topic = bars_of(symbol, bar)
        connection, acts = subscribed(topic)
        state = heard(acts).state
        route = next(route for route in VENUE.routes if route.path == "/v5/market/kline")
        endpoint = adapter.EXCHANGE.endpoint(symbol.market_type, OHLC)
        assert endpoint is not None
        for act in connection.until(Us(NOW + 2 * MINUTE))[::9]:
            found = heard([act], state)
            assert found.at == act.at
            pushed: Any = told([act])[0]["data"]
            start = Us(pushed[0]["start"] * MILLISECOND)
            params = {
                "category": topic.market_type,
                "symbol": topic.market,
                "interval": pushed[0]["interval"],
            }
            params |= {"start": str(start // MILLISECOND), "limit": "1"}
            body = route.answer(Ask(MARKET, params, act.at, Rule(1, SECOND), Hidden()))
            assert table(found.bars, OHLC).equals(endpoint.decode(body, act.at))
            assert pushed[0]["end"] * MILLISECOND == start + bar - MILLISECOND

    def test_a_quiet_minute_is_pushed_and_confirmed_too(self) -> None:
        bars = listened(bars_of(ETH, MINUTE), Us(NOW + HOUR)).bars
        assert bars is not None
        quiet = bars.filter(pl.col("closed") & (pl.col("volume") == 0))
        assert quiet.height
        assert quiet.select((pl.col("open") == pl.col("close")).all()).item()

    def test_an_outage_is_silent(self) -> None:
        topics = [trades_of(BTC), bars_of(BTC, MINUTE)]
        connection, acts = subscribed(*topics, now=Us(SHUT.start - 30 * SECOND))
        acts += connection.until(Us(SHUT.end + 90 * SECOND))
        assert [act for act in acts if SHUT.start < act.at < SHUT.end] == []
        bars = heard(acts).bars
        assert bars is not None
        closed = bars.filter("closed")["ts"].dt.epoch("us").to_list()
        assert closed == [SHUT.start - MINUTE, SHUT.end]


class TestBooks:
    @pytest.mark.parametrize("symbol", SYMBOLS, ids=str)
    @pytest.mark.parametrize("depth", [1, 50, 200, 1_000])
    def test_snapshot_and_changes_are_the_book_at_any_time(self, symbol: Symbol, depth: int) -> None:
        changes = listened(book_of(symbol, depth), Us(NOW + 3 * SECOND)).books
        assert len(changes) == 31
        assert [change.whole for change in changes] == [True] + [depth == 1] * 30
        book = book_kept(symbol)
        for change in changes:
            assert book.apply(change)
            assert change.at is not None
            assert rows_of(book, symbol, change.at).equals(
                MARKET.truth_book("bybit", symbol, change.at, depth).drop("received")
            )

    def test_it_begins_with_what_the_rest_interface_says_and_grows_by_one(self) -> None:
        topic = book_of(BTC, 1_000)
        begun, *rest = listened(topic, Us(NOW + SECOND)).books
        route = next(route for route in VENUE.routes if route.path == "/v5/market/orderbook")
        params = {"category": "spot", "symbol": topic.market, "limit": "1000"}
        body: Any = msgspec.json.decode(route.answer(Ask(MARKET, params, NOW, Rule(1, SECOND), Hidden())))
        asked = body["result"]
        assert [[list(level) for level in side] for side in (begun.bids, begun.asks)] == [
            asked["b"],
            asked["a"],
        ]
        assert (begun.last, begun.at) == (asked["u"], asked["cts"] * MILLISECOND)
        assert begun.at == NOW - NOW % BOOK_PERIOD
        numbers = [change.last for change in (begun, *rest)]
        assert numbers == [*range(asked["u"], asked["u"] + 11)]

    def test_the_subscriber_of_a_version_s_first_moment_gets_it_once(self) -> None:
        now = Us(NOW - NOW % BOOK_PERIOD)
        connection, acts = subscribed(book_of(BTC), now=now)
        assert [change.last for change in heard(acts).books] == [now // BOOK_PERIOD]
        assert connection.until(Us(now + BOOK_PERIOD)) == []
        assert len(connection.until(Us(now + BOOK_PERIOD + 1))) == 1

    def test_a_message_says_when_it_was_sent_and_when_the_book_was_made(self) -> None:
        _, acts = subscribed(book_of(BTC))
        [_, first] = told(acts)
        assert (first["ts"], first["cts"]) == (NOW // MILLISECOND, (NOW - NOW % BOOK_PERIOD) // MILLISECOND)
        assert heard(acts).at == NOW

    def test_what_is_gone_has_size_0_and_nothing_stays_beyond_the_depth(self) -> None:
        connection, acts = subscribed(book_of(BTC))
        book = book_kept(BTC)
        acts += connection.until(Us(NOW + 10 * SECOND))
        for change in heard(acts).books:
            book.apply(change)
            assert (len(book.bids), len(book.asks)) == (50, 50)
        assert any('","0"]' in act.text for act in messages(acts))
        assert not any("0.00000000" in act.text for act in messages(acts))

    @pytest.mark.parametrize("depth", [1, 50])
    def test_after_an_outage_it_begins_anew(self, depth: int) -> None:
        found = listened(
            book_of(BTC, depth), Us(SHUT.end + SECOND), now=Us(SHUT.start - BOOK_PERIOD // 2)
        ).books
        first, gone, back, *rest = found
        assert (gone.at, back.at) == (SHUT.start, SHUT.end)
        assert (back.whole, len(back.bids), len(back.asks)) == (True, depth, depth)
        assert len(rest) == 9
        book = book_kept(BTC)
        book.apply(first)
        book.apply(gone)
        assert (book.lost, len(book.bids), len(book.asks)) == (None, 0, 0)
        book.apply(back)
        assert rows_of(book, BTC, SHUT.end).equals(
            MARKET.truth_book("bybit", BTC, SHUT.end, depth).drop("received")
        )

    def test_who_comes_before_the_first_trade_is_told_that_there_is_no_book(self) -> None:
        new = Symbol.parse("NEW/USDT")
        first_trade = MARKET.tape("bybit", new).first_time
        begun, born, *_ = listened(
            book_of(new), Us(first_trade + SECOND), now=Us(first_trade - 2 * SECOND)
        ).books
        assert (begun.whole, begun.bids, begun.asks) == (True, [], [])
        assert born.whole
        assert 0 < (born.at or 0) - first_trade <= BOOK_PERIOD
        assert (len(born.bids), len(born.asks)) == (50, 50)

    @given(steps=st.lists(st.integers(1, 2 * SECOND), min_size=1, max_size=6))
    def test_it_does_not_matter_how_often_one_looks(self, steps: list[int]) -> None:
        (whole, _), (parts, _) = subscribed(book_of(BTC)), subscribed(book_of(BTC))
        at, pieces = NOW, list[Act]()
        for step in steps:
            at = Us(at + step)
            pieces += parts.until(at)
        assert pieces == whole.until(at)

    def test_who_leaves_and_comes_back_begins_anew(self) -> None:
        topic = book_of(PERP)
        connection, _ = subscribed(topic)
        connection.until(Us(NOW + SECOND))
        said(connection, OURS.unsubscribe([topic], 8, None))
        assert connection.until(Us(NOW + 2 * SECOND)) == []
        name = f"linear:{OURS.name(topic)}"
        assert connection.side.restarted(name, TimeRange(connection.now, Us(NOW + 3 * SECOND))) is None
        [begun] = heard(said(connection, OURS.subscribe([topic], 9))).books
        assert begun.whole
        assert begun.last == connection.now // BOOK_PERIOD


class TestFaults:
    @pytest.mark.parametrize(
        "kind", [StreamFaultKind.DROP, StreamFaultKind.WRONG_SEQUENCE, StreamFaultKind.REORDER]
    )
    def test_what_is_missing_from_a_book_is_noticed(self, kind: StreamFaultKind) -> None:
        book = book_kept(BTC)
        lost = [not book.apply(change) for change in struck(StreamFault(kind=kind, nth=5))]
        assert any(lost)
        assert "missing" in str(book.lost)

    def test_a_message_that_comes_twice_does_no_harm(self) -> None:
        changes = struck(StreamFault(kind=StreamFaultKind.DUPLICATE, nth=5))
        assert changes[4] == changes[5] != changes[6]
        book = book_kept(BTC)
        assert all(book.apply(change) for change in changes)
        at = changes[-1].at
        assert at is not None
        assert rows_of(book, BTC, at).equals(MARKET.truth_book("bybit", BTC, at, 50).drop("received"))

    @pytest.mark.parametrize("nth", [2, 7])
    def test_numbers_may_begin_anew_with_1_and_a_whole_book(self, nth: int) -> None:
        changes = struck(StreamFault(kind=StreamFaultKind.RESET, nth=nth))
        numbers = [change.last for change in changes]
        assert numbers[nth - 1 :] == [*range(1, len(numbers) - nth + 2)]
        assert changes[nth - 1].whole
        book = book_kept(BTC)
        assert all(book.apply(change) for change in changes)
        at = changes[-1].at
        assert at is not None
        assert rows_of(book, BTC, at).equals(MARKET.truth_book("bybit", BTC, at, 50).drop("received"))

    def test_neither_first_snapshots_nor_trades_can_be_numbered_anew(self) -> None:
        reset = StreamFault(kind=StreamFaultKind.RESET, first=1)
        assert [change.last for change in struck(reset)] == [change.last for change in struck(None)]
        connection, _ = subscribed(trades_of(PERP))
        second = TimeRange(NOW, Us(NOW + SECOND))
        assert connection.side.restarted("linear:publicTrade.BTCUSDT", second) is None

    @pytest.mark.parametrize(
        "kind", [StreamFaultKind.GARBAGE, StreamFaultKind.TRUNCATED, StreamFaultKind.WRONG_TYPE]
    )
    def test_a_spoilt_message_is_bad_and_its_neighbours_are_not(self, kind: StreamFaultKind) -> None:
        connection, _ = subscribed(trades_of(BTC))
        acts = connection.until(Us(NOW + 10 * SECOND))
        spoilt = line(connection, StreamFault(kind=kind, nth=3), acts)
        frames = [act.text.encode() for act in messages(spoilt)]
        found = OURS.decode(frames, [act.at for act in acts], None)
        assert [text for text, _ in found.bad] == [frames[2]]
        kept = heard([*acts[:2], *acts[3:]]).trades
        assert found.trades is not None
        assert kept is not None
        assert found.trades.equals(kept)

    def test_topics_of_kinds_that_share_a_name_differ(self) -> None:
        spot, _ = subscribed(book_of(BTC))
        linear, _ = subscribed(book_of(PERP))
        topics = [{act.topic for act in messages(one.until(Us(NOW + SECOND)))} for one in (spot, linear)]
        assert topics == [{"orderbook.50.BTCUSDT"}, {"linear:orderbook.50.BTCUSDT"}]


class TestWords:
    @pytest.mark.parametrize(("kind", "text"), [("spot", "subscribe"), ("linear", ""), ("inverse", "")])
    def test_an_answer_tells_the_number_of_its_request(self, kind: str, text: str) -> None:
        ticker = "BTCUSD" if kind == "inverse" else "BTCUSDT"
        words = {"req_id": "a", "op": "subscribe", "args": [f"publicTrade.{ticker}", f"kline.M.{ticker}"]}
        [answer] = told(talk(kind).say(words))
        assert answer.pop("conn_id")
        assert answer == {"success": True, "ret_msg": text, "req_id": "a", "op": "subscribe"}

    @pytest.mark.parametrize(
        ("kind", "topic"),
        [
            ("spot", "publicTrade.NOPEUSDT"),
            ("spot", "publicTrade.btcusdt"),
            ("linear", "publicTrade.BTCUSD"),
            ("inverse", "publicTrade.BTCUSDT"),
            ("spot", "orderbook.500.BTCUSDT"),
            ("spot", "orderbook.BTCUSDT"),
            ("spot", "kline.7.BTCUSDT"),
            ("spot", "kline.1m.BTCUSDT"),
            ("spot", "trade.BTCUSDT"),
            ("spot", "orderBookL2_25.BTCUSDT"),
            ("spot", "*"),
        ],
    )
    def test_one_unknown_topic_refuses_its_whole_request(self, kind: str, topic: str) -> None:
        connection = talk(kind)
        good = "publicTrade.BTCUSD" if kind == "inverse" else "publicTrade.BTCUSDT"
        words = {"req_id": f"{kind}:4", "op": "subscribe", "args": [good, topic]}
        answer = connection.say(words)
        assert heard(answer).acks == [Ack(id=4, error=f"error:handler not found,topic:{topic}")]
        assert connection.until(Us(NOW + MINUTE)) == []

    def test_a_topic_that_is_on_is_refused_and_goes_on(self) -> None:
        connection, _ = subscribed(trades_of(BTC))
        answer = said(connection, OURS.subscribe([trades_of(BTC)], 8))
        assert [row["success"] for row in told(answer)] == [False]
        assert heard(answer).acks == [Ack(topic="publicTrade.BTCUSDT")]
        rows = heard(connection.until(Us(NOW + MINUTE))).trades
        wanted = MARKET.truth_trades("bybit", BTC, TimeRange(NOW, Us(NOW + MINUTE)))
        assert table(rows, TRADES).equals(wanted)

    @pytest.mark.parametrize(("kind", "refused"), [("spot", True), ("linear", False)])
    def test_spot_takes_ten_topics_a_request(self, kind: str, *, refused: bool) -> None:
        minutes = (1, 3, 5, 15, 30, 60, 120, 240, 360, 720)
        names = [f"kline.{n}.BTCUSDT" for n in minutes]
        connection = talk(kind)
        answers = [
            *told(connection.say({"op": "subscribe", "args": ["publicTrade.BTCUSDT", *names]})),
            *told(talk(kind).say({"op": "subscribe", "args": names})),
        ]
        assert [row["success"] for row in answers] == [not refused, True]
        assert (answers[0]["ret_msg"] == "args size >10") == refused

    def test_the_topics_of_a_connection_have_so_many_characters(self) -> None:
        connection, _ = subscribed(trades_of(PERP))
        left = 21_000 - len("publicTrade.BTCUSDT")
        for length, text in ((left, "handler not found"), (left + 1, "args too long")):
            [answer] = told(connection.say({"op": "subscribe", "args": ["x" * length]}))
            assert text in str(answer["ret_msg"])

    def test_a_ping_is_answered(self) -> None:
        [answer] = told(talk().say({"req_id": "9", "op": "ping"}))
        assert answer.pop("conn_id")
        assert answer == {"success": True, "ret_msg": "pong", "req_id": "9", "op": "ping"}
        assert OURS.ping
        assert heard(said(talk("linear"), OURS.ping(3))) == DecodedBatch()

    def test_an_operation_that_it_does_not_know_is_none_of_a_topic(self) -> None:
        acts = talk().say({"op": "sing"})
        assert [(answer["success"], answer["ret_msg"]) for answer in told(acts)] == [
            (False, "error:invalid op")
        ]
        assert heard(acts) == DecodedBatch()

    @pytest.mark.parametrize("words", ["garbage", "", {"op": "subscribe", "args": "x"}, []])
    def test_what_it_does_not_understand_is_an_error(self, words: object) -> None:
        connection = talk()
        [ack] = heard(connection.say(words)).acks
        assert ack.error
        assert (ack.topic, ack.id) == (None, None)


class TestLimits:
    def test_a_quiet_connection_is_cut_after_ten_minutes(self) -> None:
        cut = Close(Us(NOW + 10 * MINUTE), ABORTED)
        quiet = talk(enforced=True)
        assert closes(quiet.until(cut.at)) == []
        assert closes(quiet.until(Us(cut.at + 1))) == [cut]
        assert closes(talk(enforced=True).until(Us(NOW + HOUR))) == [cut]
        assert closes(talk().until(Us(NOW + HOUR))) == []

    def test_words_and_data_keep_it_open(self) -> None:
        pinging = talk(enforced=True)
        for minute in range(9, 60, 9):
            assert closes(pinging.until(Us(NOW + minute * MINUTE))) == []
            pinging.say({"op": "ping"})
        pushed, _ = subscribed(bars_of(BTC, MINUTE), enforced=True)
        for minute in range(9, 60, 9):
            assert closes(pushed.until(Us(NOW + minute * MINUTE))) == []
        said(pushed, OURS.unsubscribe([bars_of(BTC, MINUTE)], 2, None))
        assert closes(pushed.until(Us(NOW + DAY))) == [Close(Us(NOW + 64 * MINUTE), ABORTED)]

    def test_so_many_may_connect_in_five_minutes(self) -> None:
        ours = OURS.connects
        assert LIVE.connects == Rule(500, Us(5 * MINUTE)) == Rule(ours.amount, ours.period)
        assert LIVE.refused.status == 403

    def test_a_full_connection_of_ours_has_fewer_characters(self) -> None:
        longest = Topic(ORDERBOOK, "1000000BABYDOGEUSDT", "linear", depth=1_000)
        assert OURS.most * len(OURS.name(longest)) < 21_000


def channel_of(symbol: Symbol) -> Channel:
    channel = OURS.channel(symbol.market_type, ORDERBOOK)
    assert channel is not None
    return channel


def book_kept(symbol: Symbol) -> Book:
    return Book(channel_of(symbol))


def rows_of(book: Book, symbol: Symbol, at: Us) -> pl.DataFrame:
    """Return a book in our table, in the base currency."""
    assert book.lost is None
    sides = [("bid", book.bids.best(9_999)), ("ask", book.asks.best(9_999))]
    found = [
        (at, side, level, float(price), float(amount))
        for side, levels in sides
        for level, (price, amount) in enumerate(levels)
    ]
    schema = {name: of for name, of in ORDERBOOK.table.schema.items() if name != "received"}
    frame = pl.DataFrame(found, schema=list(schema), orient="row")
    return frame.cast({name: schema[name] for name in schema}).with_columns(in_base(symbol))


def line(connection: Talk, fault: StreamFault, acts: Sequence[Act]) -> list[Act]:
    reports: list[Message] = []
    wire = Line("bybit", LIVE, connection.side, lambda _, message: reports.append(message))
    return wire.sent(acts, StreamInjector([fault], 1), connection.now)


def struck(fault: StreamFault | None) -> list[BookChange]:
    """Return what comes of three seconds of a book, its first snapshot included, that meet a fault."""
    connection, acts = subscribed(book_of(BTC))
    acts += connection.until(Us(NOW + 3 * SECOND))
    return heard(line(connection, fault, acts) if fault else acts).books
