"""What every exchange's WebSocket owes, stated once; it hears what the sandbox's side of the venue says."""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import chain, cycle, islice, pairwise, takewhile
from pathlib import Path
from typing import Any, NamedTuple, cast
from urllib.parse import urlencode, urlsplit

import polars as pl
import pytest

from dccd_core.adapter.contract import Query
from dccd_core.adapter.live import Ack, DecodedBatch, Topic, WebSocketApi
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import MINUTE, SECOND, WEEK, TimeRange, Us, parse_time
from dccd_core.exchanges import NAMES, get
from dccd_core.stream.session import Session
from dccd_core.tables import DataType
from dccd_core.testing.sandbox.market import Market
from dccd_core.testing.sandbox.server import LIVES
from tests.dccd_core.testing.sandbox.listener import Served, channel_of, live_of
from tests.dccd_core.testing.sandbox.talk import Talk, closes, messages

ROOT = Path(__file__).parents[2]
NOW = parse_time("2024-06-05T12:00:20.05")
SYMBOLS = {
    "spot": ("BTC/USDT", "ETH/USDT"),
    "linear": ("BTC/USDT:USDT", "ETH/USDT:USDT"),
    "inverse": ("BTC/USD:BTC", "ETH/USD:ETH"),
}
TRUTH = Market(["ETH/USD:ETH"], dict.fromkeys(chain(*SYMBOLS.values()), 100_000))
WITHOUT_HISTORY: dict[Served, set[int]] = {
    ("kraken", "spot", DataType.ORDERBOOK): {1_000},
    ("bitfinex", "spot", DataType.ORDERBOOK): {250},
}
"""Lengths of bars and depths of books that can be listened to, but not be asked for."""
HOSTILE = [
    *(
        b"",
        b" ",
        b"17",
        b'"x"',
        b'{"unheard":1}',
        b"[[true]]",
        b"[]",
        b"{}",
        b"null",
        b"<html>",
        b"\x00",
        b"\xff",
    ),
    *(b'{"unheard":"\xff"}', b'{"unheard":1', b"}", b"1,2", b"[", b"[" * 100_000, b'{"unheard":' * 100_000),
    b'{"unheard":"%s"}' % (b"x" * 1_000_000),
    b'{"unheard":[%s0]}' % (b"0," * 500_000),
]
STRANGE: list[object] = [
    None,
    True,
    -1,
    0,
    1.5,
    2**70,
    "",
    "x",
    "-1",
    "nan",
    "1 2",
    "9" * 30,
    [],
    {},
    [[]],
    [None],
    {"x": 1},
]
"""What a value may be when a venue changes its mind."""


WORDS = {b"ping"}
"""What OKX wants to be said that is no JSON."""


OPEN = [name for name in NAMES if get(name).live]
SERVED: list[Served] = [
    (name, kind, data_type)
    for name in OPEN
    for kind in SYMBOLS
    for data_type in DataType
    if kind in get(name).kinds and live_of(name).channel(kind, data_type)
]
each_open = pytest.mark.parametrize("name", OPEN)
each_served = pytest.mark.parametrize("served", SERVED, ids="-".join)


def topics_of(served: Served, spans: int | None = None) -> list[Topic]:
    """Return what can be subscribed to, of all lengths of bars or the first few."""
    name, kind, data_type = served
    channel, market = channel_of(served), get(name).market
    bars = channel.spans[:spans] or (None,)
    depth = channel.depth(1)
    assert depth is not None
    return [
        Topic(data_type, market(Symbol.parse(symbol)), kind, bar, depth, symbol if channel.named else "")
        for symbol in SYMBOLS[kind]
        for bar in bars
    ]


class Sample(NamedTuple):
    frame: bytes
    state: object
    """Of the connection when it came."""


def kind_of(value: object) -> object:
    """Return the shape of a JSON value: names, short words, and what different things a list begins with."""
    if isinstance(value, dict):
        return {str(key): kind_of(one) for key, one in sorted(cast(dict[str, object], value).items())}
    if isinstance(value, list):
        return list(dict.fromkeys(json.dumps(kind_of(one)) for one in cast(list[object], value)[:6]))
    return value if isinstance(value, str) and re.fullmatch("[a-zA-Z]{2,12}", value) else type(value).__name__


@dataclass(frozen=True, eq=False)
class Line:
    """All that one connection was told in a minute, answers to us among it."""

    name: str
    topics: Sequence[Topic]
    frames: Sequence[bytes]
    received: Sequence[Us]

    @property
    def live(self) -> WebSocketApi:
        return live_of(self.name)

    def decoded(self, cuts: Iterable[int] = ()) -> list[DecodedBatch]:
        """Hear it in batches that end at ``cuts``."""
        result: list[DecodedBatch] = []
        state: object = None
        for start, end in pairwise([0, *sorted({*cuts} - {0, len(self.frames)}), len(self.frames)]):
            result.append(self.live.decode(self.frames[start:end], self.received[start:end], state))
            state = result[-1].state
        return result

    @cached_property
    def whole(self) -> DecodedBatch:
        [decoded] = self.decoded()
        return decoded

    @cached_property
    def samples(self) -> list[Sample]:
        """The first message of each kind."""
        kinds: dict[str, int] = {}
        for place, frame in enumerate(self.frames):
            if frame[:1] in b"{[":
                kinds.setdefault(json.dumps(kind_of(json.loads(frame))), place)
        places = list(kinds.values())
        states = [None, *(part.state for part in self.decoded(places)[:-1])][-len(places) :]
        return [Sample(self.frames[place], state) for place, state in zip(places, states, strict=True)]


@cache
def lines(name: str) -> list[Line]:
    """Connect to each address of a venue's simulation, and subscribe to two symbols as its limits allow."""
    live = live_of(name)
    by_url: dict[str, dict[str, Topic]] = {}
    for served in SERVED:
        if served[0] == name:
            for topic in topics_of(served, spans=2):
                by_url.setdefault(live.url(topic), {})[live.name(topic)] = topic
    return [_line(name, urlsplit(url).path, list(topics.values())) for url, topics in by_url.items()]


def _line(name: str, path: str, topics: Sequence[Topic]) -> Line:
    live = live_of(name)
    talk = Talk(LIVES[name], path, NOW, TRUTH, enforced=True)
    starts = range(0, len(topics), live.batch)
    subscriptions = [live.subscribe(topics[at : at + live.batch], number) for number, at in enumerate(starts)]
    acts = list(talk.greeting)
    for words in (*live.greeting, *subscriptions):
        acts += [*talk.say(words.decode()), *talk.until(Us(talk.now + live.pace))]
    for number in range(100, 104):
        words = live.ping(number).decode() if live.ping else None
        acts += [*talk.until(Us(talk.now + 15 * SECOND)), *(talk.say(words) if words else ())]
    assert closes(acts) == []
    told = messages(acts)
    return Line(name, topics, [one.text.encode() for one in told], [one.at for one in told])


def joined(parts: Sequence[DecodedBatch]) -> dict[str, object]:
    """Return what batches say together; only within a topic does the order of rows count."""
    result: dict[str, object] = {}
    for what in ("trades", "bars"):
        frames = [frame for part in parts if (frame := getattr(part, what)) is not None]
        rows = pl.concat(frames).sort("topic", maintain_order=True) if frames else pl.DataFrame({"topic": []})
        result[what], result[f"{what} of"] = rows.rows(), rows["topic"].unique(maintain_order=True).to_list()
    words = sorted((word for part in parts for word in part.words), key=lambda word: word.at)
    result["words"] = {word.topic: word for word in words}
    for what in ("books", "acks", "bad"):
        result[what] = [one for part in parts for one in getattr(part, what)]
    result["at"] = max((part.at for part in parts if part.at is not None), default=None)
    result["restart"] = any(part.restart for part in parts)
    return result


def told_of(decoded: Mapping[str, Any]) -> set[str]:
    """Return the topics of which anything was said."""
    return {*decoded["trades of"], *decoded["bars of"], *(change.topic for change in decoded["books"])}


def silent(decoded: DecodedBatch) -> bool:
    return joined([replace(decoded, bad=[])]) == joined([DecodedBatch()])


def spoilt(value: Any, strange: Iterator[object]) -> Iterator[object]:
    """Yield ``value`` with each of its parts replaced in turn by some strange ones, or left out."""
    yield from islice(strange, 2)
    if not isinstance(value, dict | list):
        return
    whole = cast(dict[Any, object] | list[object], value)
    places: list[Any] = list(whole) if isinstance(whole, dict) else list(range(len(whole)))[:3]
    for place in places:
        for other in spoilt(whole[place], strange):
            copy = whole.copy()
            copy[place] = other
            yield copy
        copy = whole.copy()
        del copy[place]
        yield copy


def test_a_websocket_stands_beside_its_exchange_and_is_simulated() -> None:
    files = (ROOT / "dccd_core" / "exchanges").glob("*_live.py")
    assert {file.stem.removesuffix("_live") for file in files} == {*OPEN} == LIVES.keys()


@each_open
def test_the_file_of_a_websocket_opens_with_docs_and_quirks(name: str) -> None:
    text = (ROOT / "dccd_core" / "exchanges" / f"{name}_live.py").read_text().split('"""')[1]
    assert "Docs: https://" in text
    assert "Quirks:" in text


@each_served
def test_what_can_be_listened_to_is_history_s_too_or_listed(served: Served) -> None:
    name, kind, data_type = served
    channel, endpoint = channel_of(served), get(name).endpoint(kind, data_type)
    assert channel.docs.startswith("https://")
    assert bool(channel.spans) == (data_type is DataType.OHLC)
    assert list(channel.depths) == sorted(set(channel.depths))
    assert not channel.depths or data_type is DataType.ORDERBOOK
    spans, levels = (endpoint.spans, endpoint.page_limit) if endpoint else ((), 0)
    deeper = {depth for depth in channel.depths if depth > levels}
    assert {*channel.spans} - {*spans} | deeper == WITHOUT_HISTORY.get(served, set())


def only_difference(texts: Sequence[str]) -> list[str]:
    """Return texts without what all of them begin and end with."""
    start = _alike(texts)
    end = _alike([text[start:][::-1] for text in texts])
    return [text[start : len(text) - end] for text in texts]


def _alike(texts: Sequence[str]) -> int:
    return len([*takewhile(lambda letters: len({*letters}) == 1, zip(*texts, strict=False))])


@pytest.mark.parametrize("served", [one for one in SERVED if one[2] is DataType.OHLC], ids="-".join)
def test_bars_are_pushed_in_the_lengths_that_history_has(served: Served) -> None:
    """And a length is written in the name of a topic as it is in a request."""
    (name, kind, data_type), channel = served, channel_of(served)
    endpoint, market = get(name).endpoint(kind, data_type), get(name).market(Symbol.parse(SYMBOLS[kind][0]))
    assert endpoint
    assert channel.spans == endpoint.spans
    span = TimeRange(Us(0), Us(3 * WEEK))
    asked = [endpoint.request(Query(market, span, 1, bar, market_type=kind)) for bar in channel.spans]
    written = only_difference([f"{one.path}?{urlencode(sorted(one.params.items()))}" for one in asked])
    topics = [Topic(data_type, market, kind, bar, live_name="A/B") for bar in channel.spans]
    assert channel.from_trades or only_difference([*map(live_of(name).name, topics)]) == written
    assert len({*written}) == len(channel.spans)


@each_open
def test_a_session_fills_its_messages_and_none_is_fuller_than_the_venue_takes(name: str) -> None:
    said, many = list[tuple[str, ...]](), 2 * live_of(name).batch + 1

    def subscribe(topics: Sequence[Topic], number: int) -> bytes:
        said.append(tuple(topic.market for topic in topics))
        return live_of(name).subscribe(topics, number)

    live = replace(live_of(name), subscribe=subscribe)
    markets = [f"S{number}" for number in range(many)]
    topics = [Topic(DataType.TRADES, market, live_name=market) for market in markets]
    session = Session(live, {live.name(topic): topic for topic in topics}, Us(0))
    steps = range(len(live.greeting) + 3)
    sent = [message for step in steps for message in session.due(Us(step * live.pace))]
    assert len(sent) == len(steps)
    assert [len(some) for some in said] == [live.batch, live.batch, 1]
    assert [market for some in said for market in some] == markets
    if live.batch == 1:
        with pytest.raises(ValueError, match="too many values"):
            live_of(name).subscribe(topics[:2], 1)


@each_open
def test_bars_are_built_only_from_trades_that_something_counts(name: str) -> None:
    built = [channel for channel in live_of(name).channels.values() if channel.from_trades]
    assert all(channel.consecutive or channel.beats for channel in built)


@each_open
def test_every_topic_has_a_name_of_its_own(name: str) -> None:
    """Of one address: kinds of market may share names where they do not share connections."""
    live, seen, built = live_of(name), dict[tuple[str, str], Topic](), list[Topic]()
    for served in SERVED:
        if served[0] != name:
            continue
        if channel_of(served).from_trades:
            built += topics_of(served)
            continue
        for topic in topics_of(served):
            own = live.url(topic), live.name(topic)
            assert own not in seen, f"{topic} and {seen[own]} are both {own}"
            seen[own] = topic
    assert all(live.name(replace(topic)) == own for (_, own), topic in seen.items())
    for topic in built:
        assert seen[live.url(topic), live.name(topic)].data_type is DataType.TRADES


@each_open
def test_what_is_said_to_a_venue_is_json_or_a_word_of_its_own(name: str) -> None:
    live = live_of(name)
    words = [*live.greeting, *([live.ping(3)] if live.ping else [])]
    for line in lines(name):
        state = line.whole.state
        some = line.topics[: live.batch]
        words += [live.subscribe(some, 1), live.unsubscribe(some, 2, state)]
    words = [text for text in words if text not in WORDS]
    assert all(isinstance(json.loads(text), dict) for text in words)


@each_open
def test_a_venue_agrees_to_every_topic_by_the_name_that_it_has_here(name: str) -> None:
    """To messages of as many topics as ``batch`` says, with the venue's limits in force."""
    for line in lines(name):
        decoded = joined([line.whole])
        assert (decoded["bad"], decoded["restart"]) == ([], False)
        names = {line.live.name(topic) for topic in line.topics}
        acks = cast(list[Ack], decoded["acks"])
        assert {ack.topic for ack in acks if ack.topic} <= names
        assert [ack.error for ack in acks if ack.error] == []
        assert told_of(decoded) == names


@each_open
def test_it_does_not_matter_how_messages_are_cut_into_batches(name: str) -> None:
    for line in lines(name):
        whole = joined([line.whole])
        assert whole == joined(line.decoded(range(len(line.frames))))
        assert whole == joined(line.decoded(range(0, len(line.frames), 7)))


@each_open
def test_hearing_the_same_again_says_the_same(name: str) -> None:
    """So it changes neither what it is given nor anything else."""
    for line in lines(name):
        half = len(line.frames) // 2
        first = line.live.decode(line.frames[:half], line.received[:half], None)
        second, again = (
            joined([line.live.decode(line.frames[half:], line.received[half:], first.state)])
            for _ in range(2)
        )
        assert second == again
        assert joined([line.live.decode(line.frames[:half], line.received[:half], None)]) == joined([first])


@each_open
def test_nothing_says_nothing(name: str) -> None:
    for line in lines(name):
        state = line.whole.state
        for before in (None, state):
            decoded = line.live.decode([], [], before)
            assert silent(decoded)
            assert decoded.bad == []
        more = line.live.decode(line.frames[-1:], line.received[-1:], line.live.decode([], [], state).state)
        assert joined([more]) == joined([line.live.decode(line.frames[-1:], line.received[-1:], state)])


@each_open
def test_what_is_no_message_is_told_and_spoils_no_other(name: str) -> None:
    for line in lines(name):
        frames, received = list(line.frames[:60]), list(line.received[:60])
        good = joined([line.live.decode(frames, received, None)])
        for place, text in enumerate(HOSTILE):
            frames.insert(2 * place + 1, text)
            received.insert(2 * place + 1, received[2 * place])
        decoded = joined([line.live.decode(frames, received, None)])
        bad = cast(list[tuple[bytes, str]], decoded["bad"])
        assert [frame for frame, _ in bad] == HOSTILE
        assert all(reason for _, reason in bad)
        assert {**decoded, "bad": []} == good


@each_open
def test_a_message_that_was_cut_says_nothing(name: str) -> None:
    for line in lines(name):
        for frame, state in line.samples:
            for end in {1, len(frame) // 3, len(frame) // 2, len(frame) - 1}:
                decoded = line.live.decode([frame[:end]], [NOW], state)
                assert silent(decoded)
                assert [text for text, _ in decoded.bad] == [frame[:end]]


@each_open
def test_a_message_with_a_strange_value_never_raises(name: str) -> None:
    strange = cycle(STRANGE)
    for line in lines(name):
        for frame, state in line.samples:
            for other in spoilt(json.loads(frame), strange):
                decoded = line.live.decode([json.dumps(other).encode()], [NOW], state)
                levels = [level for change in decoded.books for level in (*change.bids, *change.asks)]
                assert all(math.isfinite(float(text)) for level in levels for text in level)
                line.live.decode([frame], [NOW], decoded.state)


@each_open
def test_the_facts_of_a_connection_are_sane(name: str) -> None:
    live = live_of(name)
    assert live.batch >= 1
    assert live.most >= 1
    assert live.pace > 0
    assert live.connects.amount > 0
    assert live.connects.period > 0
    assert live.silence >= 10 * SECOND
    assert live.ping is None or live.ping_every < live.silence
    assert live.lifetime is None or live.lifetime > 10 * MINUTE
    assert live.most * live.pace / live.batch < 2 * MINUTE, (
        "all topics of a connection are subscribed to soon"
    )
