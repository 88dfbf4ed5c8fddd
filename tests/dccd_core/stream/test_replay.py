"""What a replay tells; that it gives what the recording gave, see ``tests/promises/test_capture.py``."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from dccd_core.domain.errors import ConfigError
from dccd_core.domain.timespan import HOUR, MINUTE, SECOND, TimeRange, Us, parse_time
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.partition.ledger import Asked, Hole, Ledger, Lost, Source
from dccd_core.stream import tape
from dccd_core.stream.replay import Part, Piece, parts, replay
from tests.dccd_core.lake.samples import DAY, SPAN, TRADES, numbered

BEGAN = parse_time("2024-01-31T12:00")
PLAN = tape.Plan("majors", (str(TRADES),), 10, SECOND)
OTHERS = tape.Plan("majors", ("binance/trades/ETH-USDT",), 10, SECOND)


def at(seconds: int) -> tuple[Us, Us]:
    return Us(seconds * SECOND), Us(BEGAN + seconds * SECOND)


def captured(folder: Path, entries: Sequence[tape.Entry], plan: tape.Plan = PLAN, began: Us = BEGAN) -> Path:
    """Write a capture of a recording to which nobody answered."""
    writer = tape.TapeWriter(folder, tape.About("3.9", "binance", plan, began))
    for entry in entries:
        writer.add(entry)
    writer.flush()
    writer.close()
    return folder


BEGIN = tape.Planned(*at(0), PLAN)


@pytest.mark.parametrize(
    ("last", "ended"),
    [
        ([tape.Stopping(*at(3)), tape.Ended(*at(4))], "stopped"),
        ([tape.Ended(*at(4), full=True)], "at its limit"),
        ([tape.Beat(*at(4))], "killed"),
    ],
)
def test_it_says_how_each_capture_ended(tmp_path: Path, last: list[tape.Entry], ended: str) -> None:
    done = replay([captured(tmp_path / "capture", [BEGIN, *last])], tmp_path / "lake")
    assert (done.exchange, done.stream, done.captured, done.ended) == ("binance", "majors", ["3.9"], [ended])
    assert done.datasets == {str(TRADES): {}}
    assert done.messages == {}
    assert done.differences["requests"] > 0, "nothing was asked then"


def test_the_same_captures_give_the_same(tmp_path: Path) -> None:
    last = [tape.Stopping(*at(40)), tape.Ended(*at(41))]
    later = Us(BEGAN + MINUTE)
    folders = [
        captured(tmp_path / "one", [BEGIN, *last]),
        captured(tmp_path / "two", [BEGIN, *last], PLAN, later),
    ]
    first, second = (replay(folders, tmp_path / name) for name in ("here", "there"))
    assert msgspec.json.encode(first) == msgspec.json.encode(second)
    assert first.ended == ["stopped", "stopped"]
    times = [note.partition(" ")[0] for note in first.notes]
    assert times == sorted(times)
    assert times
    assert {time[:17] for time in times} == {"2024-01-31T12:00:", "2024-01-31T12:01:"}, (
        "by the clock of the recording"
    )


def test_every_dataset_that_was_ever_wanted_is_told(tmp_path: Path) -> None:
    later = [tape.Planned(*at(2), OTHERS), tape.Stopping(*at(3)), tape.Ended(*at(4))]
    done = replay([captured(tmp_path / "capture", [BEGIN, *later])], tmp_path / "lake")
    assert list(done.datasets) == [*PLAN.datasets, *OTHERS.datasets]


def test_captures_of_two_streams_are_not_one(tmp_path: Path) -> None:
    one = captured(tmp_path / "one", [BEGIN])
    other = captured(tmp_path / "two", [BEGIN], tape.Plan("minors", PLAN.datasets, 10, SECOND))
    with pytest.raises(ConfigError, match="not of one stream"):
        replay([one, other], tmp_path / "lake")


class Judge:
    """Finds a hole that is proven, and a loss."""

    def see(self, rows: object) -> None: ...

    def assess(self, ledger: Ledger) -> Ledger:
        minute = TimeRange(Us(SPAN.start + MINUTE), Us(SPAN.start + 2 * MINUTE))
        hole = Hole(minute, 3, proof="nothing was traded")
        lost = Lost(TimeRange(Us(SPAN.start + HOUR), Us(SPAN.start + 2 * HOUR)), "paused by a user")
        return replace(ledger, holes=(hole,), lost=(lost,))


def test_a_partition_is_told_in_times_that_people_read(tmp_path: Path) -> None:
    lake, rows = LakeStore(tmp_path), numbered([1, 2, 3])
    with lake.draft(TRADES, DAY) as draft:
        draft.append(rows)
        asked = Asked(TimeRange(SPAN.start, Us(SPAN.start + HOUR)), Source.REST, SPAN.end, 1, 3)
        state = draft.commit([asked], Judge)
    start = "2024-01-31T"
    assert parts(lake, TRADES) == {
        DAY: Part(
            3,
            state.content_hash,
            [Piece(f"{start}00:00:00Z", f"{start}01:00:00Z")],
            [Piece(f"{start}00:01:00Z", f"{start}00:02:00Z", None, "nothing was traded", 3)],
            [Piece(f"{start}01:00:00Z", f"{start}02:00:00Z", "paused by a user")],
        )
    }
