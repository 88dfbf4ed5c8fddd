import re
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dccd_core.domain.timespan import SECOND, TimeRange, Us, parse_time
from dccd_core.testing.sandbox.binance_live import LIVE
from dccd_core.testing.sandbox.line import Line
from dccd_core.testing.sandbox.live import ABORTED, Act, Close, Message, Opening, Ping, Side
from dccd_core.testing.sandbox.market import Market
from dccd_core.testing.sandbox.stream_faults import StreamFault, StreamFaultKind, StreamInjector

NOW = parse_time("2024-06-05T12:00")
END = Us(NOW + 100 * SECOND)
ONE, OTHER = "btcusdt@aggTrade", "ethusdt@aggTrade"


def message(second: int, topic: str = ONE, text: str = "") -> Message:
    return Message(Us(NOW + second * SECOND), topic, text or f'{{"n":{second},"p":"1.5"}}')


class Numbered(Side):
    """Its only topic can be numbered anew."""

    def heard(self, text: str, now: Us) -> list[Act]:
        return []

    def restarted(self, topic: str, span: TimeRange) -> list[Message] | None:
        times = range(span.start, span.end, SECOND)
        anew = [Message(Us(at), topic, f"anew {number}") for number, at in enumerate(times)]
        return anew if topic == ONE else None


class Sent:
    """A line with faults, and what was reported of them."""

    def __init__(self, *faults: StreamFault, seed: int = 0) -> None:
        opening = Opening(Market(), "/stream", {}, NOW)
        self.injector = StreamInjector(faults, seed)
        self.struck: list[tuple[StreamFaultKind, Message]] = []
        self.line = Line("binance", LIVE, Numbered(opening, LIVE.open(opening).habits), self._report)

    def _report(self, fault: StreamFault, message: Message) -> None:
        self.struck.append((fault.kind, message))

    def __call__(self, *acts: Act, end: Us = END) -> list[Act]:
        return self.line.sent(acts, self.injector, end)


def fault(kind: str, **more: object) -> StreamFault:
    return msgspec.convert({"kind": kind, **more}, StreamFault)


def unheard(_fault: StreamFault, _message: Message) -> None:
    """Report to nobody."""


A, B, C = message(1), message(2), message(3)


class TestWhatIsMet:
    @pytest.mark.parametrize(
        ("more", "left"),
        [
            ({}, []),
            ({"nth": 2}, [1, 3, 4]),
            ({"first": 2}, [3, 4]),
            ({"topic": "eth*"}, [1, 2, 4]),
            ({"topic": "eth"}, [1, 2, 3, 4]),
            ({"topic": "eth*", "nth": 1}, [1, 2, 4]),
            ({"venue": "kraken"}, [1, 2, 3, 4]),
            ({"venue": "binance", "topic": ONE}, [3]),
            ({"between": [NOW + 2 * SECOND, NOW + 4 * SECOND]}, [1, 4]),
            ({"probability": 0.0}, [1, 2, 3, 4]),
        ],
    )
    def test_filters(self, more: dict[str, object], left: list[int]) -> None:
        acts = [message(1), message(2), message(3, OTHER), message(4)]
        assert Sent(fault("drop", **more))(*acts) == [acts[number - 1] for number in left]

    def test_what_is_said_of_the_connection_is_met_only_on_request(self) -> None:
        answer = message(1, "")
        assert Sent(fault("drop"))(answer, B) == [answer]
        assert Sent(fault("drop", answers=True))(answer, B) == [B]

    def test_pings_and_closes_are_not_messages(self) -> None:
        acts = [Ping(NOW, b"1"), Close(NOW, 1001)]
        assert Sent(fault("drop"), fault("drop", answers=True))(*acts) == acts

    @given(seed=st.integers(0, 1_000), cut=st.integers(0, 200))
    def test_a_share_is_the_same_whenever_the_server_looks(self, seed: int, cut: int) -> None:
        acts = [message(second) for second in range(200)]
        share = fault("drop", probability=0.3)
        whole, parts = Sent(share, seed=seed), Sent(share, seed=seed)
        left = whole(*acts)
        assert 90 < len(left) < 190
        again = [*parts(*acts[cut:]), *parts(*acts[:cut])]
        assert sorted(again) == left

    def test_another_seed_is_another_share(self) -> None:
        acts = [message(second) for second in range(50)]
        assert Sent(fault("drop", probability=0.5))(*acts) != Sent(fault("drop", probability=0.5), seed=1)(
            *acts
        )

    def test_each_strike_is_reported_with_what_it_hit(self) -> None:
        sent = Sent(fault("garbage", nth=1), fault("drop", nth=2))
        sent(A, B, C)
        assert sent.struck == [(StreamFaultKind.GARBAGE, A), (StreamFaultKind.DROP, B)]

    def test_connections_to_be_opened_are_met_apart(self) -> None:
        injector = StreamInjector([fault("refuse", nth=2, status=429), fault("drop")], 0)
        assert injector.refusal("binance", NOW) is None
        assert injector.strikes("binance", A)
        refused = injector.refusal("binance", NOW)
        assert refused is not None
        assert refused.status == 429
        assert injector.refusal("binance", NOW) is None


class TestOrder:
    def test_duplicate(self) -> None:
        assert Sent(fault("duplicate", nth=2))(A, B, C) == [A, B, B, C]

    def test_reorder(self) -> None:
        assert Sent(fault("reorder", nth=1))(A, B, C) == [B, A, C]

    def test_reorder_waits_for_the_next_message(self) -> None:
        sent = Sent(fault("reorder", nth=1))
        assert sent(A) == []
        assert sent(Ping(NOW, b"1")) == [Ping(NOW, b"1")]
        assert sent(B) == [B, A]

    def test_reorder_loses_nothing_when_all_are_struck_or_the_end_comes(self) -> None:
        sent = Sent(fault("reorder"))
        assert sent(A, B, C, Close(END, 1001)) == [B, A, C, Close(END, 1001)]
        assert sent.struck == [(StreamFaultKind.REORDER, A), (StreamFaultKind.REORDER, C)]

    def test_stall(self) -> None:
        sent = Sent(fault("stall", nth=2, seconds=5.0))
        assert sent(A, B, C, end=Us(C.at + 1)) == [A]
        assert sent(message(5), end=Us(NOW + 6 * SECOND)) == []
        assert sent(message(6), end=Us(NOW + 7 * SECOND)) == [B, C, message(5), message(6)]
        assert sent(message(8), end=Us(NOW + 9 * SECOND)) == [message(8)]

    def test_a_stall_that_is_over_at_once_changes_nothing(self) -> None:
        assert Sent(fault("stall", nth=1, seconds=1.0))(A, B, C) == [A, B, C]


class TestEnds:
    @pytest.mark.parametrize(
        ("broken", "code"), [(fault("disconnect", nth=2, code=4000), 4000), (fault("abort", nth=2), ABORTED)]
    )
    def test_nothing_follows_a_close(self, broken: StreamFault, code: int) -> None:
        assert Sent(broken)(A, B, C) == [A, Close(B.at, code)]

    def test_silence_swallows_everything_from_then_on(self) -> None:
        sent = Sent(fault("silence", nth=2))
        assert sent(A, B, C, Ping(END, b"1")) == [A]
        assert sent.line.silent
        assert sent(message(4), message(5, ""), Close(END, 1001)) == []


class TestTexts:
    def said(self, kind: str, text: str) -> str:
        sent = Sent(fault(kind, nth=1))
        [act] = sent(message(1, text=text))
        assert isinstance(act, Message)
        assert bool(sent.struck) == (act.text != text)
        return act.text

    @pytest.mark.parametrize("kind", ["garbage", "truncated"])
    def test_no_json(self, kind: str) -> None:
        with pytest.raises(msgspec.DecodeError):
            msgspec.json.decode(self.said(kind, '{"p":"1.5"}'))

    @pytest.mark.parametrize(
        ("text", "spoiled"),
        [
            ('{"E":17,"p":"1.50","q":"2.0"}', '{"E":17,"p":[],"q":"2.0"}'),
            ('{"price":105.20,"qty":0.1}', '{"price":[],"qty":0.1}'),
            ('[5,[1,-0.5],"2.1"]', '[5,[1,[]],"2.1"]'),
            ('{"time":"2023-10-06T17:35:55.440295Z"}', '{"time":"2023-10-06T17:35:55.440295Z"}'),
        ],
    )
    def test_wrong_type(self, text: str, spoiled: str) -> None:
        assert self.said("wrong_type", text) == spoiled

    @pytest.mark.parametrize(
        ("text", "number"),
        [
            ('{"U":10,"u":12,"b":[]}', '{"U":%d,"u":12,"b":[]}'),
            ('{"U":10,"u":12,"pu":8,"b":[]}', '{"U":10,"u":12,"pu":%d,"b":[]}'),
        ],
    )
    def test_wrong_sequence(self, text: str, number: str) -> None:
        before = msgspec.json.decode(text)
        after = msgspec.json.decode(self.said("wrong_sequence", text))
        name = "pu" if "pu" in before else "U"
        assert after[name] > before[name]
        assert number % after[name] == self.said("wrong_sequence", text)

    def test_wrong_checksum(self) -> None:
        sent = Sent(fault("wrong_checksum"))
        live = replace(LIVE, checksum=re.compile(r'"cs",(-?\d+)'))
        sent.line = Line("bitfinex", live, sent.line.side, unheard)
        [act] = sent(message(1, text='[7,"cs",-1234,18]'))
        assert isinstance(act, Message)
        before, number, after = act.text.partition('[7,"cs",')[2].rpartition(",18]")
        assert (int(before) != -1234, number, after) == (True, ",18]", "")

    @pytest.mark.parametrize("kind", ["wrong_checksum", "wrong_sequence"])
    def test_what_has_no_such_number_stays_as_it_is(self, kind: str) -> None:
        assert self.said(kind, '{"p":"1.5"}') == '{"p":"1.5"}'

    def test_two_faults_of_one_message_both_strike(self) -> None:
        sent = Sent(fault("wrong_type"), fault("duplicate"))
        assert [act.text for act in sent(A) if isinstance(act, Message)] == ['{"n":1,"p":[]}'] * 2
        assert len(sent.struck) == 2


class TestVenues:
    def test_a_restart_numbers_the_topic_anew_and_leaves_the_others(self) -> None:
        sent = Sent(fault("reset", nth=2))
        other = message(3, OTHER)
        acts = sent(A, B, C, other, message(4), end=Us(NOW + 5 * SECOND))
        anew = [Message(Us(NOW + second * SECOND), ONE, f"anew {second - 2}") for second in (2, 3, 4)]
        assert acts == [A, anew[0], other, anew[1], anew[2]]

    def test_where_there_is_nothing_to_restart_nothing_happens(self) -> None:
        sent = Sent(fault("reset"), fault("notice"))
        assert sent(message(1, OTHER)) == [message(1, OTHER)]
        assert sent.struck == []

    def test_a_notice_comes_before_the_message(self) -> None:
        sent = Sent(fault("notice", nth=1))
        side = LIVE.open(Opening(Market(), "/stream", {}, NOW))
        sent.line = Line("binance", LIVE, side, unheard)
        said, then = sent(A)
        assert isinstance(said, Message)
        assert "serverShutdown" in said.text
        assert then == A


def test_a_fault_with_a_misspelt_field_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        fault("drop", tpic="x")
