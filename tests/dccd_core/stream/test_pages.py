"""Trades that nothing counts: claimed as far as pages of the venue show, or own messages where none can."""

from collections.abc import Sequence

from hypothesis import example, given
from hypothesis import strategies as st

from dccd_core.adapter.live import Channel, Word
from dccd_core.domain.timespan import TimeRange, Us
from dccd_core.stream.claim import LATENESS
from dccd_core.stream.pages import PagedTopic
from dccd_core.stream.trades import summarize
from tests.dccd_core.stream.claims import claimed, moment, reasons, seconds
from tests.dccd_core.stream.test_trades import by_rest, trades

Rows = Sequence[tuple[float, int]]


def begun(*rows: tuple[float, int], at: float = 100) -> PagedTopic:
    """Return a topic that was accepted then and of which these came, each at its time."""
    topic = PagedTopic(Channel(docs=""), seconds(at))
    topic.accept(moment(at))
    give(topic, *rows)
    return topic


def give(topic: PagedTopic, *rows: tuple[float, int], spoilt: bool = False) -> None:
    for row in rows:
        frame = trades(row)
        topic.take(summarize(frame)["a"], lambda frame=frame: frame, moment(row[0]), spoilt=spoilt)


def page(topic: PagedTopic, rows: Rows, since: float, until: float, at: float | None = None) -> str | None:
    """Show these rows of a span; ``at``: 5 s after its end, when all of it is final."""
    span = TimeRange(seconds(since), seconds(until))
    return topic.answer(by_rest(*rows), span, moment(until + 5 if at is None else at))


def every(step: float, since: float, until: float) -> list[tuple[float, int]]:
    count = round((until - since) / step)
    return [(since + step * n, 1 + round((since + step * n) * 10)) for n in range(count)]


class TestPages:
    def test_what_came_is_claimed_as_far_as_a_page_shows(self) -> None:
        rows = every(1, 101, 121)
        topic = begun(*rows)
        assert (topic.claim.began, topic.claim.reached) == (seconds(101) + 1, seconds(101) + 1)
        assert topic.question(moment(121)) == seconds(101) + 1
        assert page(topic, rows[:15], 90, 116, at=121) is None
        assert topic.claim.reached == seconds(116)
        assert reasons(topic.claim) == []

    def test_a_page_settles_silences(self) -> None:
        rows = [*every(1, 101, 111), (171, 9)]
        topic = begun(*rows)
        assert page(topic, rows, 90, 181) is None
        assert topic.claim.reached == seconds(181)
        assert reasons(topic.claim) == []

    def test_trades_that_did_not_come_end_the_claim_at_the_first_and_begin_it_after_the_last(self) -> None:
        rows = every(1, 101, 131)
        topic = begun(*rows[:8], *rows[15:])
        assert page(topic, rows, 90, 129) is None
        assert claimed(topic.claim) == [
            TimeRange(Us(seconds(101) + 1), seconds(109)),
            TimeRange(Us(seconds(115) + 1), seconds(129)),
        ]

    def test_one_that_lags_is_settled_up_to_what_came(self) -> None:
        """The page shows trades that are on their way to us: the topic is not dead, messages keep coming."""
        rows = every(1, 101, 131)
        topic = begun()
        for at, number in rows:
            frame = trades((at, number))
            topic.take(summarize(frame)["a"], lambda frame=frame: frame, moment(at + 15))
        assert page(topic, [*rows, *every(1, 131, 140)], 90, 140, at=145) is None
        assert topic.claim.reached == seconds(130)
        assert reasons(topic.claim) == []

    def test_l1_a_dead_topic_is_subscribed_to_anew(self) -> None:
        rows = every(1, 101, 111)
        topic = begun(*rows)
        topic.ask(seconds(111))
        assert topic.question(moment(135)) is not None
        why = page(topic, every(1, 101, 130), 90, 130, at=135)
        assert why == "it was silent, although something was traded at 1970-01-01T00:01:51Z"
        assert topic.claim.reached == seconds(110)

    def test_l1_a_quiet_one_is_proven_to_be(self) -> None:
        rows = every(1, 101, 111)
        topic = begun(*rows)
        assert page(topic, rows, 90, 140) is None
        assert (topic.claim.reached, topic.question(moment(150))) == (seconds(140), None)
        assert topic.question(moment(177)) == seconds(140)

    def test_one_of_which_nothing_ever_came_is_proven_to_be_quiet(self) -> None:
        topic = begun()
        assert topic.question(moment(129)) is None
        assert topic.question(moment(131)) == seconds(100) + LATENESS
        assert page(topic, [(90, 1)], 80, 126) is None
        assert claimed(topic.claim) == [TimeRange(Us(seconds(100) + LATENESS), seconds(126))]

    def test_it_is_silent_at_the_end_no_more_than_half_a_minute_without_a_page(self) -> None:
        topic = begun(*every(20, 101, 601))
        page(topic, every(20, 101, 601), 90, 590, at=595)
        topic.ask(seconds(595))
        assert topic.question(moment(636)) is not None

    def test_a_page_that_nobody_sends_is_asked_for_ever_later(self) -> None:
        topic, asked = begun(*every(1, 101, 111)), list[int]()
        for at in range(111, 180):
            if topic.question(moment(at)) is not None:
                topic.ask(seconds(at))
                asked.append(at)
        assert asked == [111, 113, 117, 125, 141, 171]


class TestOwnMessages:
    """What no page shows."""

    def test_where_a_page_does_not_reach_back_own_messages_prove(self) -> None:
        rows = every(1, 101, 141)
        topic = begun(*rows)
        assert page(topic, rows[20:36], 121, 137) is None
        assert claimed(topic.claim) == [TimeRange(Us(seconds(101) + 1), seconds(137))]

    def test_but_for_silences_that_are_too_long(self) -> None:
        rows = [*every(1, 101, 111), *every(1, 131, 181)]
        topic = begun(*rows)
        assert page(topic, rows[30:50], 151, 171) is None
        assert claimed(topic.claim) == [
            TimeRange(Us(seconds(101) + 1), Us(seconds(110) - LATENESS)),
            TimeRange(Us(seconds(131) + 1), seconds(171)),
        ]
        assert reasons(topic.claim) == ["nothing came for 21 s"]

    def test_a_silence_that_its_market_explains_is_none(self) -> None:
        rows = [*every(1, 101, 141), *every(1, 156, 181)]
        topic = begun(*rows)
        assert page(topic, rows[50:60], 166, 176) is None
        assert claimed(topic.claim) == [TimeRange(Us(seconds(101) + 1), seconds(176))]

    def test_a_silence_is_no_reason_for_itself(self) -> None:
        """With few trades before, a silence that counts already makes the pace look as slow as itself."""
        topic = begun(*every(1, 101, 111), (250, 99))
        assert page(topic, [(250, 99)], 250, 252) is None
        assert reasons(topic.claim) == ["nothing came for 140 s"]

    def test_nor_is_one_within_what_came_at_once(self) -> None:
        topic = begun(*every(1, 101, 141))
        frame = trades((141, 97), (170, 98), (171, 99))
        topic.take(summarize(frame)["a"], lambda: frame, moment(171))
        assert page(topic, [(170, 98), (171, 99)], 170, 172) is None
        assert reasons(topic.claim) == ["nothing came for 29 s"]
        assert claimed(topic.claim) == [
            TimeRange(Us(seconds(101) + 1), Us(seconds(141) - LATENESS)),
            TimeRange(seconds(170), seconds(172)),  # the page shows the first moment's own
        ]

    def test_after_it_was_given_up_a_page_says_nothing(self) -> None:
        topic = begun(*every(1, 101, 111))
        topic.end("gone")
        assert page(topic, [(150, 50)], 101, 158) is None
        assert topic.claim.reached is None

    def test_a_page_of_nearly_no_time_is_no_use(self) -> None:
        rows = every(0.25, 101, 121)
        topic = begun(*rows)
        assert page(topic, [], 116, 116, at=121) is None
        give(topic, (121, 1))
        topic.look(moment(121))
        assert topic.claim.reached == seconds(121) - LATENESS

    def test_l1_a_page_whose_first_trades_did_not_come_says_the_same_of_what_is_before_it(self) -> None:
        """Bybit 51 of the attack: nothing between two messages came, and the page began amid what did not."""
        rows = every(0.25, 101, 121)
        topic = begun(*rows[:40], *rows[60:])
        assert page(topic, [], 116, 116, at=121) is None
        topic.look(moment(121))  # a page shows so little that own messages are believed
        assert topic.claim.reached is not None
        assert topic.claim.reached > seconds(116)
        page(topic, rows[50:64], 113.25, 117, at=121.5)
        _, ended, begun_anew = topic.claim.turns
        assert ended.since == seconds(110.75) - LATENESS  # it brought nothing after that
        assert begun_anew.at == topic.claim.reached == ended.at

    def test_what_no_page_showed_for_minutes_is_left_to_them(self) -> None:
        topic = begun(*every(5, 101, 301))
        topic.look(moment(301))
        assert claimed(topic.claim) == [TimeRange(Us(seconds(101) + 1), seconds(181))]

    def test_they_prove_what_came_last_where_no_page_will_reach_back(self) -> None:
        rows = every(1, 101, 141)
        for reach, end in ((40, 138), (150, 120)):
            topic = begun(*rows)
            page(topic, rows[:19], 120 - reach, 120, at=125)
            topic.end("gone")
            assert claimed(topic.claim) == [TimeRange(Us(seconds(101) + 1), seconds(end))]
            assert not topic.accepted

    def test_more_than_is_kept_is_left_to_them_too(self) -> None:
        """Only the newest trades are kept to be compared."""
        topic = begun((101, 1))
        flood = trades(*[(102 + n / 1_000, n) for n in range(5_000)])
        topic.take(summarize(flood)["a"], lambda: flood, moment(107))
        told = [(102 + n / 1_000, n) for n in range(4_000)]
        assert page(topic, told, 90, 106) is None
        assert claimed(topic.claim) == [TimeRange(Us(seconds(101) + 1), seconds(106))]


class TestDoubt:
    def test_a_bad_message_is_settled_by_a_page(self) -> None:
        rows = every(1, 101, 131)
        topic = begun(*rows[:10])
        topic.spoil("odd")
        topic.lose_until(seconds(110))
        give(topic, *rows[10:])
        assert topic.question(moment(131)) is not None
        assert page(topic, rows, 90, 126) is None
        assert claimed(topic.claim) == [TimeRange(Us(seconds(101) + 1), seconds(126))]

    def test_where_no_page_reaches_back_it_ends_the_claim(self) -> None:
        rows = every(1, 101, 141)
        topic = begun(*rows[:10])
        topic.spoil("odd")
        topic.lose_until(seconds(112))
        give(topic, rows[10], spoilt=True)
        give(topic, *rows[11:])
        assert page(topic, rows[25:36], 126, 136) is None
        assert claimed(topic.claim) == [
            TimeRange(Us(seconds(101) + 1), Us(seconds(110) - LATENESS)),
            TimeRange(Us(seconds(112) + 1), seconds(136)),
        ]
        assert reasons(topic.claim) == ["odd"]

    def test_a_later_page_takes_back_what_was_claimed_before_the_doubt(self) -> None:
        """Own messages claimed up to a bad one; a page reaches back to one that did not come."""
        rows = every(1, 101, 131)
        topic = begun(*rows[:1], *rows[2:10])
        topic.spoil("odd")
        topic.lose_until(seconds(114))
        give(topic, *rows[14:])
        page(topic, rows[12:25], 113, 126)
        page(topic, rows[:25], 100, 126)
        page(topic, rows[:25], 100, 126)
        gone = [turn for turn in topic.claim.turns if turn.since is not None]
        assert [(turn.since, turn.reason) for turn in gone] == [
            (seconds(102), "trades of a page of the venue did not come")
        ]
        assert gone[0].at <= seconds(110)
        assert topic.claim.reached == seconds(126)

    def test_what_is_settled_is_beyond_doubt(self) -> None:
        rows = every(1, 101, 131)
        topic = begun(*rows)
        page(topic, rows[:25], 90, 126)
        topic.doubt(seconds(110), "a book of the connection lacks a change")
        give(topic, (131, 8))
        topic.end("gone")
        assert claimed(topic.claim)[0] == TimeRange(Us(seconds(101) + 1), seconds(126))

    def test_a_word_proves_nothing(self) -> None:
        topic = begun((101, 1))
        topic.word(Word("a", seconds(150)), moment(150))
        assert topic.claim.reached == seconds(101) + 1

    def test_nothing_is_claimed_of_the_time_between_two_subscriptions(self) -> None:
        topic = begun(*every(1, 101, 111))
        topic.accept(moment(140))
        give(topic, (141, 1))
        assert claimed(topic.claim) == [
            TimeRange(Us(seconds(101) + 1), Us(seconds(110) - LATENESS)),
        ]
        assert topic.claim.began == seconds(141) + 1


STEPS = st.lists(
    st.tuples(st.sampled_from(["come", "lose", "page", "cut", "spoil", "wait"]), st.integers(1, 40))
)


class Busy:
    """A market with a trade a second. ``shown``: the seconds that pages showed, all in all."""

    def __init__(self) -> None:
        self.topic, self.at = begun(), 100
        self.lost, self.shown = set[int](), set[int]()
        self.rows = list[tuple[float, int]]()

    def go(self, what: str, count: int) -> None:
        if what in ("come", "lose", "spoil"):
            for _ in range(count):
                self.trade(lost=what != "come")
        if what == "spoil":
            self.topic.spoil("odd")
            self.topic.lose_until(seconds(self.at))
        elif what == "wait":
            self.at += count
            self.topic.look(moment(self.at))
        elif what in ("page", "cut"):
            until = self.at - 5
            since = 0 if what == "page" else max(0, until - count)  # it reaches back no further
            page(self.topic, [row for row in self.rows if since <= row[0] < until], since, until, at=self.at)
            self.shown |= set(range(since, until))

    def trade(self, *, lost: bool) -> None:
        self.at += 1
        self.rows.append((self.at, self.at))
        if lost:
            self.lost.add(self.at)
        else:
            give(self.topic, (self.at, self.at))


@given(STEPS)
@example(
    [("come", 1), ("lose", 1), ("come", 1), ("come", 1), ("come", 1), ("spoil", 5), ("cut", 1), ("page", 1)]
)
def test_what_is_claimed_in_the_end_did_not_get_lost_as_far_as_a_page_or_a_silence_showed(
    steps: list[tuple[str, int]],
) -> None:
    market = Busy()
    for what, count in steps:
        market.go(what, count)
    market.topic.end("over")
    lost = market.lost
    silent = {n for n in lost if all(n + k in lost for k in range(40))}
    gone = [TimeRange(turn.since, turn.at) for turn in market.topic.claim.turns if turn.since is not None]
    for span in (part for one in claimed(market.topic.claim) for part in one.minus(gone)):
        assert not [n for n in lost & market.shown | silent if span.start <= seconds(n) < span.end]
        assert span.end <= seconds(market.at)


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=12))
def test_of_a_moment_that_many_share_what_did_not_come_is_never_claimed(made: list[tuple[int, bool]]) -> None:
    """In tenths of a second; the page shows all of them."""
    base = every(1, 101, 121)
    tied = [(120 + tenth / 10, 9_000 + place) for place, (tenth, _) in enumerate(made)]
    topic = begun(*base, *(one for one, (_, came_too) in zip(tied, made, strict=True) if came_too))
    page(topic, sorted([*base, *tied]), 90, 140)
    page(topic, sorted([*base, *tied]), 90, 150)
    lost = [seconds(at) for (at, _), (_, came_too) in zip(tied, made, strict=True) if not came_too]
    spans = claimed(topic.claim)
    assert [at for at in lost if any(span.start <= at < span.end for span in spans)] == []
    if not lost:
        assert topic.claim.reached == seconds(150)
