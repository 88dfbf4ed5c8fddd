"""What is printed: times of a time zone, shares that are never rounded to whole, and how far a run is."""

import asyncio
import io
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from dccd_core.domain.dataset import partition_span
from dccd_core.domain.timespan import DAY, HOUR, SECOND, TimeRange, Us, parse_time
from dccd_core.lake.partition.ledger import Condition
from dccd_core.net.clock import ManualClock
from dccd_pipeline.assets.remaining import Report
from dccd_pipeline.cli import render
from dccd_pipeline.cli.inventory import Holding
from dccd_pipeline.cli.render import FillProgress, SharedProgress
from dccd_pipeline.streams.status import RunState
from tests.dccd_pipeline.held import HOURS, MINUTES

NOON = parse_time("2024-03-31T00:30")
YEAR = partition_span(HOURS.grain, "2024")
HELD = Holding(HOURS, Condition.DEGRADED, 1_234, NOON, Us(NOON + HOUR), 2, 1.0, 3, 0, 4_560)
RUN = RunState("abc", "majors", "FAILURE", NOON, Us(NOON + 90 * SECOND), "since 2024-03-31T00:30:00Z")


def console(text: io.StringIO) -> Console:
    return Console(file=text, highlight=False, width=240)


@pytest.fixture
def out(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    text = io.StringIO()
    monkeypatch.setattr(render, "OUT", console(text))
    return text


def cells(text: io.StringIO) -> list[list[str]]:
    rows = [line for line in text.getvalue().splitlines() if line.startswith("│")]
    return [[cell.strip() for cell in row.strip("│").split("│")] for row in rows]


@given(st.floats(0, 1))
def test_what_is_not_whole_is_never_said_to_be(share: float) -> None:
    text = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(render, "OUT", console(text))
        render.inventory([replace(HELD, coverage=share)])
    said = cells(text)[-1][6]
    assert (said == "100.0%") == (share == 1)
    assert abs(float(said.rstrip("%")) / 100 - share) <= 0.001


def test_the_inventory_is_told_in_the_time_of_a_zone(out: io.StringIO) -> None:
    render.inventory([replace(HELD, coverage=None, why="[why] so")], "Europe/Paris")
    assert "1 dataset, times of Europe/Paris" in out.getvalue()
    row = cells(out)[-1]
    assert row[:3] == [str(HOURS), "degraded", "1,234"]
    assert row[3:5] == ["2024-03-31 01:30", "2024-03-31 03:30"], "clocks went on by an hour meanwhile"
    assert row[5:] == ["2", "-", "3", "4.6 kB", "[why] so"]


def test_what_was_never_seen_is_a_dash(out: io.StringIO) -> None:
    render.inventory([replace(HELD, first=None, last=None)])
    assert cells(out)[-1][3:5] == ["-", "-"]


def test_what_is_complete_is_counted_and_what_is_not_is_named(out: io.StringIO) -> None:
    late = {(MINUTES, f"2023-{month:02}"): Condition.MISSING for month in range(1, 13)}
    found = {(HOURS, "2024"): Condition.AVAILABLE, **late, (HOURS, "2023"): Condition.MISSING}
    render.conditions("majors", found)
    lines = dict(line.split(", ", 1) for line in " ".join(out.getvalue().split()).split("majors: ")[1:])
    assert lines["available"] == "1 partition "
    assert lines["missing"].startswith(f"13 partitions: {MINUTES} 2023-01, ")
    assert lines["missing"].endswith(f"{MINUTES} 2023-12, 1 more")


def test_runs_are_told_in_the_time_of_a_zone_with_how_long_they_took(out: io.StringIO) -> None:
    going, waiting = replace(RUN, ended=None), replace(RUN, started=None, ended=None)
    render.runs([RUN, going, waiting], Us(NOON + DAY), "Europe/Paris")
    rows = [row for row in cells(out) if row[0] == "majors"]
    assert [row[2] for row in rows] == ["2024-03-31 01:30", "2024-03-31 01:30", "-"]
    assert [row[3] for row in rows] == ["0:01:30", "1 day, 0:00:00", "-"]
    assert {row[5] for row in rows} == {"since 2024-03-31T01:30:00+01:00"}


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def told(end: int) -> list[Report]:
    lines = os.read(end, 65_536).splitlines()
    return [msgspec.json.decode(line, type=Report) for line in lines]


def test_another_process_is_told_how_far_it_is_now_and_then(pipe: tuple[int, int]) -> None:
    clock, span = ManualClock(NOON), TimeRange(YEAR.start, Us(YEAR.start + 4 * HOUR))
    with FillProgress({(HOURS, "2024"): [span]}, clock, tell=pipe[1]) as progress:
        for hour in (1, 2):
            progress(HOURS, "2024", 5, Us(span.start + hour * HOUR))  # no time passes: nobody is told
        asyncio.run(clock.sleep(1))
        progress(HOURS, "2024", 5, Us(span.start + 3 * HOUR))
        progress.finish([(HOURS, "2024")])
    job = f"{HOURS} 2024"
    assert told(pipe[0]) == [
        Report(4 * HOUR, 0, 0, ""),
        Report(4 * HOUR, 3 * HOUR, 15, job),
        Report(4 * HOUR, 4 * HOUR, 15, job),
    ]


def test_several_processes_are_one_and_none_is_done_before_all_have_told(out: io.StringIO) -> None:
    with SharedProgress(["binance", "okx"], ManualClock(NOON)) as progress:
        progress.hear("binance", Report(10, 10, 7, "a"))
        assert (progress.remaining.share, progress.remaining.rows) == (0, 7)
        progress.hear("okx", Report(30, 0, 5, "b"))
        assert (progress.remaining.share, progress.remaining.rows) == (0.25, 12)


def test_the_last_line_says_what_came_where_and_how_long_it_took(out: io.StringIO, tmp_path: Path) -> None:
    clock = ManualClock(NOON)
    with FillProgress({}, clock) as progress:
        progress(HOURS, "2024", 12_345, NOON)
        asyncio.run(clock.sleep(90))
    render.closing(progress, f"{tmp_path}/[lake]", 1_500)
    assert out.getvalue() == f"12,345 rows, 1.5 kB in {tmp_path}/[lake], 90.0 s\n"
