"""What is wrong with a venue itself, on every venue and for everything that it pushes."""

from collections.abc import Callable

import pytest

from dccd_core.domain.timespan import DAY, MILLISECOND, MINUTE, SECOND, Us
from dccd_core.tables import DataType
from dccd_core.testing.sandbox.live import Close
from dccd_core.testing.sandbox.stream_faults import StreamFault, StreamInjector
from tests.dccd_core.testing.sandbox.wire import (
    END,
    NOW,
    SERVED,
    Kind,
    Served,
    Wire,
    counted_without_a_gap,
    each_served,
    fault,
    name_of,
    quiet,
    unnumbered,
    wire,
)


class TestSilence:
    @each_served
    def test_a_silent_topic_says_nothing_until_it_is_subscribed_to_anew(self, what: Served) -> None:
        one = wire(what, fault(Kind.SILENT_TOPIC, topic=name_of(what), nth=3)).until(Us(NOW + 15 * SECOND))
        assert unnumbered(one.of()) == unnumbered(quiet(what).of()[:2])
        assert [(struck.kind, struck.message.topic) for struck in one.struck] == [
            (Kind.SILENT_TOPIC, name_of(what))
        ]
        one.unsubscribe(one.topics[0])
        one.subscribe(one.topics[0])
        one.until(END)
        later = [message for message in one.of()[2:] if message.at > NOW + 16 * SECOND]
        same = [message for message in quiet(what).of() if message.at > NOW + 16 * SECOND]
        assert [message.at for message in later] == [message.at for message in same]
        assert len(later) > 5
        assert unnumbered(one.of(1)) == unnumbered(quiet(what).of(1))
        assert len(one.struck) == 1
        counted_without_a_gap(one)

    @each_served
    def test_a_topic_is_silent_for_seconds_and_what_it_had_to_say_is_lost(self, what: Served) -> None:
        silent = fault(Kind.SILENT_TOPIC, topic=name_of(what), between=[NOW + SECOND, END], seconds=10.0)
        one = wire(what, silent).until(END)
        [struck] = one.struck
        lost = range(struck.message.at, struck.message.at + 10 * SECOND)
        expected = [message for message in quiet(what).of() if message.at not in lost]
        assert unnumbered(one.of()) == unnumbered(expected)
        assert len(expected) < len(quiet(what).of()) - 4
        counted_without_a_gap(one)

    @each_served
    def test_it_is_silent_on_no_other_connection(self, what: Served) -> None:
        injector = StreamInjector([fault(Kind.SILENT_TOPIC, topic=name_of(what))], 0)
        first, second = (Wire(what, injector).until(END) for _ in range(2))
        assert first.of() == []
        assert second.of() == quiet(what).of()

    @each_served
    def test_with_again_it_falls_silent_each_time(self, what: Served) -> None:
        one = wire(what, fault(Kind.SILENT_TOPIC, topic=name_of(what), again=True)).until(END)
        one.unsubscribe(one.topics[0])
        one.subscribe(one.topics[0])
        one.until(Us(END + 10 * SECOND))
        assert one.of() == []
        assert len(one.struck) == 2

    @each_served
    def test_a_frozen_connection_answers_and_brings_nothing(self, what: Served) -> None:
        injector = StreamInjector([fault(Kind.FROZEN, nth=5)], 0)
        one = Wire(what, injector).until(Us(NOW + 10 * SECOND))
        assert len(one.of()) + len(one.of(1)) == 4
        said = len(one.answers())
        one.unsubscribe(one.topics[0])
        one.subscribe(one.topics[0])
        if one.live.ping:
            one.say(one.live.ping(9))
        answers = 3 if one.live.ping else 2
        assert len(one.answers()) == said + answers
        one.until(END)
        assert len(one.of()) + len(one.of(1)) == 4
        assert not any(isinstance(act, Close) for act in one.got)
        counted_without_a_gap(one)
        assert Wire(what, injector).until(END).of() == quiet(what).of()

    @each_served
    def test_a_connection_is_frozen_for_seconds(self, what: Served) -> None:
        one = wire(what, fault(Kind.FROZEN, between=[NOW + SECOND, END], seconds=10.0)).until(END)
        [struck] = one.struck
        lost = range(struck.message.at, struck.message.at + 10 * SECOND)
        for which in range(2):
            expected = [message for message in quiet(what).of(which) if message.at not in lost]
            assert unnumbered(one.of(which)) == unnumbered(expected)

    def test_heartbeats_of_the_connection_go_on_those_of_topics_do_not(self) -> None:
        kraken = wire(("kraken", "spot", DataType.TRADES), fault(Kind.FROZEN, nth=5)).until(END)
        assert sum("heartbeat" in act.text for act in kraken.answers()) > 20
        beats = list[int]()
        for faults in ([fault(Kind.FROZEN)], [fault(Kind.SILENT_TOPIC, topic="*")], []):
            bitfinex = wire(("bitfinex", "spot", DataType.ORDERBOOK), *faults)
            bitfinex.until(Us(NOW + 5 * MINUTE), Us(10 * SECOND))
            beats.append(sum('"hb"' in act.text for act in bitfinex.answers()))
        assert beats[:2] == [0, 0]
        coinbase = wire(("coinbase", "spot", DataType.TRADES), fault(Kind.FROZEN, nth=5)).until(END)
        assert sum("heartbeat" in act.text and "last_trade" in act.text for act in coinbase.answers()) < 12

    @pytest.mark.parametrize("kind", [Kind.SILENT_TOPIC, Kind.FROZEN])
    def test_heartbeats_of_topics_may_go_on(self, kind: Kind) -> None:
        silent = fault(kind, again=True, beats=True)
        bitfinex = wire(("bitfinex", "spot", DataType.ORDERBOOK), silent)
        bitfinex.until(Us(NOW + MINUTE), Us(10 * SECOND))
        assert sum('"hb"' in act.text for act in bitfinex.answers()) == 6
        assert bitfinex.of() == []
        counted_without_a_gap(bitfinex)
        coinbase = wire(("coinbase", "spot", DataType.TRADES), silent).until(END)
        ids = {act.text.partition('"last_trade_id":')[2].partition(",")[0] for act in coinbase.answers()}
        assert len(ids) > 10
        assert coinbase.of() == []


class TestSubscriptions:
    @each_served
    def test_a_subscription_too_many_is_refused(self, what: Served) -> None:
        one = wire(what, fault(Kind.TOO_MANY, topic=name_of(what), first=1))
        one.until(Us(NOW + 5 * SECOND))
        assert one.of() == []
        assert [struck.message.topic for struck in one.struck] == [name_of(what)]
        frames = [message.text.encode() for message in one.answers()]
        heard = one.live.decode(frames, [NOW] * len(frames), None)
        assert [ack.error for ack in heard.acks if ack.error]
        one.subscribe(one.topics[0])
        one.until(END)
        assert len(one.of()) > 5
        assert len(one.struck) == 1

    @pytest.mark.parametrize(
        "what", [one for one in SERVED if one[0] == "bitfinex"], ids=lambda what: str(what[2])
    )
    def test_a_heartbeat_comes_before_its_channel_begins(self, what: Served) -> None:
        one = wire(what, fault(Kind.EARLY_BEAT, topic=name_of(what), seconds=12.9)).until(END)
        told = [(act.at, act.text) for act in one.answers()]
        subject = name_of(what).partition(":")[2]
        [begun] = [at for at, text in told if '"subscribed"' in text and subject in text]
        beats = [at for at, text in told if '"hb"' in text]
        assert begun == NOW + 12_900 * MILLISECOND
        assert beats[0] == NOW
        assert min(message.at for message in one.of()) == begun
        later = [message.at for message in quiet(what).of() if message.at > begun]
        assert [message.at for message in one.of() if message.at > begun] == later
        counted_without_a_gap(one)


ANY: list[Callable[[str], StreamFault]] = [
    lambda name: fault(Kind.SILENT_TOPIC, topic=name, nth=7, seconds=3.3),
    lambda name: fault(Kind.FROZEN, topic=name, nth=7, seconds=3.3),
    lambda name: fault(Kind.CROSSED, topic=name, nth=7, seconds=3.3),
    lambda name: fault(Kind.DRIFT, topic=name, nth=7),
    lambda name: fault(Kind.SNAPSHOT, topic=name, nth=7),
    lambda name: fault(Kind.NUMBER_RESTART, topic=name, nth=7),
    lambda name: fault(Kind.BAD_LEVEL, topic=name, probability=0.1),
    lambda name: fault(Kind.LATE_ACK, seconds=3.3),
    lambda name: fault(Kind.EARLY_BEAT, topic=name, seconds=3.3),
]


@each_served
@pytest.mark.parametrize("number", range(len(ANY)))
def test_what_is_sent_does_not_depend_on_when_the_server_looks(what: Served, number: int) -> None:
    faults = [ANY[number](name_of(what))]
    end = Us(NOW + 8 * SECOND)
    whole, parts = wire(what, *faults).until(end, DAY), wire(what, *faults).until(end, Us(70 * MILLISECOND))
    for which in range(2):
        assert whole.of(which) == parts.of(which)
    assert [struck.message for struck in whole.struck] == [struck.message for struck in parts.struck]
