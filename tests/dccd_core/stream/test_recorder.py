"""A stream of several connections: kept up, handed over, folded, and ended with nothing left behind."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from dccd_core.adapter.contract import Request, Response
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import LakeError, Rejected, Throttled, Unavailable
from dccd_core.domain.timespan import HOUR, MINUTE, SECOND, Us
from dccd_core.exchanges import get
from dccd_core.fetch.venue import Venue
from dccd_core.lake.lake import LakeStore
from dccd_core.stream import recorder
from dccd_core.stream.api import DatasetHealth, Listener, StreamHealth, StreamPlan
from dccd_core.stream.connection import Group
from dccd_core.stream.recorder import Recorder
from dccd_core.stream.wanted import Kind, Wanted
from tests.dccd_core.stream.pushing import (
    BOOK,
    LIVE,
    START,
    URL,
    A,
    B,
    Disk,
    Stage,
    group,
    lacking,
    play,
    repeated,
)

pytestmark = pytest.mark.usefixtures("inline")
FIRST = START // SECOND
LATER = "wss://x/later"


class Nobody:
    async def send(self, request: Request) -> Response:
        raise Unavailable("nobody is there")


class Folding:
    """Stands for ``fold``: remembers when it was called, leaves the segments as they are."""

    def __init__(self, stage: Stage) -> None:
        self.folds: list[int] = []
        self.fills: list[int] = []
        self.fails: Exception | None = None
        self.hangs = False
        self._clock = stage.clock

    async def fold_all(
        self, venue: Venue, lake: LakeStore, kinds: Iterable[Kind], listener: Listener
    ) -> None:
        self.folds.append(self._clock.steady() // SECOND)
        while self.hangs:
            await self._clock.sleep(1)
        if self.fails:
            raise self.fails

    async def fill_windows(
        self, venue: Venue, lake: LakeStore, datasets: Sequence[Dataset], listener: Listener
    ) -> None:
        self.fills.append(self._clock.steady() // SECOND)


class Show:
    """A recorder on a stage."""

    def __init__(self, stage: Stage, *groups: Group, fold_every: Us) -> None:
        ones = [one for each in groups for wanted in each.wanted.values() for one in wanted]
        self.stage = stage
        self.venue = stage.venue
        self.folding = Folding(stage)
        context = stage.context(*ones)
        plan = StreamPlan("majors", tuple(one.dataset for one in ones), fold_every=fold_every)
        venue = Venue(get("binance"), Nobody(), stage.clock)
        self.recorder = Recorder(plan, venue, stage.lake, groups, context, stage.find)

    async def run(self, script: Callable[[], Coroutine[object, object, None]]) -> None:
        """Follow the script, then stop."""
        stop = asyncio.Event()
        running = asyncio.create_task(self.recorder.run(stop))
        acting = asyncio.create_task(script())
        try:
            await asyncio.wait([running, acting], return_when=asyncio.FIRST_COMPLETED)
            if acting.done():
                acting.result()
                stop.set()
            await running
        finally:
            acting.cancel()
            running.cancel()

    @property
    def health(self) -> StreamHealth:
        return self.stage.told.beats[-1]

    def health_of(self, one: Wanted) -> DatasetHealth:
        return next(each for each in self.health.datasets if each.dataset == one.dataset)


@pytest.fixture
def show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Show]:
    def make(*groups: Group, lifetime: Us | None = None, fold_every: Us = HOUR) -> Show:
        one = Show(Stage(tmp_path, replace(LIVE, lifetime=lifetime)), *groups, fold_every=fold_every)
        monkeypatch.setattr(recorder, "fold_all", one.folding.fold_all)
        monkeypatch.setattr(recorder, "fill_windows", one.folding.fill_windows)
        return one

    return make


Make = Callable[..., Show]


def test_a_lost_connection_is_a_window_and_the_next_one_goes_on(show: Make) -> None:
    one = show(group(A, B))

    async def script() -> None:
        await one.stage.clock.sleep(20)
        one.venue.sockets[0].end("gone")
        await one.stage.clock.sleep(20)
        one.venue.silent = True
        await one.stage.clock.sleep(31)
        one.venue.silent = False
        await one.stage.clock.sleep(20)

    play(one.run(script))
    for each in (A, B):
        seconds, covered = one.stage.recorded(each)
        assert len(covered) == 3
        assert lacking(seconds, covered) == []
        assert not repeated(seconds)
    assert one.health.reconnects == 2
    assert len(one.stage.notes("gone; 2 datasets, connecting again in")) == 1
    assert len(one.stage.notes("nothing came for 30 s")) == 1


class TestPauses:
    def test_they_grow_up_to_a_minute_and_begin_anew_after_a_good_life(self, show: Make) -> None:
        one = show(group(A))
        one.venue.closed = [Unavailable("503")] * 10

        async def script() -> None:
            await one.stage.clock.sleep(600)
            assert one.venue.closed == []
            one.venue.sockets[-1].end("gone")
            await one.stage.clock.sleep(2)

        play(one.run(script))
        pauses = [(after - before) / SECOND for before, after in pairwise(one.venue.attempts)]
        for n, pause in enumerate(pauses[:10]):
            longest = min(60, 0.5 * 2**n)
            assert longest / 2 <= pause <= longest
        assert len(pauses) == 11  # the last one came at once

    def test_a_short_life_is_no_good_one(self, show: Make) -> None:
        one = show(group(A))

        async def script() -> None:
            for _ in range(6):
                while not one.venue.open:
                    await one.stage.clock.sleep(0.5)
                await one.stage.clock.sleep(2)
                one.venue.sockets[-1].end("gone")
                await one.stage.clock.sleep(1)

        play(one.run(script))
        assert float(one.stage.notes("gone")[5].split()[-2]) >= 8.0

    @pytest.mark.parametrize(("wait_s", "least"), [(300.0, 300), (None, 60)])
    def test_a_venue_that_shuts_us_out_is_left_alone(
        self, show: Make, wait_s: float | None, least: int
    ) -> None:
        one = show(group(A))
        one.venue.closed = [Throttled("too many", wait_s=wait_s)]

        async def script() -> None:
            await one.stage.clock.sleep(400)

        play(one.run(script))
        first, second = one.venue.attempts
        assert least * SECOND <= second - first <= (least + 1) * SECOND


class TestHandingOver:
    LIFETIME = Us(11 * MINUTE)
    """A minute more than the successor is opened ahead of time."""

    def test_the_successor_records_before_the_old_one_ends(self, show: Make) -> None:
        one = show(group(A, B, BOOK), lifetime=self.LIFETIME)

        async def script() -> None:
            await one.stage.clock.sleep(200)

        play(one.run(script))
        assert one.venue.most_open == 2
        assert len(one.venue.sockets) == 4
        for each in (A, B, BOOK):
            seconds, covered = one.stage.recorded(each)
            assert len(covered) == 1
            assert lacking(seconds, covered) == []
            if each is not BOOK:
                assert repeated(seconds)  # by both of them; folding makes them one
        assert one.health.reconnects == 0
        assert [text for text, wrong in one.stage.told.notes if wrong] == []

    def test_health_knows_that_nothing_is_missing(self, show: Make) -> None:
        one = show(group(A, B), lifetime=self.LIFETIME)
        beats: list[StreamHealth] = []

        async def script() -> None:
            await one.stage.clock.sleep(100)
            beats.append(one.health)

        play(one.run(script))
        assert [(each.invalid, each.invalid_since) for each in beats[0].datasets] == [(0, None)] * 2
        assert [each.invalid for each in one.health.datasets] == [1, 1]

    def test_the_old_one_goes_on_while_there_is_no_successor(self, show: Make) -> None:
        one = show(group(A), lifetime=self.LIFETIME)

        async def script() -> None:
            await one.stage.clock.sleep(30)
            one.venue.closed = [Unavailable("503"), Throttled("429"), Rejected("400")]
            await one.stage.clock.sleep(300)

        play(one.run(script))
        assert one.venue.closed == []
        assert len(one.stage.notes("the old one goes on")) == 3
        seconds, covered = one.stage.recorded(A)
        assert len(covered) == 1
        assert lacking(seconds, covered) == []
        assert one.health.reconnects == 0

    def test_an_old_one_that_ends_meanwhile_is_succeeded(self, show: Make) -> None:
        one = show(group(A), lifetime=self.LIFETIME)

        async def script() -> None:
            await one.stage.clock.sleep(60.2)
            assert len(one.venue.sockets) == 2
            one.venue.sockets[0].end("too early")
            await one.stage.clock.sleep(30)
            assert one.health.connections == 1

        play(one.run(script))
        assert one.health.reconnects == 0
        seconds, covered = one.stage.recorded(A)
        assert lacking(seconds, covered) == []

    def test_stopped_in_the_middle_of_it_both_write_all_they_have(self, show: Make) -> None:
        one = show(group(A), lifetime=self.LIFETIME)

        async def script() -> None:
            await one.stage.clock.sleep(61.8)
            assert one.venue.open == 2

        play(one.run(script))
        assert one.venue.open == 0
        seconds, covered = one.stage.recorded(A)
        assert max(seconds) == FIRST + 61
        assert lacking(seconds, covered) == []


def test_a_venue_that_goes_down_is_connected_to_again(show: Make) -> None:
    one = show(group(A))

    async def script() -> None:
        await one.stage.clock.sleep(20)
        one.venue.sockets[0].say("restart", "we are going down")
        await one.stage.clock.sleep(20)

    play(one.run(script))
    assert len(one.stage.notes("we are going down; 1 datasets")) == 1
    assert len(one.venue.sockets) == 2
    assert len(one.stage.recorded(A)[1]) == 2


class TestRefusals:
    def test_a_venue_that_refuses_everything_ends_the_stream(self, show: Make) -> None:
        one = show(group(A, B))
        one.venue.refuses = {"a.trades": "closed", "b.trades": "closed"}

        async def script() -> None:
            await one.stage.clock.sleep(60)

        with pytest.raises(Rejected, match=r"refused every subscription, a\.trades: closed") as error:
            play(one.run(script))
        assert f"[x {URL} A/USD]" in str(error.value)

    def test_an_address_that_lets_nobody_in_ends_the_stream(self, show: Make) -> None:
        one = show(group(A))
        one.venue.shut[URL] = Rejected("404")

        async def script() -> None:
            await one.stage.clock.sleep(60)

        with pytest.raises(Rejected, match="404") as error:
            play(one.run(script))
        assert f"[x {URL} A/USD]" in str(error.value)

    @pytest.mark.parametrize("late", [False, True])
    def test_but_not_while_another_one_brings_something(self, show: Make, *, late: bool) -> None:
        one = show(group(A), group(B, url=LATER))
        if late:
            one.venue.refuses["b.trades"] = "closed"
        else:
            one.venue.shut[LATER] = Rejected("404")

        async def script() -> None:
            await one.stage.clock.sleep(100)

        play(one.run(script))
        (covered,) = one.stage.recorded(A)[1]
        assert covered.length > 90 * SECOND
        assert len(one.venue.attempts) > 4
        assert len(one.venue.attempts) < 12

    def test_one_that_was_let_in_once_is_tried_for_ever(self, show: Make) -> None:
        one = show(group(A))

        async def script() -> None:
            await one.stage.clock.sleep(20)
            one.venue.shut[URL] = Rejected("404")
            one.venue.sockets[0].end("gone")
            await one.stage.clock.sleep(100)
            one.venue.shut.clear()
            await one.stage.clock.sleep(100)

        play(one.run(script))
        assert len(one.venue.sockets) == 2

    def test_what_the_venue_agrees_to_later_is_not_refused_any_more(self, show: Make) -> None:
        one = show(group(A, B))
        one.venue.refuses["b.trades"] = "not yet"
        before: list[DatasetHealth] = []

        async def script() -> None:
            await one.stage.clock.sleep(20)
            before.append(one.health_of(B))
            one.venue.refuses.clear()
            one.venue.sockets[0].end("gone")
            await one.stage.clock.sleep(20)
            before.append(one.health_of(B))

        play(one.run(script))
        assert [each.refused for each in before] == ["not yet", None]
        assert one.health_of(B).refused is None
        assert one.health_of(A).refused is None


class TestStopping:
    def test_all_that_came_is_written(self, show: Make) -> None:
        one = show(group(A), group(B, url=LATER))

        async def script() -> None:
            await one.stage.clock.sleep(33.01)

        play(one.run(script))
        assert one.stage.clock.steady() < 34 * SECOND
        for each in (A, B):
            seconds, (covered,) = one.stage.recorded(each)
            assert seconds[-1] == FIRST + 33
            assert covered.end == (FIRST + 31) * SECOND
        assert not any(segment.living for segment in one.stage.segments())

    @pytest.mark.parametrize("when", [0, 0.05, 0.3])
    def test_at_the_very_beginning(self, show: Make, when: float) -> None:
        one = show(group(A, BOOK))

        async def script() -> None:
            await one.stage.clock.sleep(when)

        play(one.run(script))
        assert one.venue.open == 0

    def test_while_it_waits_to_connect_again(self, show: Make) -> None:
        one = show(group(A))
        one.venue.closed = [Throttled("429", wait_s=3_600)]

        async def script() -> None:
            await one.stage.clock.sleep(100)

        play(one.run(script))
        assert one.stage.clock.steady() < 101 * SECOND

    @pytest.mark.parametrize("after", ["connected", "waiting"])
    def test_what_cannot_be_written_is_an_error(self, show: Make, disk: Disk, after: str) -> None:
        one = show(group(A))

        async def script() -> None:
            await one.stage.clock.sleep(20)
            disk.room = 0
            await one.stage.clock.sleep(10)
            if after == "waiting":
                one.venue.closed = [Throttled("429", wait_s=3_600)]
                one.venue.sockets[0].end("gone")
                await one.stage.clock.sleep(10)

        with pytest.raises(LakeError, match=r"majors ended before \d+ rows could be written"):
            play(one.run(script))

    def test_a_disk_that_stays_full_ends_it(self, show: Make, disk: Disk) -> None:
        one = show(group(A))

        async def script() -> None:
            await one.stage.clock.sleep(20)
            disk.room = 0
            await one.stage.clock.sleep(1_000)

        with pytest.raises(LakeError, match="No space left"):
            play(one.run(script))
        assert len(one.stage.notes("kept in memory")) == 1

    def test_rows_outlive_their_connection_on_a_full_disk(self, show: Make, disk: Disk) -> None:
        one = show(group(A), lifetime=TestHandingOver.LIFETIME)

        async def script() -> None:
            await one.stage.clock.sleep(20)
            disk.room = 0
            await one.stage.clock.sleep(10)
            one.venue.sockets[0].end("gone")
            await one.stage.clock.sleep(70)
            disk.room = 1 << 40
            await one.stage.clock.sleep(20)

        play(one.run(script))
        seconds, covered = one.stage.recorded(A)
        assert len(covered) == 2
        assert lacking(seconds, covered) == []

    def test_rows_outlive_the_connection_that_handed_over_on_a_full_disk(
        self, show: Make, disk: Disk
    ) -> None:
        one = show(group(A), lifetime=TestHandingOver.LIFETIME)

        async def script() -> None:
            await one.stage.clock.sleep(50)
            disk.room = 0
            await one.stage.clock.sleep(30)
            assert len(one.venue.sockets) == 2
            assert one.venue.open == 1
            disk.room = 1 << 40
            await one.stage.clock.sleep(20)

        play(one.run(script))
        seconds, covered = one.stage.recorded(A)
        assert len(covered) == 1
        assert lacking(seconds, covered) == []


class TestFolding:
    def test_at_the_start_and_every_hour(self, show: Make) -> None:
        one = show(group(A))

        async def script() -> None:
            await one.stage.clock.sleep(100)
            one.stage.clock.set(Us(START + 50 * MINUTE + 10 * SECOND))
            one.venue.leap = 100 - 3_010  # the venue's stays as it was
            await one.stage.clock.sleep(20)

        play(one.run(script))
        assert one.folding.folds[0] == 0
        assert one.folding.fills == one.folding.folds[1:]
        (hourly,) = one.folding.fills
        assert hourly in (105, 106)  # a quarter of a minute late
        assert len(one.stage.recorded(A)[1]) == 1

    def test_as_often_as_planned(self, show: Make) -> None:
        one = show(group(A), fold_every=Us(2 * MINUTE))

        async def script() -> None:
            await one.stage.clock.sleep(400)

        play(one.run(script))
        assert len(one.folding.fills) >= 3
        assert all(119 <= after - before <= 121 for before, after in pairwise(one.folding.fills))

    def test_one_that_fails_is_told_and_stops_nothing(self, show: Make) -> None:
        one = show(group(A))
        one.folding.fails = LakeError("it is broken")

        async def script() -> None:
            await one.stage.clock.sleep(100)

        play(one.run(script))
        assert len(one.stage.notes("could not be folded, they stay in their segments: it is broken")) == 1
        assert len(one.stage.recorded(A)[1]) == 1

    def test_one_that_takes_for_ever_stops_nothing(self, show: Make) -> None:
        one = show(group(A))
        one.folding.hangs = True

        async def script() -> None:
            await one.stage.clock.sleep(100)

        play(one.run(script))
        assert one.stage.clock.steady() < 101 * SECOND
        seconds, (covered,) = one.stage.recorded(A)
        assert covered.length > 90 * SECOND
        assert lacking(seconds, [covered]) == []


def test_health_says_how_it_is(show: Make) -> None:
    one = show(group(A, B, BOOK))
    one.venue.refuses["b.trades"] = "no"
    told: list[StreamHealth] = []

    async def script() -> None:
        await one.stage.clock.sleep(30.1)
        told.append(one.health)
        one.venue.sockets[0].say("what?")
        one.venue.sockets[0].end("gone")
        await one.stage.clock.sleep(30)

    play(one.run(script))
    health, (a, b, book) = told[0], told[0].datasets
    assert (health.started, health.connections, health.reconnects, health.bad) == (START, 1, 0, 0)
    assert START + 29 * SECOND < health.at <= START + 31 * SECOND
    assert a.rate == pytest.approx(1, abs=0.25)
    assert book.rate == pytest.approx(1, abs=0.25)
    assert health.rate == pytest.approx(2, abs=0.5)
    assert a.lag == 0
    assert a.last is not None
    assert a.last > START + 28 * SECOND
    assert a.rows == a.messages > 25
    assert book.messages > 25
    assert (b.refused, b.rows, b.last) == ("no", 0, None)
    assert (one.health.bad, one.health.reconnects, one.health.connections) == (1, 1, 0)
    assert one.health.messages > 2 * 50
    assert one.health_of(A).invalid == 2  # the message with the lost connection, the end
    assert one.health_of(A).invalid_since is not None
