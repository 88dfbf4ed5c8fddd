"""Bars of one topic: claimed one after the other, and none whose last version may have been missed."""

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from dccd_core.adapter.live import Channel, Word
from dccd_core.domain.timespan import MINUTE, SECOND, ZERO, TimeRange, Us
from dccd_core.stream.bartopics import BarTopic, BuiltTopic, ClosedBar, quiet_bars
from dccd_core.stream.trades import TopicSummary, summarize
from dccd_core.tables import TIME, DataType
from tests.dccd_core.stream.claims import claimed, moment, reasons, seconds

NUMBERED = Channel(docs="", consecutive=True)
BOTH = Channel(docs="", consecutive=True, beats=SECOND)
PLAIN = Channel(docs="")
FILLED = Channel(docs="", fills_quiet=True)
BEATING = Channel(docs="", beats=Us(15 * SECOND))
SETTLE = Us(5 * SECOND)
SILENT = "nothing came of it for longer than its market explains"


def minutes(count: float) -> Us:
    return Us(round(count * MINUTE))


def come(topic: BarTopic, at: float, *opens: int, spoilt: bool = False) -> bool:
    """Let versions of bars come, at a second."""
    times = [minutes(one) for one in opens]
    return topic.take(TopicSummary(len(opens), min(times), max(times)), moment(at), spoilt=spoilt)


def finish(topic: BarTopic, *finals: tuple[int, float]) -> list[tuple[int, float]]:
    """Return the minutes and prices of the quiet bars between these."""
    quiet = topic.finish([ClosedBar(minutes(opened), close) for opened, close in finals])
    return [(bar.opened // MINUTE, bar.close) for bar in quiet]


def begun(channel: Channel, accepted: float = 190) -> BarTopic:
    topic = BarTopic(channel, MINUTE, SETTLE, seconds(accepted))
    topic.accept(moment(accepted))
    return topic


def bars(*rows: tuple[int, float, float]) -> pl.DataFrame:
    """Return bars: minute, close, volume."""
    schema = DataType.OHLC.table.schema
    return pl.DataFrame(
        {
            "ts": pl.Series([minutes(at) for at, _, _ in rows], dtype=pl.Int64).cast(TIME),
            **{name: [close for _, close, _ in rows] for name in ("open", "high", "low", "close")},
            "volume": [volume for _, _, volume in rows],
            "quote_volume": None,
            "trades": None,
        },
        schema=schema,
    )


def span(start: float, end: float) -> TimeRange:
    return TimeRange(minutes(start), minutes(end))


class TestPushed:
    def test_it_is_complete_from_the_bar_that_was_running(self) -> None:
        topic = begun(PLAIN)
        assert come(topic, 200, 3)
        come(topic, 240, 3, 4)
        assert finish(topic, (3, 1.0)) == []
        assert claimed(topic.claim) == [span(3, 4)]

    def test_before_the_venue_agreed_it_says_nothing(self) -> None:
        topic = BarTopic(PLAIN, MINUTE, SETTLE, ZERO)
        come(topic, 240, 3, 4)
        finish(topic, (3, 1.0))
        topic.word(Word("a", minutes(9)), moment(540))
        assert (topic.accepted, topic.alive, claimed(topic.claim)) == (False, None, [])

    def test_the_next_bar_shows_that_one_cannot_change_any_more(self) -> None:
        topic = begun(PLAIN)
        come(topic, 200, 3)
        assert topic.alive == minutes(3) + SETTLE
        come(topic, 242, 4)
        assert topic.alive == minutes(4) + SETTLE

    def test_bars_that_did_not_come_end_it(self) -> None:
        topic = begun(PLAIN)
        come(topic, 200, 3)
        assert finish(topic, (3, 1.0), (6, 2.0)) == []
        assert reasons(topic.claim) == ["bars did not come"]
        assert claimed(topic.claim) == [span(3, 4), span(6, 7)]

    def test_a_bar_from_before_the_beginning_changes_nothing(self) -> None:
        topic = begun(PLAIN)
        come(topic, 200, 3)
        finish(topic, (2, 1.0), (3, 1.0), (3, 1.5))
        assert claimed(topic.claim) == [span(3, 4)]

    def test_the_quiet_ones_are_filled_in_where_the_venues_history_has_them(self) -> None:
        topic = begun(FILLED)
        come(topic, 200, 3)
        assert finish(topic, (3, 1.5), (6, 2.0), (8, 3.0)) == [(4, 1.5), (5, 1.5), (7, 2.0)]
        assert claimed(topic.claim) == [span(3, 9)]

    def test_a_silence_that_its_market_does_not_explain_is_filled_with_nothing(self) -> None:
        topic = begun(FILLED)
        for at in range(180, 240):
            come(topic, at, 3)
        assert not come(topic, 420, 7)  # what came of minute 3 may have changed later
        assert finish(topic, (7, 2.0)) == []
        assert reasons(topic.claim) == [SILENT]
        assert claimed(topic.claim) == [span(7, 8)]

    def test_no_quiet_bar_has_the_price_of_one_before_something_was_lost(self) -> None:
        for lose in ("spoil", "end", "accept"):
            topic = begun(FILLED)
            come(topic, 200, 3)
            finish(topic, (3, 1.5))
            match lose:
                case "spoil":
                    topic.spoil("a message could not be understood")
                case "end":
                    topic.end("gone")
                    topic.accept(moment(250))
                case _:
                    topic.accept(moment(250))
            topic.word(Word("a", minutes(6)), moment(361))
            assert finish(topic, (8, 9.0)) == []
            assert claimed(topic.claim) == [span(3, 4), span(8, 9)]

    def test_what_came_with_something_nobody_understood_begins_nothing(self) -> None:
        topic = begun(PLAIN)
        come(topic, 200, 3)
        topic.spoil("a message could not be understood")
        assert not come(topic, 241, 4, spoilt=True)
        assert topic.alive == minutes(3) + SETTLE
        finish(topic, (3, 1.0), (4, 1.0))
        assert claimed(topic.claim) == []
        assert come(topic, 265, 4)  # a later version of it
        finish(topic, (4, 1.0))
        assert claimed(topic.claim) == [span(4, 5)]


def push(topic: BarTopic, at: float, *opens: int, spoilt: bool = False) -> None:
    """Let versions of bars come that nobody flags."""
    times = [minutes(one) for one in opens]
    told = TopicSummary(len(opens), min(times), max(times))
    topic.take(told, moment(at), spoilt=spoilt, flagged=False)


class TestUncounted:
    """No flag, no number and no heartbeat shows that the last version of a bar did not come."""

    def test_a_bar_is_final_when_the_next_one_begins_soon_after_its_last_version(self) -> None:
        topic = begun(FILLED)
        for at in (200, 209, 218, 227, 235):
            push(topic, at, 3)
        assert topic.alive == minutes(3) + SETTLE
        push(topic, 243, 4)
        assert topic.alive == minutes(4) + SETTLE
        assert topic.question(moment(250)) is None

    def test_l1_one_whose_last_version_may_have_been_lost_is_what_rest_says(self) -> None:
        topic = begun(FILLED)
        push(topic, 230, 3)
        push(topic, 241, 4)
        assert topic.alive == minutes(3) + SETTLE
        assert topic.question(moment(246)) is None  # it is not final yet
        assert topic.question(moment(247)) == minutes(3)
        held = bars((3, 1.0, 2.0))
        dead, proven = topic.answer(bars((3, 1.5, 9.0)), held, minutes(4), moment(248))
        assert (dead, proven["volume"].to_list()) == (None, [9.0])
        assert claimed(topic.claim) == [span(3, 4)]
        assert reasons(topic.claim) == []
        assert topic.question(moment(249)) is None

    def test_those_after_it_wait_for_the_same_answer(self) -> None:
        topic = begun(FILLED)
        push(topic, 230, 3)
        for at in range(245, 306, 5):
            push(topic, at, at // 60)
        assert topic.alive == minutes(3) + SETTLE
        topic.answer(bars((3, 1.0, 2.0)), None, minutes(4), moment(306))
        push(topic, 310, 5)
        assert topic.alive == minutes(5) + SETTLE

    def test_it_is_asked_for_as_soon_as_it_is_final_when_nothing_more_comes(self) -> None:
        topic = begun(FILLED)
        push(topic, 235, 3)
        assert topic.question(moment(246.9)) is None
        assert topic.question(moment(247)) == minutes(3)
        topic.answer(bars((3, 1.0, 2.0)), bars((3, 1.0, 2.0)), minutes(4), moment(248))
        assert topic.question(moment(270)) is None  # as long as nothing comes it is quiet

    def test_a_question_that_nobody_answers_is_asked_ever_later(self) -> None:
        topic, asked = begun(FILLED), list[int]()
        push(topic, 235, 3)
        for at in range(247, 400):
            if topic.question(moment(at)) is not None:
                topic.ask(seconds(at))
                asked.append(at)
        assert asked == [247, 252, 262, 282, 322, 382]

    def test_l1_a_dead_topic_is_subscribed_to_anew(self) -> None:
        topic = begun(FILLED)
        push(topic, 215, 3)
        dead, proven = topic.answer(bars((3, 1.5, 9.0)), bars((3, 1.0, 2.0)), minutes(4), moment(247))
        assert dead == "it was silent, although something was traded in the bar of 1970-01-01T00:03:00Z"
        assert proven.height == 1  # whatever became of the topic
        assert claimed(topic.claim) == [span(3, 4)]

    def test_a_message_that_nobody_understood_may_have_been_the_last_version(self) -> None:
        topic = begun(FILLED)
        push(topic, 236, 3)
        topic.spoil("odd")
        push(topic, 238, 3, spoilt=True)
        push(topic, 243, 4)
        assert topic.alive == minutes(3) + SETTLE
        assert topic.question(moment(247)) == minutes(3)
        assert reasons(topic.claim) == []

    def test_where_topics_beat_their_words_show_it(self) -> None:
        topic = begun(BEATING)
        topic.word(Word("a", minutes(3)), moment(180))
        push(topic, 200, 3)
        push(topic, 242, 4)
        topic.word(Word("a", seconds(245)), moment(245))
        assert topic.alive == seconds(245)


class TestWords:
    def test_a_word_begins_with_the_next_whole_bar(self) -> None:
        topic = begun(BEATING)
        topic.word(Word("a", seconds(200)), moment(200))
        assert (topic.claim.began, topic.claim.reached) == (minutes(4), minutes(4))
        assert topic.alive == seconds(200)

    def test_only_a_word_shows_that_a_bar_is_final_where_topics_beat(self) -> None:
        """Such a venue may correct a bar when the next one has begun."""
        topic = begun(BEATING)
        come(topic, 200, 3)
        come(topic, 242, 4)
        assert topic.alive is None
        topic.word(Word("a", seconds(246)), moment(246))
        assert topic.alive == seconds(246)

    def test_l1_a_beat_that_was_late_breaks_it_off_when_it_is_heard_of_again(self) -> None:
        topic = begun(BEATING)
        topic.word(Word("a", minutes(3)), moment(180))
        assert not topic.break_off(moment(200))
        topic.word(Word("a", seconds(200)), moment(200))
        assert topic.break_off(moment(221))
        assert reasons(topic.claim) == [SILENT]

    def test_a_heart_that_stops_is_an_end(self) -> None:
        topic = begun(BEATING)
        assert topic.look(moment(255)) is None
        assert topic.look(moment(255.1)) == "nothing came of it for 65 s, not even a heartbeat"
        assert topic.question(moment(1_000)) is None
        topic.end("gone")
        assert topic.look(moment(1_000)) is None
        assert begun(PLAIN).look(moment(1_000)) is None


class TestAnswers:
    def test_it_is_asked_as_soon_as_a_bar_can_be_final(self) -> None:
        topic = begun(PLAIN)
        come(topic, 200, 3)
        assert topic.question(moment(231)) is None  # its bar is still running
        assert topic.question(moment(247)) == minutes(3)
        never = begun(PLAIN)
        assert never.question(moment(300)) is None
        assert never.question(moment(305)) is None  # the venue's clock is known to a second or so
        assert never.question(moment(307)) == minutes(4)

    def test_quiet_is_proven_and_what_was_held_back_is_as_it_is(self) -> None:
        topic = begun(PLAIN)
        come(topic, 200, 3)
        told = bars((3, 1.5, 7.0), (4, 1.5, 0.0))
        dead, proven = topic.answer(told, bars((3, 1.5, 7.0)), minutes(5), moment(310))
        assert (dead, proven.height, topic.claim.reached) == (None, 2, minutes(5))
        assert topic.alive == minutes(5) + SETTLE

    def test_a_bar_that_came_otherwise_or_not_at_all_shows_that_it_is_dead(self) -> None:
        for held in (bars((3, 1.5, 6.0)), bars((3, 1.4, 7.0)), None):
            topic = begun(PLAIN)
            come(topic, 200, 3)
            dead, proven = topic.answer(bars((3, 1.5, 7.0)), held, minutes(5), moment(310))
            assert dead is not None
            assert dead.endswith("something was traded in the bar of 1970-01-01T00:03:00Z")
            assert (proven.height, topic.claim.reached) == (0, minutes(3))

    def test_after_an_answer_nothing_is_known_until_the_next_bar_begins(self) -> None:
        topic = begun(FILLED)
        come(topic, 200, 3)
        topic.answer(bars((3, 1.5, 0.0)), None, minutes(4), moment(250))
        assert not come(topic, 301, 5)  # others may have been lost in between
        assert finish(topic, (5, 3.0)) == []
        assert reasons(topic.claim) == [SILENT]
        assert claimed(topic.claim) == [span(3, 4), span(5, 6)]


def test_quiet_bars_are_of_the_table() -> None:
    rows = quiet_bars("a", [ClosedBar(minutes(3), 1.5)], Us(9))
    assert rows.select(DataType.OHLC.table.schema.names()).schema == DataType.OHLC.table.schema
    [row] = rows.rows(named=True)
    assert (row["open"], row["low"], row["volume"], row["trades"]) == (1.5, 1.5, 0.0, 0)
    assert (row["topic"], row["received"]) == ("a", 9)


def trades(*rows: tuple[float, int]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "ts": pl.Series([seconds(at) for at, _ in rows], dtype=pl.Int64).cast(TIME),
            "price": [float(number) for _, number in rows],
            "amount": 1.0,
            "side": pl.Series(["buy"] * len(rows), dtype=DataType.TRADES.table.schema["side"]),
            "trade_id": [str(number) for _, number in rows],
            "topic": "a",
            "received": pl.Series([0] * len(rows), dtype=pl.Int64),
        }
    )


class Built:
    """Bars of a topic that was accepted at second 0; ``volumes``: how many trades each has, by minute."""

    def __init__(self, channel: Channel = NUMBERED) -> None:
        self.topic = BuiltTopic(channel, MINUTE, ZERO)
        self.topic.accept(moment(0))
        self.volumes: dict[int, float] = {}

    def give(self, at: float, *rows: tuple[float, int], spoilt: bool = False) -> None:
        frame = trades(*rows)
        self._keep(self.topic.take(summarize(frame)["a"], lambda: frame, moment(at), spoilt=spoilt))

    def look(self, at: float) -> None:
        self.topic.look(moment(at))
        self.settle()

    def settle(self) -> None:
        self._keep(self.topic.settled())

    def _keep(self, found: list[pl.DataFrame]) -> None:
        for frame in found:
            for opened, volume in frame.select(pl.col("ts").cast(pl.Int64), "volume").iter_rows():
                assert opened // MINUTE not in self.volumes
                self.volumes[opened // MINUTE] = volume


class TestBuilt:
    def test_a_bar_is_final_once_its_trades_are_all_there(self) -> None:
        built = Built()
        for number, at in enumerate((10, 65, 100, 121), 1):
            built.give(at, (at, number))
        assert built.volumes == {}
        assert (built.topic.claim.began, built.topic.claim.reached) == (minutes(1), minutes(1))
        built.give(122.5, (122.5, 5))
        assert built.volumes == {1: 2.0}
        assert built.topic.claim.reached == minutes(2)

    def test_bars_across_a_gap_that_was_given_up_have_all_their_trades(self) -> None:
        built = Built()
        built.give(10, (10, 1))
        built.give(70, (70, 2))
        built.give(130, (130, 4), (175, 5), (181, 6), (190, 7))  # 3 never comes
        built.give(200, (200, 8))
        built.look(206)
        built.give(243, (239, 9), (243, 10))
        assert built.volumes == {3: 4.0}  # minute 1 may lack the lost one, minute 2 too
        assert reasons(built.topic.claim) == ["trades 3 to 3 did not come"]
        assert claimed(built.topic.claim) == [span(3, 4)]

    def test_trades_that_came_while_nothing_was_known_belong_to_the_bars_that_begin_then(self) -> None:
        built = Built(Channel(docs="", beats=Us(60 * SECOND)))
        built.give(10, (10, 1))
        built.topic.spoil("a message could not be understood")
        built.give(60.0, (59.9, 2), spoilt=True)
        built.give(60.1, (60.1, 3), spoilt=True)
        built.give(60.2, (59.95, 4))  # late; from here on all is known
        built.give(75, (75, 5))
        built.give(100, (100, 6))
        built.give(123, (123, 7))
        assert built.volumes == {1: 3.0}
        assert claimed(built.topic.claim) == [span(1, 2)]

    def test_no_bar_is_claimed_that_was_not_handed_over(self) -> None:
        built = Built(BOTH)
        built.give(10, (10, 1))
        built.give(70, (70, 2))
        built.topic.word(Word("a", seconds(125), 2), moment(125))
        built.topic.end("gone")
        built.settle()
        assert claimed(built.topic.claim) == [span(1, 2)]
        assert built.volumes == {1: 1.0}

    def test_a_minute_in_which_nothing_was_traded_is_proven_without_a_bar(self) -> None:
        built = Built(BOTH)
        built.give(10, (10, 1))
        built.topic.word(Word("a", seconds(190), 1), moment(190))
        built.settle()
        assert (built.volumes, claimed(built.topic.claim)) == ({}, [span(1, 3)])

    def test_rest_settles_a_silence_as_for_trades(self) -> None:
        built = Built(NUMBERED)
        built.give(10, (10, 1))
        assert built.topic.question(moment(45)) == seconds(10)
        assert built.topic.answer(trades((10, 1)), seconds(130), moment(140)) is None
        built.settle()
        assert claimed(built.topic.claim) == [span(1, 2)]
        assert built.topic.answer(trades((150, 2)), seconds(160), moment(170)) is not None

    @given(
        st.lists(st.integers(0, 40), min_size=2, max_size=25),
        st.sets(st.integers(2, 25), max_size=3),
        st.lists(st.sampled_from((0, 0, 1, 4, 8)), min_size=25, max_size=25),
    )
    def test_a_claimed_bar_has_all_trades_that_there_were(
        self, steps: list[int], lost: set[int], late: list[int]
    ) -> None:
        built, at, times, due = Built(), 10, dict[int, int](), dict[int, list[int]]()
        for number, step in enumerate(steps, 1):
            at += step
            times[number] = at
            if number not in lost:
                due.setdefault(at + late[number - 1], []).append(number)
        for second in range(10, at + 30):
            if numbers := due.get(second):
                built.give(second, *[(times[number], number) for number in reversed(numbers)])
            built.look(second)
        for one in claimed(built.topic.claim):
            for minute in range(one.start // MINUTE, one.end // MINUTE):
                there = sum(1 for when in times.values() if when // 60 == minute)
                assert built.volumes.get(minute, 0) == there, (minute, claimed(built.topic.claim))
