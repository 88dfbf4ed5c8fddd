"""What one odd frame does to the others: nothing, on any venue. Tried with what the sandbox sends."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import islice
from typing import Any, cast

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from dccd_core.adapter.live import BookChange, DecodedBatch
from dccd_core.domain.timespan import Us
from tests.conformance.test_live import OPEN, Line, each_open, joined, kind_of, lines, told_of

AROUND = 12
"""Frames before and after the odd one."""
ODD: list[object] = [
    *(None, True, -1, 0, 7, 1.5, -2.5, 2**63, 2**70, 10**400, float("nan"), float("inf")),
    *("", " ", "x", "-1", "0", "NaN", "inf", "1e999", "9" * 400, "0.-10000", "1 2", "0001-01-01T00:00:00Z"),
    *([], {}, [None], [[]], {"x": 1}),
]
"""What a cell may hold; json writes some of these as no JSON allows."""
LEVELS: list[object] = ["0.-10000", None, "", "x", "-", "NaN", float("nan"), "1e999", [], True]
COUNTED = {"bitfinex"}
"""Venues that number all messages of a connection: without one nobody can say what is missing, or of whom."""


@dataclass(frozen=True, eq=False)
class Case:
    """A frame among its neighbours, and the states before them and before it."""

    line: Line
    place: int
    start: object
    state: object

    @property
    def frame(self) -> bytes:
        return self.line.frames[self.place]

    @cached_property
    def markets(self) -> dict[str, str]:
        """The market of each topic of this connection."""
        return {self.line.live.name(topic): topic.market for topic in self.line.topics}

    @cached_property
    def right(self) -> set[str]:
        """The topics that it is of."""
        return told_of(joined([self.good]))

    @property
    def market(self) -> set[str]:
        return {self.markets[name] for name in self.right}

    @cached_property
    def good(self) -> DecodedBatch:
        return self.own(self.frame)

    @cached_property
    def whole(self) -> DecodedBatch:
        return self.among(self.frame)

    def own(self, frame: bytes) -> DecodedBatch:
        return self.line.live.decode([frame], [Us(self.place)], self.state)

    def named(self, frame: bytes) -> set[str]:
        """Return the topics of this connection that a frame is said to be of."""
        return {*self.line.live.topics_in(frame, self.state)} & self.markets.keys()

    def among(self, frame: bytes) -> DecodedBatch:
        """Hear its neighbours with a frame in its place."""
        first, end = max(0, self.place - AROUND), min(self.place + 1 + AROUND, len(self.line.frames))
        frames = [*self.line.frames[first : self.place], frame, *self.line.frames[self.place + 1 : end]]
        return self.line.live.decode(frames, [Us(n) for n in range(first, end)], self.start)


@cache
def cases(name: str) -> list[Case]:
    """Return the first, and a later, frame of each kind that has rows or levels of a topic."""
    result: list[Case] = []
    for line in lines(name):
        kinds: dict[str, list[int]] = {}
        for place, frame in enumerate(line.frames):
            if frame[:1] in b"{[":
                kinds.setdefault(json.dumps(kind_of(json.loads(frame))), []).append(place)
        some = sorted({place for found in kinds.values() for place in (found[0], found[len(found) // 2])})
        starts = [max(0, place - AROUND) for place in some]
        states = _states(line, [*some, *starts])
        found = [Case(line, place, states[at], states[place]) for at, place in zip(starts, some, strict=True)]
        result += [case for case in found if case.right]
    return result


def _states(line: Line, cuts: Sequence[int]) -> dict[int, object]:
    """Return the state of a connection before each of some frames."""
    places = sorted({*cuts} - {0})
    return {0: None, **dict(zip(places, (part.state for part in line.decoded(places)), strict=False))}


def cells(value: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], object]]:
    """Yield every part of a JSON value, with the way to it."""
    yield path, value
    if isinstance(value, dict | list):
        whole = cast(dict[Any, object] | list[object], value)
        for key in whole if isinstance(whole, dict) else range(len(whole)):
            yield from cells(whole[key], (*path, key))


def levels_in(case: Case) -> list[tuple[Any, ...]]:
    """Return some places where a frame has a price or an amount: changed there, only its levels change."""
    told = case.good.books
    numbers = {float(text) for one in told for level in (*one.bids, *one.asks) for text in level}
    places = [
        (path, value)
        for path, value in cells(json.loads(case.frame))
        if isinstance(value, str | float) and _number(value) in numbers
    ]
    found: list[tuple[Any, ...]] = []
    for way in (places, places[::-1]):
        found += islice((path for path, value in way if _changed(case, path, value)), 2)
    return list(dict.fromkeys(found))


def _number(value: str | float) -> float | None:
    try:
        return abs(float(value))
    except ValueError:
        return None


def _changed(case: Case, path: Sequence[Any], value: str | float) -> bool:
    books = case.own(replaced(case.frame, path, "3.25" if isinstance(value, str) else 3.25)).books
    levels, told = ([(one.bids, one.asks) for one in some] for some in (books, case.good.books))
    return bool(books) and levels != told and [one.topic for one in books] == [*case.right]


def replaced(frame: bytes, path: Sequence[Any], other: object) -> bytes:
    value = json.loads(frame)
    if not path:
        return json.dumps(other).encode()
    inner = value
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = other
    return json.dumps(value).encode()


def rows_without(decoded: DecodedBatch, place: int) -> dict[str, list[tuple[object, ...]]]:
    """Return rows but those of the frame at a place, by topic."""
    result: dict[str, list[tuple[object, ...]]] = {}
    for frame in (decoded.trades, decoded.bars):
        if frame is not None:
            for row in frame.filter(pl.col("received") != place).rows(named=True):
                result.setdefault(row["topic"], []).append(tuple(row.values()))
    return result


def changes_without(decoded: DecodedBatch, own: Sequence[BookChange]) -> list[BookChange]:
    return [change for change in decoded.books if change not in own]


def check(case: Case, odd: bytes) -> DecodedBatch:
    """Assert that an odd frame changes nothing that its neighbours say, and names no other market."""
    own, among, whole = case.own(odd), case.among(odd), case.whole
    if case.line.name in COUNTED and among.restart and (own.restart or not case.named(odd)):
        return own
    assert rows_without(among, case.place) == rows_without(whole, case.place)
    known = [*own.books, *case.good.books]
    assert changes_without(among, known) == changes_without(whole, known)
    assert among.acks == whole.acks or own.acks
    assert among.restart is None or own.restart
    assert among.bad == own.bad
    assert [frame for frame, _ in own.bad] in ([], [odd])
    if own.bad:
        assert {case.markets[name] for name in case.named(odd)} <= case.market
    return own


@each_open
@given(data=st.data())
@settings(max_examples=100)
def test_a_frame_with_one_odd_cell_changes_nothing_that_others_say(name: str, data: st.DataObject) -> None:
    case = cases(name)[data.draw(st.integers(0, len(cases(name)) - 1))]
    paths = [path for path, _ in cells(json.loads(case.frame))]
    path = paths[data.draw(st.integers(0, len(paths) - 1))]
    check(case, replaced(case.frame, path, data.draw(st.sampled_from(ODD))))


@each_open
@given(data=st.data())
@settings(max_examples=100)
def test_a_frame_with_odd_bytes_changes_nothing_that_others_say(name: str, data: st.DataObject) -> None:
    """It begins with something else, was cut, or has a hole; not in a number that stands for its topic."""
    case = cases(name)[data.draw(st.integers(0, len(cases(name)) - 1))]
    whole = len(case.frame)
    holes = st.tuples(*[st.integers(12, whole)] * 2).map(sorted)
    start, end = data.draw(
        st.one_of(st.just([0, 1]), st.integers(1, whole).map(lambda at: [at, whole]), holes)
    )
    put = data.draw(st.sampled_from([b"", b"}", b"[]", b"\x00", b"\xff", b'"']))
    check(case, case.frame[:start] + put + case.frame[end:])


@each_open
def test_the_topic_of_a_spoilt_frame_is_known_as_long_as_its_name_is_whole(name: str) -> None:
    """As the sandbox spoils them: another first byte, an early end, a list instead of a number."""
    for case in cases(name):
        assert case.named(case.frame) == case.named(b"}" + case.frame[1:]) == case.right
        ends = range(1, len(case.frame), max(1, len(case.frame) // 100))
        found = [case.named(case.frame[:end]) for end in (*ends, len(case.frame) - 1)]
        assert found[-1] == case.right
        assert all(names == set() or names >= case.right for names in found)
        assert [*map(bool, found)] == sorted(map(bool, found))
        assert {case.markets[name] for names in found for name in names} == case.market


@each_open
def test_an_odd_level_spoils_its_own_book_alone(name: str) -> None:
    tried = 0
    for case in cases(name):
        for path in levels_in(case):
            for level in LEVELS:
                own = check(case, replaced(case.frame, path, level))
                assert own.books == []
                tried += 1
    assert tried >= len(LEVELS)


def test_every_venue_that_can_be_listened_to_is_tried() -> None:
    assert OPEN
    assert all(len(cases(name)) >= 3 for name in OPEN)
