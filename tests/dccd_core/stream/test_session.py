"""What a connection sends, and how it takes the venue's answers."""

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from dccd_core.adapter.contract import Limit
from dccd_core.adapter.live import Ack, DecodedBatch, Topic, WebSocketApi
from dccd_core.domain.timespan import MINUTE, SECOND, ZERO, Us
from dccd_core.stream.session import Session
from dccd_core.tables import DataType


def _say(verb: str, topics: Sequence[Topic], number: int) -> bytes:
    return json.dumps([verb, number, *(topic.market for topic in topics)]).encode()


def _decode(frames: Sequence[bytes], _: Sequence[Us], state: object) -> DecodedBatch:
    """Messages are acks: [id, topic, error], or the reason of a restart."""
    decoded = DecodedBatch(state=(state or 0, len(frames)))
    for frame in frames:
        said = json.loads(frame)
        if isinstance(said, str):
            decoded.restart = said
        else:
            number, topic, error = said
            decoded.acks.append(Ack(topic, number, error))
    return decoded


def _subscribe(topics: Sequence[Topic], number: int) -> bytes:
    return _say("sub", topics, number)


def _leave(topics: Sequence[Topic], number: int, state: object) -> bytes:
    return _say(f"leave {state}", topics, number)


def _ping(number: int) -> bytes:
    return b"ping %d" % number


LIVE = WebSocketApi(
    url=lambda _: "ws://x/",
    name=lambda topic: topic.market,
    subscribe=_subscribe,
    unsubscribe=_leave,
    decode=_decode,
    connects=Limit(1, MINUTE),
    channels={},
    batch=2,
    pace=SECOND,
    ping=_ping,
    ping_every=Us(20 * SECOND),
    silence=Us(45 * SECOND),
)


def topics(*names: str) -> dict[str, Topic]:
    return {name: Topic(DataType.TRADES, name) for name in names}


def sent(session: Session, until: int) -> list[tuple[int, bytes]]:
    """Return what is sent, asked for at every second, with the second."""
    return [(at, message) for at in range(until) for message in session.due(Us(at * SECOND))]


def answer(session: Session, *acks: object, at: int = 0) -> DecodedBatch:
    return session.receive([json.dumps(ack).encode() for ack in acks], [ZERO] * len(acks), Us(at * SECOND))


def test_greetings_then_subscriptions_in_batches_one_message_at_a_time() -> None:
    session = Session(replace(LIVE, greeting=(b"hello",)), topics("a", "b", "c"), ZERO)
    assert sent(session, 5) == [(0, b"hello"), (1, b'["sub", 1, "a", "b"]'), (2, b'["sub", 2, "c"]')]


def test_messages_keep_their_pace_however_often_one_asks() -> None:
    session = Session(LIVE, topics("a", "b", "c"), ZERO)
    assert session.due(ZERO)
    assert session.due(Us(SECOND - 1)) == []
    assert session.due(SECOND)


def test_pings_go_out_now_and_then() -> None:
    session = Session(LIVE, {}, ZERO)
    assert [at for at, message in sent(session, 61) if message.startswith(b"ping")] == [20, 40, 60]


def test_an_answer_may_be_to_a_message_or_to_a_topic() -> None:
    session = Session(LIVE, topics("a", "b", "c"), ZERO)
    sent(session, 3)
    answer(session, [1, None, None], [None, "c", None])
    assert (session.accepted(), session.accepted(), session.settled) == (["a", "b", "c"], [], True)


def test_a_refused_batch_is_tried_topic_by_topic_one_at_a_time() -> None:
    session = Session(LIVE, topics("a", "bad"), ZERO)
    sent(session, 1)
    answer(session, [1, None, "no such thing"])
    assert [message for _, message in sent(session, 5)] == [b'["sub", 2, "a"]']
    answer(session, [2, None, None])
    assert session.due(Us(9 * SECOND)) == [b'["sub", 3, "bad"]']
    answer(session, [None, None, "no such thing"])  # an error that names nothing is about what is open
    assert session.accepted() == ["a"]
    assert session.refused == {"bad": "no such thing"}
    assert session.settled
    assert session.over(ZERO) is None


def test_all_refused_ends_the_connection() -> None:
    session = Session(LIVE, topics("bad"), ZERO)
    sent(session, 1)
    answer(session, [None, "bad", "unknown market"])
    assert session.over(ZERO) == "every subscription was refused: unknown market"


def test_l7_no_answer_to_any_subscription_for_long_ends_the_connection() -> None:
    session = Session(LIVE, topics("a", "b", "c"), ZERO)
    sent(session, 3)
    answer(session, at=30)
    assert session.over(Us(30 * SECOND)) is None
    assert session.over(Us(31 * SECOND)) == "no answer to the subscription of a, b"


class TestUnanswered:
    """The answer to one subscription was damaged: that one is asked for anew, the others lose nothing."""

    def session(self) -> Session:
        session = Session(LIVE, topics("a", "b", "c"), ZERO)
        sent(session, 3)
        answer(session, [None, "a", None], [2, None, None], at=3)
        assert session.accepted() == ["a", "c"]
        return session

    def said(self, session: Session, start: int, end: int) -> list[bytes]:
        """Return what is sent, but for pings; something comes each second."""
        told = list[bytes]()
        for at in range(start, end):
            session.alive(Us(at * SECOND))
            told += session.due(Us(at * SECOND))
            assert session.over(Us(at * SECOND)) is None
        return [one for one in told if not one.startswith(b"ping")]

    def test_it_is_subscribed_to_anew_alone(self) -> None:
        session = self.session()
        assert self.said(session, 3, 30) == []
        assert self.said(session, 30, 40) == [b'["leave (0, 2)", 4, "b"]', b'["sub", 5, "b"]']
        assert session.unanswered() == ["b"]
        answer(session, [5, None, None], at=40)
        assert (session.accepted(), session.settled, session.unanswered()) == (["b"], True, [])
        assert self.said(session, 41, 200) == []

    def test_an_answer_that_comes_late_is_one(self) -> None:
        session = self.session()
        assert session.due(Us(31 * SECOND)) == [b"ping 3"]  # what follows waits for its turn
        answer(session, [None, "b", None], at=31)
        assert session.accepted() == ["b"]
        assert self.said(session, 32, 100) == []

    def test_after_a_few_times_another_connection_may_get_it(self) -> None:
        session = self.session()
        told = self.said(session, 3, 300)
        assert sum(b"sub" in one for one in told) == 2
        assert session.refused == {"b": "no answer to its subscription"}
        assert session.full == {"b"}
        assert session.settled


class TestOneByOne:
    def test_an_error_about_nothing_changes_nothing(self) -> None:
        session = Session(LIVE, topics("a", "b"), ZERO)
        sent(session, 1)
        answer(session, [1, None, None])
        answer(session, [None, None, "something odd"], [77, None, "no such message"], [None, "z", "gone"])
        session.add(topics("c", "d", "e"))
        assert [one for _, one in sent(session, 9)] == [b'["sub", 2, "c", "d"]', b'["sub", 3, "e"]']
        assert session.refused == {}

    def test_it_lasts_until_all_that_failed_together_are_answered_for(self) -> None:
        session = Session(LIVE, topics("a", "bad"), ZERO)
        sent(session, 1)
        answer(session, [1, None, "no such thing"])
        for number, error in ((2, None), (3, "no such thing")):
            assert sent(session, 5)
            answer(session, [number, None, error])
        session.add(topics("c", "d"))
        assert [one for _, one in sent(session, 9)] == [b'["sub", 4, "c", "d"]']

    def test_what_was_answered_for_is_not_tried_alone(self) -> None:
        session = Session(LIVE, topics("a", "b", "c", "d"), ZERO)
        sent(session, 3)
        answer(session, [None, "a", None], [None, "b", None], [None, None, "one of them is wrong"])
        assert [one for _, one in sent(session, 5)] == [b'["sub", 3, "c"]']

    def test_a_refusal_that_was_none_is_taken_back(self) -> None:
        session = Session(LIVE, topics("a"), ZERO)
        sent(session, 1)
        answer(session, [None, None, "something else was wrong"])
        assert session.refused == {"a": "something else was wrong"}
        answer(session, [None, "a", None])
        assert (session.refused, session.accepted()) == ({}, ["a"])


def test_a_quiet_connection_lives_as_long_as_anything_is_heard() -> None:
    session = Session(LIVE, {}, ZERO)
    assert session.over(Us(45 * SECOND)) is None
    session.alive(Us(40 * SECOND))
    assert session.over(Us(85 * SECOND)) is None
    answer(session, at=80)
    assert session.over(Us(125 * SECOND)) is None
    said = session.over(Us(126 * SECOND))
    assert said == "nothing came for 45 s, not even an answer to a ping"


def test_a_topic_is_given_up_and_taken_again_without_touching_others() -> None:
    session = Session(LIVE, topics("a", "b"), ZERO)
    sent(session, 1)
    answer(session, [1, None, None])
    session.accepted()
    session.resubscribe("b")
    messages = [message for _, message in sent(session, 5)]
    assert messages == [b'["leave (0, 1)", 2, "b"]', b'["sub", 3, "b"]']
    answer(session, [2, None, None], [3, None, None])
    assert session.accepted() == ["b"]


def test_the_venue_may_ask_for_a_new_connection() -> None:
    session = Session(LIVE, {}, ZERO)
    answer(session, "maintenance")
    assert session.over(ZERO) == "maintenance"


def test_the_state_goes_from_batch_to_batch() -> None:
    session = Session(LIVE, {}, ZERO)
    assert answer(session, "x").state == (0, 1)
    assert answer(session, "x", "x").state == ((0, 1), 2)


@pytest.mark.parametrize("names", [("a",), ("a", "b", "c")])
def test_wake_is_never_later_than_what_is_due(names: tuple[str, ...]) -> None:
    session = Session(LIVE, topics(*names), ZERO)
    for at in range(0, 60 * SECOND, SECOND // 2):
        wake = session.wake()
        assert bool(session.due(Us(at))) <= (wake <= at)
