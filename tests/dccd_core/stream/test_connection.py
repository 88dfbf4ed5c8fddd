"""One connection: what it records is exactly what came, whatever the venue, the disk or a clock does."""

import asyncio
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from dccd_core.adapter.live import Channel
from dccd_core.domain.dataset import partition_key
from dccd_core.domain.errors import LakeError, Rejected, Unavailable
from dccd_core.domain.timespan import HOUR, MILLISECOND, SECOND, Us
from dccd_core.net.sockets import Way
from dccd_core.stream.connection import Connection
from dccd_core.tables import DataType
from tests.dccd_core.stream.pushing import (
    BOOK,
    LIVE,
    PLAIN,
    START,
    A,
    B,
    Disk,
    Stage,
    consecutive,
    group,
    lacking,
    play,
    repeated,
    wanted,
)

pytestmark = pytest.mark.usefixtures("inline")
FIRST = START // SECOND


async def ended(stage: Stage, connection: Connection, seconds: float) -> str:
    """Let it record for so long."""
    running = asyncio.create_task(connection.run())
    await stage.clock.sleep(seconds)
    connection.stop("enough")
    return await running


def test_a_refused_topic_is_told_once_and_the_others_go_on(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.venue.refuses["b.trades"] = "no such market"
    connection = Connection(group(A, B), stage.context(A, B))

    async def scene() -> None:
        assert await ended(stage, connection, 30) == "enough"

    play(scene())
    assert connection.complete.is_set()
    assert connection.refused == {"b.trades": "no such market"}
    assert connection.accepted == {"a.trades"}
    assert len(stage.notes("x/trades/B-USD")) == len(stage.notes("refuses it: no such market")) == 1
    seconds, covered = stage.recorded(A)
    assert len(seconds) > 20
    assert len(covered) == 1
    assert stage.recorded(B) == ([], [])


def test_when_every_topic_is_refused_the_connection_is_given_up(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.venue.refuses = {"a.trades": "closed", "b.trades": "closed too"}
    connection = Connection(group(A, B), stage.context(A, B))

    async def scene() -> None:
        assert await connection.run() == "every subscription was refused: closed"

    play(scene())
    assert connection.refused == stage.venue.refuses
    assert len(stage.notes("refuses it")) == 2


def test_a_connection_on_which_nothing_comes_is_given_up(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    connection = Connection(group(A), stage.context(A))

    async def scene() -> None:
        running = asyncio.create_task(connection.run())
        await stage.clock.sleep(20)
        stage.venue.silent = True
        assert "nothing came for 30 s" in await running

    play(scene())
    seconds, (covered,) = stage.recorded(A)
    assert consecutive(seconds)
    assert covered.end == (seconds[-1] - 2) * SECOND


def test_l1_a_quiet_symbol_ends_nothing_and_nobody_vouches_for_it(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.venue.mute.add("b.trades")
    connection = Connection(group(A, B), stage.context(A, B))

    async def scene() -> None:
        assert await ended(stage, connection, 100) == "enough"

    play(scene())
    assert connection.complete.is_set()
    assert stage.recorded(B) == ([], [])
    assert len(stage.recorded(A)[1]) == 1


@pytest.mark.parametrize(("what", "most"), [("_ROTATE_BYTES", 5_000), ("_ROTATE", 10 * SECOND)])
def test_segments_follow_one_another_without_a_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, most: int
) -> None:
    monkeypatch.setattr(f"dccd_core.stream.logs.{what}", most)
    stage = Stage(tmp_path)
    connection = Connection(group(A, BOOK), stage.context(A, BOOK))

    async def scene() -> None:
        await ended(stage, connection, 60)

    play(scene())
    assert len(stage.segments()) > 6
    for one in (A, BOOK):
        seconds, covered = stage.recorded(one)
        assert len(covered) == 1
        assert covered[0].length > 50 * SECOND
        assert consecutive(seconds)
        if one is A:
            assert not repeated(seconds)


def test_a_book_that_was_begun_anew_right_before_a_rotation_is_known_ever_after(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    connection = Connection(group(BOOK), stage.context(BOOK))

    async def scene() -> None:
        running = asyncio.create_task(connection.run())
        await stage.clock.sleep(10.1)
        stage.venue.sockets[0].say("book", "c.orderbook", (FIRST + 10) * SECOND + 1, 10**9)
        for n in range(1, 4):
            stage.venue.sockets[0].say(
                "change", "c.orderbook", (FIRST + 10) * SECOND + n * MILLISECOND, 10**9 + n
            )
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await connection.rotate()
        stage.venue.silent = True
        connection.stop("enough")
        await running

    play(scene())
    _, covered = stage.recorded(BOOK)
    assert [span.end for span in covered][-1] == (FIRST + 10) * SECOND + 3 * MILLISECOND
    assert len(covered) == 2


class TestFullDisk:
    def test_rows_are_kept_and_written_when_there_is_room_again(self, tmp_path: Path, disk: Disk) -> None:
        stage = Stage(tmp_path)
        connection = Connection(group(A, B), stage.context(A, B))

        async def scene() -> None:
            running = asyncio.create_task(connection.run())
            await stage.clock.sleep(20)
            disk.room = 100
            await stage.clock.sleep(60)
            assert connection.unwritten > 50
            disk.room = 1 << 40
            await stage.clock.sleep(20)
            connection.stop("enough")
            await running

        play(scene())
        assert len(stage.notes("kept in memory")) == 1
        assert connection.unwritten == 0
        for one in (A, B):
            seconds, covered = stage.recorded(one)
            assert consecutive(seconds)
            assert not repeated(seconds)
            assert len(seconds) > 95
            assert len(covered) == 1

    @pytest.mark.parametrize("room", [0, 2_000])
    def test_a_segment_that_could_hardly_be_begun_says_what_is_recorded(
        self, tmp_path: Path, disk: Disk, room: int
    ) -> None:
        """2,000 bytes are room for its header, and for no rows."""
        stage = Stage(tmp_path)
        connection = Connection(group(A), stage.context(A))

        async def scene() -> None:
            running = asyncio.create_task(connection.run())
            await stage.clock.sleep(20)
            await connection.rotate()
            disk.room = room
            await stage.clock.sleep(5)
            assert connection.unwritten
            disk.room = 1 << 40
            await stage.clock.sleep(5)
            connection.stop("enough")
            await running

        play(scene())
        seconds, covered = stage.recorded(A)
        assert consecutive(seconds)
        assert not repeated(seconds)
        assert len(covered) == 1

    def test_after_minutes_it_fails(self, tmp_path: Path, disk: Disk) -> None:
        stage = Stage(tmp_path)
        connection = Connection(group(A), stage.context(A))

        async def scene() -> None:
            running = asyncio.create_task(connection.run())
            await stage.clock.sleep(10)
            disk.room = 0
            with pytest.raises(LakeError, match="No space left"):
                await running
            assert 120 * SECOND < stage.clock.steady() < 200 * SECOND

        play(scene())

    def test_what_a_connection_could_not_write_the_next_one_writes(self, tmp_path: Path, disk: Disk) -> None:
        stage = Stage(tmp_path)
        context = stage.context(A)
        first, second = Connection(group(A), context), Connection(group(A), context)

        async def scene() -> None:
            running = asyncio.create_task(first.run())
            await stage.clock.sleep(10)
            disk.room = 0
            await stage.clock.sleep(10)
            first.stop("enough")
            await running
            assert first.unwritten > 5
            second.inherit(first)
            assert second.unwritten == first.unwritten
            running = asyncio.create_task(second.run())
            await stage.clock.sleep(5)
            assert second.unwritten > first.unwritten - 1
            disk.room = 1 << 40
            await stage.clock.sleep(5)
            assert second.unwritten < 3
            second.stop("enough")
            await running

        play(scene())
        assert len(stage.notes("kept in memory")) == 1
        seconds, covered = stage.recorded(A)
        assert lacking(seconds, covered) == []
        assert not repeated(seconds)
        assert len(covered) == 2
        assert covered[0].end > (FIRST + 15) * SECOND


COUNTED = wanted("A/USD", channel=Channel(docs="", consecutive=True))
"""What nothing counts is in doubt when something else of its connection is lost."""


class TestBooks:
    def test_a_lost_one_is_begun_anew_and_nothing_else_is_touched(self, tmp_path: Path) -> None:
        stage = Stage(tmp_path)
        stage.unstarted = [Unavailable("503")]
        stage.venue.skipped.add(("c.orderbook", FIRST + 20))
        connection = Connection(group(COUNTED, BOOK), stage.context(COUNTED, BOOK))

        async def scene() -> None:
            running = asyncio.create_task(connection.run())
            await stage.clock.sleep(15)
            assert connection.complete.is_set()
            stage.unstarted = [Unavailable("503 again")]
            await stage.clock.sleep(75)
            connection.stop("enough")
            await running

        play(scene())
        assert len(stage.notes("no snapshot to begin the book with: 503")) == 2
        assert (
            len(stage.notes(f"the order book is begun anew: updates {FIRST + 20} to {FIRST + 20} are")) == 2
        )
        assert len(stage.venue.sockets) == 1
        pictures, (before, after) = stage.recorded(BOOK)
        assert before.end == (FIRST + 19) * SECOND
        assert (FIRST + 60) * SECOND < after.start < (FIRST + 75) * SECOND  # ever more rarely
        assert set(pictures) <= {*range(FIRST, FIRST + 20), *range(FIRST + 60, FIRST + 100)}
        trades, covered = stage.recorded(COUNTED)
        assert consecutive(trades)
        assert len(covered) == 1

    def test_a_defect_while_one_is_begun_ends_the_recording_and_is_seen(self, tmp_path: Path) -> None:
        stage = Stage(tmp_path)
        stage.unstarted = [ZeroDivisionError("a defect")]
        connection = Connection(group(A, BOOK), stage.context(A, BOOK))

        async def scene() -> None:
            with pytest.raises(ZeroDivisionError, match="a defect"):
                await connection.run()

        play(scene())
        assert not any(info.living for info in stage.segments())

    def test_one_that_never_begins_is_asked_for_ever_more_rarely(self, tmp_path: Path) -> None:
        stage = Stage(tmp_path)
        stage.unstarted = [Rejected("no such market")] * 100
        connection = Connection(group(A, BOOK), stage.context(A, BOOK))

        async def scene() -> None:
            await ended(stage, connection, 600)

        play(scene())
        assert 6 <= len(stage.notes("no snapshot to begin the book with: no such market")) <= 8
        assert len(stage.recorded(A)[1]) == 1

    def test_where_the_venue_sends_whole_ones_only_that_topic_is_subscribed_to_again(
        self, tmp_path: Path
    ) -> None:
        book = wanted("C/USD", DataType.ORDERBOOK, PLAIN)
        stage = Stage(tmp_path)
        connection = Connection(group(COUNTED, book), stage.context(COUNTED, book))

        async def scene() -> None:
            running = asyncio.create_task(connection.run())
            await stage.clock.sleep(1.5)
            (socket,) = stage.venue.sockets
            socket.say("book", "c.orderbook", (FIRST + 1) * SECOND, FIRST + 1)
            await stage.clock.sleep(5)
            stage.venue.skipped.add(("c.orderbook", FIRST + 10))
            await stage.clock.sleep(7)
            assert [verb for verb, *_ in socket.sent] == ["sub", "leave", "sub"]
            assert [topics for _, _, *topics in socket.sent[1:]] == [["c.orderbook"]] * 2
            socket.say("book", "c.orderbook", (FIRST + 14) * SECOND, FIRST + 13)
            await stage.clock.sleep(10)
            connection.stop("enough")
            await running
            assert len(socket.sent) == 3

        play(scene())
        assert len(stage.recorded(book)[1]) == 2
        assert len(stage.recorded(COUNTED)[1]) == 1

    def test_many_lost_at_once_are_each_subscribed_to_again_once(self, tmp_path: Path) -> None:
        """Although it takes longer to say so than a lost book is given."""
        books = [wanted(f"C{n}/USD", DataType.ORDERBOOK, PLAIN) for n in range(100)]
        stage = Stage(tmp_path, live=replace(LIVE, pace=Us(SECOND // 4)))
        connection = Connection(group(*books), stage.context(*books))

        async def scene() -> None:
            running = asyncio.create_task(connection.run())
            await stage.clock.sleep(1.5)
            (socket,) = stage.venue.sockets
            for n in range(100):
                socket.say("book", f"c{n}.orderbook", (FIRST + 1) * SECOND, FIRST + 1)
            await stage.clock.sleep(2)
            stage.venue.skipped.update((f"c{n}.orderbook", FIRST + 5) for n in range(100))
            said = 0
            while len(socket.sent) < 201:
                await stage.clock.sleep(1)
                for _, _, *topics in socket.sent[said:]:
                    for topic in topics:
                        socket.say("book", topic, stage.clock.now(), stage.venue.second())
                said = len(socket.sent)
            await stage.clock.sleep(20)
            assert len(socket.sent) == 201
            connection.stop("enough")
            await running

        play(scene())


def test_what_a_message_nobody_understands_told_is_a_window(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    connection = Connection(group(A, BOOK), stage.context(A, BOOK))

    async def scene() -> None:
        running = asyncio.create_task(connection.run())
        await stage.clock.sleep(20.5)
        stage.venue.sockets[0].say("what?")
        await stage.clock.sleep(20)
        connection.stop("enough")
        await running

    play(scene())
    assert connection.bad == 1
    assert len(stage.notes("1 messages could not be understood")) == 1
    [kept] = stage.lake.refused("x")
    assert (kept.frame, kept.url) == (b'["what?"]', "wss://x/")
    assert kept.reason in stage.notes("1 messages could not be understood")[0]
    _, (before, after) = stage.recorded(A)
    assert before.end < (FIRST + 20) * SECOND < after.start
    assert len(stage.recorded(BOOK)[1]) == 1  # its numbers show that nothing of it was lost


@pytest.mark.parametrize("leap", [HOUR, -HOUR])
def test_our_clock_may_leap(tmp_path: Path, leap: int) -> None:
    stage = Stage(tmp_path)
    connection = Connection(group(A), stage.context(A))

    async def scene() -> None:
        running = asyncio.create_task(connection.run())
        await stage.clock.sleep(20)
        stage.clock.set(Us(stage.clock.now() + leap))
        stage.venue.leap = -leap // SECOND  # the venue's stays where it was
        await stage.clock.sleep(5)
        await connection.rotate()
        await stage.clock.sleep(20)
        connection.stop("enough")
        await running

    play(scene())
    seconds, (covered,) = stage.recorded(A)
    assert consecutive(seconds)
    assert not repeated(seconds)
    assert covered.end == (seconds[-1] - 2) * SECOND


def test_l5_what_a_venue_says_whose_clock_leaps_ahead_claims_nothing(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    connection = Connection(group(A, BOOK), stage.context(A, BOOK))

    async def scene() -> None:
        running = asyncio.create_task(connection.run())
        await stage.clock.sleep(20)
        stage.venue.leap = 3_600
        await stage.clock.sleep(10)
        connection.stop("enough")
        await running

    play(scene())
    for one in (A, BOOK):
        seconds, (covered,) = stage.recorded(one)
        assert max(seconds) <= FIRST + 20
        assert covered.end <= (FIRST + 20) * SECOND
    key = partition_key(A.dataset.grain, START)
    aside = stage.lake.quarantined(A.dataset, key)
    assert aside["trade_id"].cast(pl.Int64).min() == FIRST + 3_620
    assert "before its time" in aside["reason"][0]
    assert stage.notes("are kept aside")


def test_a_venue_whose_clock_leaps_back_is_recorded_on(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    connection = Connection(group(A), stage.context(A))

    async def scene() -> None:
        running = asyncio.create_task(connection.run())
        await stage.clock.sleep(20)
        stage.venue.leap = -3_600
        await stage.clock.sleep(20)
        connection.stop("enough")
        await running

    play(scene())
    seconds, (covered,) = stage.recorded(A)
    assert covered.end <= (FIRST + 20) * SECOND
    assert len(seconds) > 35


class TestThreads:
    """What was begun is written to its end, whatever happens meanwhile; here a disk hangs."""

    @pytest.fixture(autouse=True)
    def inline(self) -> None:
        """Take real threads, unlike the other tests."""

    @pytest.mark.parametrize("times", [1, 3])
    def test_cancelled_while_it_writes(self, tmp_path: Path, disk: Disk, times: int) -> None:
        stage = Stage(tmp_path)
        connection = Connection(group(A, B), stage.context(A, B))

        async def scene() -> None:
            running = asyncio.create_task(connection.run())
            await stage.clock.sleep(10)
            disk.reached.clear()
            disk.free.clear()
            await asyncio.to_thread(disk.reached.wait)
            for _ in range(times):
                running.cancel()
                for _ in range(10):
                    await asyncio.sleep(0.001)
            assert not running.done()
            disk.free.set()
            with pytest.raises(asyncio.CancelledError):
                await running

        play(scene())
        assert connection.unwritten == 0
        for one in (A, B):
            seconds, covered = stage.recorded(one)
            assert consecutive(seconds)
            assert not repeated(seconds)
            assert len(covered) == 1
        assert [segment.living for segment in stage.segments()] == [False]

    def test_the_disk_does_not_hold_up_the_connection(self, tmp_path: Path, disk: Disk) -> None:
        stage = Stage(tmp_path)
        connection = Connection(group(A), stage.context(A))

        async def scene() -> None:
            running = asyncio.create_task(connection.run())
            await stage.clock.sleep(5)
            disk.free.clear()
            before = connection.messages
            await stage.clock.sleep(100)
            assert connection.messages > before + 90
            disk.free.set()
            connection.stop("enough")
            await running

        play(scene())
        seconds, _ = stage.recorded(A)
        assert consecutive(seconds)
        assert not repeated(seconds)


def test_l15_notes_name_the_address_that_is_really_used(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.venue.refuses["b.trades"] = "no such market"
    context = stage.context(A, B)
    way = Way(context.connect, lambda _: "ws://me:secret@proxy:9/x")
    connection = Connection(group(A, B), replace(context, connect=way))

    async def scene() -> None:
        await ended(stage, connection, 10)

    play(scene())
    [note] = stage.notes("refuses it")
    assert "ws://proxy:9/x" in note
    assert "secret" not in note
