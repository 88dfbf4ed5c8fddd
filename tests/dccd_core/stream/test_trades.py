"""Ids and the topic itself prove trades: late, twice or never, no more is claimed than came."""

from collections.abc import Sequence

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dccd_core.adapter.live import Channel, Word
from dccd_core.domain.timespan import SECOND, ZERO, TimeRange, Us
from dccd_core.stream.claim import LATENESS
from dccd_core.stream.trades import IdRun, Stretch, TopicSummary, TradeTopic, stretches, summarize
from dccd_core.tables import TIME, DataType, empty
from tests.dccd_core.stream.claims import claimed, moment, reasons, seconds

NUMBERED = Channel(docs="", consecutive=True)
BEATING = Channel(docs="", beats=Us(15 * SECOND))
BOTH = Channel(docs="", consecutive=True, beats=SECOND)


def trades(*rows: tuple[float, int | str | None], topic: str = "a") -> pl.DataFrame:
    """Return trades: second and id."""
    return pl.DataFrame(
        {
            "ts": pl.Series([seconds(at) for at, _ in rows], dtype=pl.Int64).cast(TIME),
            "trade_id": pl.Series([None if n is None else str(n) for _, n in rows], dtype=pl.String),
            "price": [float(place) for place in range(1, len(rows) + 1)],
            "topic": topic,
            "received": pl.Series(range(len(rows)), dtype=pl.Int64),
        }
    )


def by_rest(*rows: tuple[float, int]) -> pl.DataFrame:
    return pl.concat([empty(DataType.TRADES), trades(*rows).drop("topic", "received")], how="diagonal")


def give(topic: TradeTopic, at: float, *rows: tuple[float, int | str | None], spoilt: bool = False) -> None:
    frame = trades(*rows)
    topic.take(summarize(frame)["a"], lambda: frame, moment(at), spoilt=spoilt)


def begun(channel: Channel, *rows: tuple[float, int | str | None]) -> TradeTopic:
    """Return a topic that was accepted at 100 s and of which these came, each at its time."""
    topic = TradeTopic(channel, seconds(100))
    topic.accept(moment(100))
    for at, number in rows:
        give(topic, at, (at, number))
    return topic


class TestCame:
    def test_each_topic_has_its_own(self) -> None:
        rows = pl.concat([trades((5, 1), (2, 3), (9, 2)), trades((7, 7), topic="b")])
        assert summarize(rows) == {
            "a": TopicSummary(3, seconds(2), seconds(9), (1, 3, 3), Us(2), 3.0),
            "b": TopicSummary(1, seconds(7), seconds(7), (7, 7, 1), Us(0), 1.0),
        }

    def test_the_same_trade_twice_is_one_id(self) -> None:
        assert summarize(trades((1, 1), (1, 1), (2, 3)))["a"].ids == (1, 3, 2)

    @pytest.mark.parametrize("odd", ["x", None, "1.5", "99999999999999999999"])
    def test_among_ids_that_are_no_numbers_none_proves_anything(self, odd: str | None) -> None:
        """1, 2 and 4 with one that counts as another would look as if 3 had come."""
        assert summarize(trades((1, 1), (2, 2), (3, odd), (4, 4)))["a"].ids is None

    def test_bars_have_no_ids(self) -> None:
        assert summarize(trades((1, 1)).drop("trade_id"))["a"].ids is None
        assert summarize(trades((1, 1)), numbered=False)["a"].ids is None

    @given(st.lists(st.integers(1, 8), min_size=1, max_size=8))
    def test_ids_are_counted_alike_alone_and_beside_others(self, numbers: list[int]) -> None:
        rows = trades(*[(at, number) for at, number in enumerate(numbers)])
        expected = min(numbers), max(numbers), len(set(numbers))
        assert summarize(rows)["a"].ids == expected
        assert summarize(pl.concat([rows, trades((0, 9), topic="b")]))["a"].ids == expected


class TestStretches:
    def test_where_an_id_is_missing_there_is_a_cut(self) -> None:
        found = stretches(trades((1, 5), (3, 8), (2, 6), (2, 6), (4, 9), (9, 20)))
        assert found == [
            Stretch(5, 6, seconds(1), seconds(2)),
            Stretch(8, 9, seconds(3), seconds(4)),
            Stretch(20, 20, seconds(9), seconds(9)),
        ]


def stretch(first: int, last: int) -> Stretch:
    return Stretch(first, last, Us(10 * first), Us(10 * last))


Event = tuple[str, int, int]
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("came"), st.integers(0, 30), st.integers(0, 3)),
        st.tuples(st.just("told"), st.integers(0, 35), st.just(0)),
        st.tuples(st.just("skip"), st.just(0), st.just(0)),
    ),
    max_size=40,
)


class TestIdRun:
    @given(EVENTS)
    def test_whatever_comes_in_whatever_order_it_is_whole_only_where_all_came(
        self, events: list[Event]
    ) -> None:
        ids, there, known, came_at = IdRun(), set[int](), -1, dict[int, int]()
        for now, (what, first, more) in enumerate(events):
            if what == "came":
                there |= set(range(first, first + more + 1))
                came_at = dict.fromkeys(range(first, first + more + 1), now) | came_at
                known = max(known, first + more)
                ids.add([stretch(first, first + more)], Us(now))
            elif ids.whole is None:
                continue
            elif what == "told":
                known = max(known, first)
                assert ids.know(first, Us(now)) == (ids.whole.last >= known)
            elif ids.waiting_since is not None:
                later = [at for one, at in came_at.items() if one > ids.whole.last]
                assert ids.waiting_since == min(later, default=ids.waiting_since)
                gap = range(ids.missing()[0], ids.missing()[1] + 1)
                assert gap
                assert not there & set(gap)
                at = ids.skip()
                assert (at is None) == (known <= gap[-1])
                if at is None:
                    there.clear()  # it begins anew with whatever comes next
                    came_at.clear()
                    continue
                assert ids.whole.first == gap[-1] + 1
                assert at == 10 * ids.whole.first
            whole = ids.whole
            assert whole is not None
            assert set(range(whole.first, whole.last + 1)) <= there
            assert whole.last + 1 not in there
            assert (whole.start, whole.end) == (10 * whole.first, 10 * whole.last)
            if what != "skip":
                assert (ids.waiting_since is None) == (whole.last >= known)

    def test_what_is_missing_is_waited_for_since_something_after_it_came(self) -> None:
        ids = IdRun()
        ids.add([stretch(1, 3), stretch(5, 6), stretch(9, 9)], Us(100))
        assert (ids.waiting_since, ids.missing()) == (100, (4, 4))
        ids.add([stretch(9, 9)], Us(150))
        assert ids.waiting_since == 100  # nothing new of what is missing
        ids.add([stretch(4, 4), stretch(11, 11)], Us(200))
        assert (ids.waiting_since, ids.missing()) == (100, (7, 8))
        assert ids.skip() == 90
        assert (ids.waiting_since, ids.missing()) == (200, (10, 10))
        ids.add([stretch(10, 10)], Us(250))
        assert (ids.waiting_since, ids.whole) == (None, stretch(9, 11))

    def test_what_came_late_is_whole(self) -> None:
        ids = IdRun()
        ids.add([stretch(1, 3), stretch(5, 6), stretch(9, 9)], Us(100))
        ids.add([stretch(4, 4)], Us(200))
        ids.add([stretch(7, 8)], Us(300))
        assert (ids.waiting_since, ids.whole) == (None, stretch(1, 9))

    def test_it_can_begin_after_a_trade_that_did_not_come(self) -> None:
        ids = IdRun()
        ids.begin(7, Us(70))
        ids.add([stretch(8, 9)], Us(1))
        assert ids.whole == Stretch(7, 9, Us(70), Us(90))
        assert ids.know(9, Us(2))
        assert not ids.know(11, Us(3))
        assert ids.missing() == (10, 11)
        assert ids.skip() is None
        assert ids.whole is None


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[dict[int, int], list[tuple[int, list[int]]], set[int]]:
    """Return the times of ids, the batches of ids that come at which second, and the ids that never do."""
    count = draw(st.integers(2, 25))
    steps = draw(st.lists(st.integers(0, 4), min_size=count, max_size=count))
    times, at = dict[int, int](), 100
    for number, step in enumerate(steps, 1):
        at += step
        times[number] = at
    lost = draw(st.sets(st.integers(1, count), max_size=4))
    batches: dict[int, list[int]] = {}
    for number in times.keys() - lost:
        for _ in range(draw(st.integers(1, 2))):
            batches.setdefault(times[number] + draw(st.sampled_from([0, 0, 0, 1, 3, 9])), []).append(number)
    return times, sorted(batches.items()), lost


class TestNumbered:
    @given(delivery=deliveries(), words=st.booleans())
    def test_what_never_came_is_never_claimed(
        self, delivery: tuple[dict[int, int], list[tuple[int, list[int]]], set[int]], *, words: bool
    ) -> None:
        times, batches, lost = delivery
        topic = TradeTopic(BOTH if words else NUMBERED, seconds(100))
        topic.accept(moment(100))
        come = set[int]()
        due = dict(batches)
        for second in range(100, 240):
            if numbers := due.get(second):
                come |= set(numbers)
                give(topic, second, *[(times[number], number) for number in numbers])
            if words:
                last = max((number for number, at in times.items() if at <= second), default=0)
                topic.word(Word("a", seconds(second), last), moment(second))
            topic.look(moment(second))
            for span in claimed(topic.claim):
                inside = [n for n in lost if span.start <= seconds(times[n]) < span.end]
                late = [n for n in inside if times[n] > second - LATENESS // SECOND]
                assert inside == late, (span, inside)
        assert all(span.end <= seconds(240) for span in claimed(topic.claim))

    def test_a_missing_id_ends_the_claim_where_all_came_after_some_patience(self) -> None:
        topic = begun(NUMBERED, (100, 1), (103, 2), (104, 4), (108, 5))
        assert topic.look(moment(108.9)) is None
        assert claimed(topic.claim) == [TimeRange(Us(seconds(100) + 1), seconds(101))]
        topic.look(moment(109))
        assert reasons(topic.claim) == ["trades 3 to 3 did not come"]
        assert claimed(topic.claim) == [
            TimeRange(Us(seconds(100) + 1), seconds(101)),
            TimeRange(Us(seconds(104) + 1), seconds(106)),
        ]

    def test_l1_a_beat_that_is_late_was_lost_and_others_with_it(self) -> None:
        """Bitfinex promises one every 15 s: one that was frozen for half a minute goes on without a word."""
        topic = begun(BEATING, (100, 1), (103, 2))
        topic.word(Word("a", seconds(118)), moment(118))
        topic.word(Word("a", seconds(150)), moment(150))
        give(topic, 152, (152, 3))
        assert claimed(topic.claim)[0] == TimeRange(Us(seconds(100) + 1), Us(seconds(118) - LATENESS))
        assert topic.claim.began == seconds(150) + 1
        assert reasons(topic.claim) == ["nothing came for 32 s, not even a heartbeat"]

    def test_many_missing_ids_are_all_given_up_when_they_were_waited_for_long_enough(self) -> None:
        """Of forty lost frames each was waited for by itself, one after the other: 200 s."""
        topic = begun(NUMBERED, (100, 1), *((101 + n / 10, 1 + 2 * n) for n in range(1, 41)))
        topic.look(moment(112))
        assert len(reasons(topic.claim)) == 40
        assert topic.claim.reached == topic.claim.began == seconds(105) + 1

    def test_one_that_comes_late_proves_that_nothing_is_missing(self) -> None:
        topic = begun(NUMBERED, (100, 1), (104, 3))
        give(topic, 106, (102, 2))
        topic.look(moment(200))
        assert claimed(topic.claim) == [TimeRange(Us(seconds(100) + 1), seconds(102))]

    def test_no_silence_is_too_long_where_ids_go_on(self) -> None:
        topic = begun(NUMBERED, (100, 1), (101, 2), (5_000, 3))
        assert reasons(topic.claim) == []
        assert topic.claim.reached == seconds(4_998)

    def test_a_message_that_nobody_understands_costs_nothing(self) -> None:
        topic = begun(NUMBERED, (100, 1), (101, 2))
        topic.spoil("a message could not be understood")
        give(topic, 105, (105, 3), spoilt=True)
        assert claimed(topic.claim) == [TimeRange(Us(seconds(100) + 1), seconds(103))]

    def test_trades_without_ids_end_it_and_the_next_ones_with_ids_begin_it(self) -> None:
        topic = begun(NUMBERED, (100, 1), (103, 2), (104, "x"), (105, 4), (109, 5))
        assert reasons(topic.claim) == ["trades came without ids"]
        assert claimed(topic.claim) == [
            TimeRange(Us(seconds(100) + 1), seconds(101)),
            TimeRange(Us(seconds(105) + 1), seconds(107)),
        ]

    def test_a_venue_that_counts_anew_is_followed(self) -> None:
        topic = begun(NUMBERED, (100, 900), (103, 901), (106, 1), (110, 2))
        assert reasons(topic.claim) == ["the venue began to count its trades anew"]
        assert claimed(topic.claim) == [
            TimeRange(Us(seconds(100) + 1), seconds(101)),
            TimeRange(Us(seconds(106) + 1), seconds(108)),
        ]

    def test_a_trade_that_is_told_again_is_no_new_count(self) -> None:
        topic = begun(NUMBERED, (100, 1), (103, 2), (110, 3))
        give(topic, 111, (100, 1))
        assert reasons(topic.claim) == []

    def test_what_came_of_another_subscription_says_nothing_of_what_lies_between(self) -> None:
        topic = begun(BOTH, (100, 1), (103, 2))
        topic.accept(moment(120))
        topic.word(Word("a", seconds(121), 9), moment(121))
        topic.word(Word("a", seconds(125), 9), moment(125))
        assert claimed(topic.claim) == [
            TimeRange(Us(seconds(100) + 1), seconds(101)),
            TimeRange(Us(seconds(121) + 1), seconds(123)),
        ]


class TestWords:
    def test_a_word_that_knows_of_a_trade_that_did_not_come_proves_nothing(self) -> None:
        topic = begun(BOTH, (100, 1), (103, 2))
        topic.word(Word("a", seconds(110), 3), moment(110))
        assert topic.claim.reached == seconds(101)
        give(topic, 111, (109, 3))
        topic.word(Word("a", seconds(112), 3), moment(112))
        assert topic.claim.reached == seconds(110)
        assert reasons(topic.claim) == []

    def test_a_word_without_an_id_proves_nothing_where_ids_do(self) -> None:
        topic = begun(BOTH, (100, 1), (103, 2))
        topic.word(Word("a", seconds(110)), moment(110))
        assert topic.claim.reached == seconds(101)

    def test_a_topic_of_which_no_trade_comes_begins_with_a_word(self) -> None:
        topic = begun(BOTH)
        topic.word(Word("a", seconds(101), 55), moment(101))
        topic.word(Word("a", seconds(111), 55), moment(111))
        give(topic, 112, (112, 56))
        assert claimed(topic.claim) == [TimeRange(Us(seconds(101) + 1), seconds(110))]
        give(topic, 113, (113, 58))
        topic.look(moment(119))
        assert reasons(topic.claim) == ["trades 57 to 57 did not come"]

    def test_nothing_is_said_before_the_venue_agreed(self) -> None:
        topic = TradeTopic(BEATING, ZERO)
        topic.word(Word("a", seconds(110)), moment(110))
        give(topic, 111, (111, 1))
        assert (topic.accepted, claimed(topic.claim)) == (False, [])

    def test_a_topic_without_ids_reaches_as_far_as_it_was_heard_of(self) -> None:
        topic = begun(BEATING, (100, 1))
        for at in range(110, 200, 15):
            topic.word(Word("a", seconds(at)), moment(at))
        assert claimed(topic.claim) == [TimeRange(Us(seconds(100) + 1), seconds(183))]

    def test_a_heart_that_stops_is_an_end(self) -> None:
        topic = begun(BEATING, (100, 1))
        assert topic.look(moment(165)) is None
        assert topic.look(moment(165.1)) == "nothing came of it for 65 s, not even a heartbeat"
        assert topic.question(moment(900)) is None  # nobody is asked: it is dead
        topic.end("gone")
        assert topic.look(moment(900)) is None


class TestSilence:
    """Where ids follow one another, how often a topic is heard of, and REST, say what a silence is worth."""

    BUSY = tuple((100 + at, at) for at in range(40))

    def test_it_is_asked_about_from_the_last_one_on_ever_more_rarely(self) -> None:
        topic = begun(NUMBERED, *self.BUSY)
        assert topic.question(moment(158)) is None
        assert topic.question(moment(161)) == seconds(139)
        topic.pace.ask(seconds(161))
        assert topic.question(moment(170)) is None
        assert topic.question(moment(172)) == seconds(139)

    def test_quiet_is_proven_until_the_answer(self) -> None:
        topic = begun(NUMBERED, *self.BUSY)
        assert topic.answer(by_rest(), seconds(158), moment(161)) is None
        assert topic.claim.reached == seconds(158)
        assert topic.question(moment(185)) == seconds(158)
        assert topic.answer(by_rest((139, 39)), seconds(180), moment(185)) is None  # it came
        assert topic.claim.reached == seconds(180)
        assert topic.answer(by_rest(), seconds(170), moment(186)) is None  # an older one changes nothing
        assert topic.claim.reached == seconds(180)

    def test_rows_that_did_not_come_end_it_where_it_was_proven(self) -> None:
        topic = begun(NUMBERED, *self.BUSY)
        dead = topic.answer(by_rest((139, 39), (145, 40)), seconds(158), moment(161))
        assert dead == "it was silent, although something was traded at 1970-01-01T00:02:25Z"
        assert topic.claim.reached == seconds(137)

    def test_a_trade_of_the_same_moment_that_did_not_come_shows(self) -> None:
        topic = begun(NUMBERED, (100, 1), (139, 2))
        assert topic.answer(by_rest((139, 2), (139, 3)), seconds(170), moment(175)) is not None
        assert topic.answer(by_rest((139, 2)), seconds(170), moment(175)) is None
        assert topic.claim.reached == seconds(170)

    def test_one_that_never_spoke_is_asked_about_from_when_it_was_accepted(self) -> None:
        topic = begun(NUMBERED)
        assert topic.question(moment(120)) is None
        assert topic.question(moment(131)) == seconds(102)
        assert topic.answer(by_rest(), seconds(125), moment(131)) is None
        assert claimed(topic.claim) == [TimeRange(seconds(102), seconds(125))]
        give(topic, 140, (140, 1))  # others may have been lost between
        assert reasons(topic.claim) == ["it was silent, and nobody was asked about the last of it"]
        assert claimed(topic.claim) == [TimeRange(seconds(102), seconds(125))]
        assert topic.claim.began == seconds(140) + 1
        dead = begun(NUMBERED)
        assert dead.answer(by_rest((101, 1)), seconds(125), moment(131)) is None  # before all of it came
        assert begun(NUMBERED).answer(by_rest((103, 1)), seconds(125), moment(131)) is not None

    def test_after_it_was_given_up_an_answer_says_nothing(self) -> None:
        topic = begun(NUMBERED, *self.BUSY)
        topic.end("gone")
        assert topic.answer(by_rest((150, 50)), seconds(158), moment(161)) is None
        assert topic.claim.reached is None

    def test_where_nothing_counts_its_trades_another_is_to_follow_it(self) -> None:
        with pytest.raises(AssertionError, match="nothing counts"):
            TradeTopic(Channel(docs=""), ZERO)


@given(st.lists(st.tuples(st.integers(0, 60), st.booleans()), min_size=1, max_size=30))
def test_a_claim_never_goes_beyond_what_came_or_was_answered(steps: Sequence[tuple[int, bool]]) -> None:
    topic, at, newest = begun(NUMBERED), 100, 0
    for number, (step, is_trade) in enumerate(steps):
        at += step
        if is_trade:
            give(topic, at, (at, number))
            newest = max(newest, at - 2)
        elif topic.question(moment(at)) is not None:
            topic.answer(by_rest(), seconds(at - 1), moment(at))
            newest = max(newest, at - 1)
        assert (topic.claim.reached or 0) <= max(seconds(newest), (topic.claim.began or 0))
