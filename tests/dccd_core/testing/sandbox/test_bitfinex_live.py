from collections.abc import Sequence
from typing import Any

import msgspec
import polars as pl
import pytest

from dccd_core.adapter.live import Ack, Topic
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import HOUR, MILLISECOND, MINUTE, SECOND, TimeRange, Us, parse_time
from dccd_core.exchanges import bitfinex_live as adapter
from dccd_core.stream.book import Book
from dccd_core.tables import DataType
from dccd_core.testing.sandbox.bitfinex_live import LIVE
from dccd_core.testing.sandbox.live import Act
from dccd_core.testing.sandbox.market import Market
from dccd_core.testing.sandbox.stream_faults import StreamFault, StreamFaultKind
from tests.dccd_core.testing.sandbox.asked import asked
from tests.dccd_core.testing.sandbox.listener import Listener, struck
from tests.dccd_core.testing.sandbox.talk import Talk, closes, messages, told

NOW = parse_time("2024-06-05T12:00:20.05")
BTC = Symbol.parse("BTC/USD")
OUTAGE = TimeRange(parse_time("2024-06-05T13:00"), parse_time("2024-06-05T13:10:30"))
MARKET = Market(trades_per_day={"BTC/USD": 300_000, "ETH/USD": 500}, outages=[OUTAGE])
CONF = {"event": "conf", "flags": 229_376}
TRADES = Topic(DataType.TRADES, "tBTCUSD")
BOOK = Topic(DataType.ORDERBOOK, "tBTCUSD", depth=100)
BARS = Topic(DataType.OHLC, "tBTCUSD", bar=MINUTE)
CHANNEL = adapter.LIVE.channels[DataType.ORDERBOOK]


def listening(*topics: Topic, now: Us = NOW) -> Listener:
    return Listener("bitfinex", *topics, market=MARKET, now=now)


def talk(*words: object, now: Us = NOW, enforced: bool = False) -> Talk:
    """Open a connection with the flags, and say more."""
    connection = Talk(LIVE, "/ws/2", now, MARKET, enforced=enforced)
    for word in (CONF, *words):
        connection.say(word)
    return connection


def wanted(channel: str, about: str, **more: str) -> dict[str, str]:
    key = "key" if channel == "candles" else "symbol"
    return {"event": "subscribe", "channel": channel, key: about, **more}


def frames(acts: Sequence[Act]) -> list[list[Any]]:
    return [msgspec.json.decode(act.text) for act in messages(acts) if act.text.startswith("[")]


def table(heard: Sequence[pl.DataFrame | None], data_type: DataType) -> pl.DataFrame:
    return asked(pl.concat(frame for frame in heard if frame is not None), data_type)


class TestTrades:
    def test_a_subscriber_gets_the_last_thirty_and_all_that_come(self) -> None:
        listener = listening(TRADES)
        [first] = [heard.trades for heard in listener.heard if heard.trades is not None]
        end = Us(NOW + 2 * MINUTE)
        rows = table([first, listener.until(end).trades], DataType.TRADES)
        span = TimeRange(Us(NOW - HOUR), end)
        truth = MARKET.truth_trades("bitfinex", BTC, span)
        before = MARKET.truth_trades("bitfinex", BTC, TimeRange(span.start, NOW)).height
        assert first.height == 30
        assert rows.equals(truth.slice(before - 30))
        assert rows.height > 200

    def test_each_comes_twice_the_second_time_later(self) -> None:
        connection = talk(wanted("trades", "tBTCUSD"))
        told = frames(connection.until(Us(NOW + MINUTE)))
        kinds = {kind: [row for row in told if row[1] == kind] for kind in ("te", "tu")}
        assert [row[4] for row in kinds["te"]] == [row[2][1] for row in kinds["te"]]
        late = {row[4] - row[2][1] for row in kinds["tu"]}
        assert late == {1_500}
        first = [row[2] for row in kinds["te"]]
        again = [row[2] for row in kinds["tu"]]
        assert again[-1] in first
        assert [row for row in again if row in first] == first[: len([row for row in again if row in first])]


class TestBars:
    def test_the_last_word_on_a_bar_comes_when_the_next_one_has_begun(self) -> None:
        told = frames(talk(wanted("candles", "trade:1m:tBTCUSD")).until(Us(NOW + 10 * MINUTE)))
        pushed = [(row[1][0], row[3]) for row in told if row[1] != "hb"]
        late = [(opened, at) for opened, at in pushed if at == opened + 65_000]
        assert len(late) > 5
        begun = [max(other for other, then in pushed if then <= at) for _, at in late]
        assert sum(new > old for new, (old, _) in zip(begun, late, strict=True)) > 3

    def test_a_quiet_market_has_few(self) -> None:
        told = frames(talk(wanted("candles", "trade:1m:tETHUSD")).until(Us(NOW + 40 * MINUTE)))
        pushed = [row for row in told if row[1] != "hb"]
        beats = [row for row in told if row[1] == "hb"]
        truth = MARKET.truth_bars(
            "bitfinex", Symbol.parse("ETH/USD"), MINUTE, TimeRange(NOW, Us(NOW + 38 * MINUTE))
        )
        assert 0 < truth.height < 30
        assert truth.height <= len(pushed) < 3 * truth.height + 4
        assert len(beats) > 100


class TestBooks:
    def test_bids_come_first_and_numbers_have_no_zeros_at_their_end(self) -> None:
        connection = talk()
        [_, snapshot] = messages(connection.say(wanted("book", "tDOGE:USD", len="25")))
        rows = msgspec.json.decode(snapshot.text)[1]
        assert [row[2] > 0 for row in rows] == [True] * 25 + [False] * 25
        texts = snapshot.text.replace("]", ",").replace("[", ",").split(",")
        assert not [text for text in texts if "." in text and text.endswith(("0", "."))]

    def test_without_the_flag_nothing_is_proven(self) -> None:
        connection = Talk(LIVE, "/ws/2", NOW, MARKET)
        connection.say({"event": "conf", "flags": 65_536})
        connection.say(wanted("book", "tBTCUSD"))
        told = frames(connection.until(Us(NOW + 5 * SECOND)))
        assert told
        assert not [row for row in told if row[1] == "cs"]
        assert [row[-1] for row in told] == list(range(2, len(told) + 2))

    def test_a_wrong_checksum_loses_the_book(self) -> None:
        fault = StreamFault(kind=StreamFaultKind.WRONG_CHECKSUM, topic="book:*", first=20)
        heard, book = struck(listening(BOOK), fault, seconds=5), Book(CHANNEL, 100)
        applied = [book.apply(change) for change in heard.books]
        assert heard.restart is None
        assert False in applied
        assert "checksum" in (book.lost or "")


class TestConnection:
    def test_it_is_greeted(self) -> None:
        [info] = told(talk().greeting)
        assert (info["event"], info["version"], info["platform"]) == ("info", 2, {"status": 1})

    def test_channels_are_numbers_of_the_connection(self) -> None:
        words = [wanted("trades", "tBTCUSD"), wanted("book", "tBTCUSD", prec="P0", freq="F0", len="25")]
        told_now = [told(talk().say(word)[:1])[0] for word in words]
        numbers = {answer.pop("chanId") for answer in told_now}
        assert told_now == [
            {"event": "subscribed", "channel": "trades", "symbol": "tBTCUSD", "pair": "BTCUSD"},
            {
                "event": "subscribed",
                "channel": "book",
                "symbol": "tBTCUSD",
                "pair": "BTCUSD",
                "prec": "P0",
                "freq": "F0",
                "len": "25",
            },
        ]
        later = talk(now=Us(NOW + SECOND)).say(wanted("candles", "trade:3h:tBTCUST"))[:1]
        [answer] = told(later)
        assert answer.pop("chanId") not in numbers
        assert answer == {"event": "subscribed", "channel": "candles", "key": "trade:3h:tBTCUST"}

    def test_all_messages_of_channels_are_numbered_through(self) -> None:
        listener = listening(TRADES, BARS, BOOK, Topic(DataType.TRADES, "tDOGE:USD"))
        heard = listener.until(Us(NOW + 2 * MINUTE))
        assert (heard.bad, heard.restart) == ([], None)
        assert isinstance(heard.state, adapter.Connection)
        assert heard.state.last is not None
        assert heard.state.last > 1_000
        assert [ack for one in listener.heard for ack in one.acks] == [
            Ack("trades:tBTCUSD"),
            Ack("candles:trade:1m:tBTCUSD"),
            Ack("book:tBTCUSD"),
            Ack("trades:tDOGE:USD"),
        ]

    def test_a_quiet_channel_says_so_every_fifteen_seconds(self) -> None:
        connection = talk(wanted("candles", "trade:1m:tETHUSD"), now=Us(OUTAGE.start + MINUTE))
        acts = connection.until(Us(OUTAGE.start + 2 * MINUTE + 1))
        assert [act.at - OUTAGE.start - MINUTE for act in acts] == [n * 15 * SECOND for n in range(1, 5)]
        assert [row[1] for row in frames(acts)] == ["hb"] * 4
        assert {act.topic for act in messages(acts)} == {""}
        assert [row[2] for row in frames(acts)] == [2, 3, 4, 5]
        assert [row[3] for row in frames(acts)] == [act.at // MILLISECOND for act in acts]

    def test_who_leaves_gets_no_more(self) -> None:
        listener = listening(TRADES, BOOK)
        left = listener.say(adapter.LIVE.unsubscribe([TRADES], 1, listener.state))
        assert (left.acks, left.bad) == ([], [])
        later = listener.until(Us(NOW + 20 * SECOND))
        assert (later.trades, later.restart, later.bad) == (None, None, [])
        assert later.books
        back = listener.say(adapter.LIVE.subscribe([TRADES], 1))
        assert back.acks == [Ack("trades:tBTCUSD")]
        assert back.trades is not None
        assert listener.until(Us(NOW + 40 * SECOND)).trades is not None

    def test_pings_are_answered(self) -> None:
        [pong] = told(talk().say({"event": "ping", "cid": 5}))
        assert pong == {"event": "pong", "ts": NOW // MILLISECOND, "cid": 5}

    @pytest.mark.parametrize(
        ("words", "error"),
        [
            (wanted("trades", "tBTCUSDT"), (10300, "symbol: invalid")),
            (wanted("trades", "tBTCF0:USTF0"), (10300, "symbol: invalid")),
            (wanted("candles", "trade:2h:tBTCUSD"), (10300, "key: invalid")),
            (wanted("candles", "trade:1m:tX"), (10300, "key: invalid")),
            (wanted("candles", "what"), (10300, "key: invalid")),
            (wanted("status", "tBTCUSD"), (10302, "channel: unknown")),
            (wanted("book", "tBTCUSD", prec="R0"), (10011, "prec: invalid")),
            (wanted("book", "tBTCUSD", len="50"), (10012, "len: invalid")),
            ({"event": "unsubscribe", "chanId": 1}, (10400, "unsubscribe: invalid")),
            ({"event": "what"}, (20000, "event: invalid")),
            ("{", (20000, "event: invalid")),
            ({"no": "event"}, (20000, "event: invalid")),
        ],
    )
    def test_what_is_not_served_is_refused_with_what_was_asked(
        self, words: dict[str, str] | str, error: tuple[int, str]
    ) -> None:
        [answer] = told(talk().say(words))
        assert answer["event"] == "error"
        assert (answer["code"], answer["msg"]) == error
        if isinstance(words, dict) and "channel" in words:
            assert {**answer, **words} == {**answer, "event": "subscribe"}

    def test_twice_is_refused_and_for_the_adapter_agreed_to(self) -> None:
        """It knows the channel, so there is nothing to mend by ending the connection of all others."""
        listener = listening(TRADES)
        said = listener.say(adapter.LIVE.subscribe([TRADES], 1))
        assert (said.acks, said.restart) == ([Ack("trades:tBTCUSD")], None)

    @pytest.mark.parametrize("enforced", [True, False])
    def test_a_channel_too_many_is_refused(self, enforced: bool) -> None:  # noqa: FBT001 - pytest names it
        frames = ("1m", "5m", "15m", "30m", "1h")
        names = ("tETHUSD", "tDOGE:USD", "tBTCUST", "tETHUST", "tETHBTC", "tSOLUST")
        keys = [f"trade:{frame}:{name}" for frame in frames for name in names]
        connection = talk(*(wanted("candles", key) for key in keys[:25]), enforced=enforced)
        acts = connection.say(wanted("candles", keys[25]))
        assert told(acts[:1])[0].get("code") == (10305 if enforced else None)
        assert closes(acts) == []
        assert len(connection.side.feeds) == (25 if enforced else 26)

    def test_faults_find_the_numbers(self) -> None:
        acts = talk(wanted("book", "tBTCUSD")).until(Us(NOW + 5 * SECOND))
        assert LIVE.sequence is not None
        assert LIVE.checksum is not None
        for act, row in zip(messages(acts), frames(acts), strict=True):
            number = LIVE.sequence.search(act.text)
            assert number is not None
            assert int(number[1]) == row[-2]
            proof = LIVE.checksum.search(act.text)
            assert (int(proof[1]) if proof else None) == (row[2] if row[1] == "cs" else None)
