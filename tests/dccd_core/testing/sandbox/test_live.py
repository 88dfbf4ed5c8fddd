from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import MINUTE, SECOND, TimeRange, Us, parse_time
from dccd_core.testing.sandbox.live import (
    Act,
    Batch,
    Close,
    Feed,
    Habits,
    Live,
    Message,
    Opening,
    Ping,
    Side,
    bars_so_far,
    every,
    grid,
    nothing,
    texts,
)
from dccd_core.testing.sandbox.market import Market
from tests.dccd_core.testing.sandbox.talk import Talk, pings

MARKET = Market()
ETH = Symbol.parse("ETH/USDT")
NOW = parse_time("2024-06-05T12:00:00")


def ticks(period: int) -> Feed:
    def made(span: TimeRange) -> Batch:
        at = grid(Us(period), span).tolist()
        return at, [str(moment) for moment in at]

    return Feed(f"every {period}", made, Us(100))


class Deaf(Side):
    """Answers nothing."""

    def heard(self, text: str, now: Us) -> list[Act]:
        return []


class Clockwork(Deaf):
    """It pushes the time, and beats every 70 us."""

    def beats(self, span: TimeRange, pushed: Sequence[Act]) -> list[Act]:
        return [Message(at, "", f"beat {len(pushed)}") for at in every(Us(70), self.opening.now, span)]


def live(habits: Habits, *feeds: Feed) -> Live:
    def opened(opening: Opening) -> Side:
        side = Clockwork(opening, habits) if feeds else Deaf(opening, habits)
        side.feeds.update({feed.topic: feed for feed in feeds})
        return side

    return Live(paths=("/",), open=opened)


class TestFeed:
    @given(
        start=st.integers(0, 1_000),
        lengths=st.lists(st.integers(0, 400), max_size=12),
        period=st.integers(1, 50),
    )
    def test_whatever_the_spans_each_message_comes_once_and_in_its_span(
        self, start: int, lengths: list[int], period: int
    ) -> None:
        feed, at = ticks(period), start
        for length in lengths:
            messages = feed.due(TimeRange(Us(at), Us(at + length)))
            assert [message.at for message in messages] == grid(
                Us(period), TimeRange(Us(at), Us(at + length))
            ).tolist()
            assert all(message.text == str(message.at) for message in messages)
            at += length

    def test_time_may_go_back(self) -> None:
        feed = ticks(10)
        later = feed.due(TimeRange(Us(500), Us(560)))
        earlier = feed.due(TimeRange(Us(100), Us(130)))
        assert [message.at for message in earlier] == [100, 110, 120]
        assert feed.due(TimeRange(Us(500), Us(560))) == later

    def test_a_silent_feed_is_silent(self) -> None:
        assert Feed("x", nothing).due(TimeRange(NOW, Us(NOW + MINUTE))) == []


class TestSide:
    def test_what_several_topics_push_comes_in_order_of_time(self) -> None:
        talk = Talk(live(Habits(), ticks(30), ticks(20)), "/", Us(0), MARKET)
        acts = [act for act in talk.until(Us(200)) if isinstance(act, Message)]
        assert [(act.at, act.topic) for act in acts if act.at < 100] == [
            (0, "every 30"),
            (0, "every 20"),
            (20, "every 20"),
            (30, "every 30"),
            (40, "every 20"),
            (60, "every 30"),
            (60, "every 20"),
            (70, ""),
            (80, "every 20"),
            (90, "every 30"),
        ]

    def test_pings_come_from_the_opening_on(self) -> None:
        talk = Talk(live(Habits(ping_every=Us(10 * SECOND))), "/", Us(3), MARKET)
        assert [ping.at for ping in pings(talk.until(Us(25 * SECOND)))] == [10 * SECOND + 3, 20 * SECOND + 3]

    @pytest.mark.parametrize("lifetime", [None, Us(5 * SECOND)])
    def test_the_end_of_its_life_closes_a_connection(self, lifetime: Us | None) -> None:
        opening = Opening(MARKET, "/", {}, NOW, lifetime=lifetime)
        side = Deaf(opening, Habits(lifetime=MINUTE))
        end = Us(NOW + (lifetime or MINUTE))
        assert side.due(TimeRange(NOW, end)) == []
        assert side.due(TimeRange(end, Us(end + 1))) == [Close(end, 1001, "Connection lifetime is over")]

    def test_by_itself_a_side_says_nothing(self) -> None:
        side = Deaf(Opening(MARKET, "/", {}, NOW), Habits())
        assert (side.opened(NOW), side.notice(NOW)) == ([], [])
        assert side.restarted("x", TimeRange(NOW, NOW)) is None
        assert side.due(TimeRange(NOW, Us(NOW + 10 * MINUTE))) == []
        assert side.say(NOW, b"{}") == [Message(NOW, "", "{}")]
        assert Ping(NOW, b"").at == NOW


class TestTexts:
    def test_a_row_may_hold_anything_but_a_null_character(self) -> None:
        told = texts('["%s",%d],[', [np.array(["a,b", "]"]), np.array([1, 2])])
        assert told == ['["a,b",1],[', '["]",2],[']

    def test_no_rows_are_no_texts(self) -> None:
        assert texts("%d", [np.zeros(0, np.int64)]) == []


class TestBarsSoFar:
    @given(
        offset=st.integers(0, 86_400),
        pace=st.sampled_from([1, 2, 5, 10]),
        count=st.integers(1, 200),
        bar=st.sampled_from([10, 60, 300, 86_400]),
    )
    def test_each_is_the_bar_of_the_trades_until_then(
        self, offset: int, pace: int, count: int, bar: int
    ) -> None:
        length, start = bar * SECOND, NOW + offset * SECOND
        moments = grid(Us(pace * SECOND), TimeRange(Us(start), Us(start + count * pace * SECOND)))
        so_far = bars_so_far(MARKET, "binance", ETH, Us(length), moments)
        assert so_far.at.tolist() == moments.tolist()
        assert so_far.closed.tolist() == (moments % length == 0).tolist()
        for position in {0, moments.size // 2, moments.size - 1}:
            at = int(moments[position])
            opens = (at - 1) // length * length
            alone = MARKET.book("binance", ETH).bars(np.array([opens]), np.array([at]))
            row = so_far.bars.rows(slice(position, position + 1))
            assert [column.tolist() for column in row.columns()] == [
                column.tolist() for column in alone.columns()
            ]
            assert so_far.closes[position] == opens + length
