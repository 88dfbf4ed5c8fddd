from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from dccd_core.domain.dataset import partition_span
from dccd_core.domain.timespan import DAY, HOUR, TimeRange, Us, parse_time
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.partition.ledger import Condition, Hole
from dccd_pipeline.cli.inventory import holding, holdings
from tests.dccd_core.lake.samples import DAY as DAY_KEY
from tests.dccd_core.lake.samples import live, numbered, record, store, take_away
from tests.dccd_pipeline.held import BOOKS, HOURS, MINUTES, bars, hold, state, whole

NOW = parse_time("2026-01-01")


def test_a_dataset_is_summed_up_from_its_states() -> None:
    start = partition_span(MINUTES.grain, "2024-01").start
    states = {
        "2024-02": state(MINUTES, "2024-02", quarantined=2),
        "2024-01": state(MINUTES, "2024-01", Hole(partition_span(BOOKS.grain, "2024-01-05"), 1_440)),
    }
    one = holding(MINUTES, states, NOW)
    assert one.dataset == MINUTES
    assert one.condition is Condition.DEGRADED
    assert (one.rows, one.partitions, one.gaps, one.quarantined, one.bytes) == (6, 2, 1, 2, 912)
    assert one.first == start
    assert one.last == partition_span(MINUTES.grain, "2024-02").start + 2 * HOUR
    gap = partition_span(BOOKS.grain, "2024-01-05")
    assert one.coverage == 1 - gap.length / (60 * DAY)  # what is missing is not proven
    assert one.why == "2024-01: 1 gap, 1,440 missing; 2024-02: 2 in quarantine"


@pytest.mark.parametrize(
    ("keys", "condition", "coverage"),
    [
        (["2024-01", "2024-02"], Condition.AVAILABLE, 1.0),
        (["2024-01", "2024-03"], Condition.MISSING, 62 / 91),
    ],
)
def test_a_partition_between_two_others_is_missed(
    keys: list[str], condition: Condition, coverage: float
) -> None:
    one = holding(MINUTES, {key: state(MINUTES, key) for key in keys}, NOW)
    assert one.condition is condition
    assert one.coverage == pytest.approx(coverage)


def test_the_open_partition_is_measured_up_to_now() -> None:
    start = partition_span(MINUTES.grain, "2024-01").start
    half_asked = {"2024-01": state(MINUTES, "2024-01", until=Us(start + 12 * HOUR))}
    one = holding(MINUTES, half_asked, Us(start + 24 * HOUR))
    assert one.condition is Condition.PENDING
    assert one.coverage == 0.5


def test_a_partition_is_judged_by_what_is_wanted_of_it() -> None:
    """The newest bars of Kraken were `degraded` and all well: nobody can ask for those before."""
    year, until = partition_span(HOURS.grain, "2024"), parse_time("2024-09-01")
    since = parse_time("2024-03-01")
    gap = Hole(partition_span(BOOKS.grain, "2024-02-03"), 24)
    part = state(HOURS, "2024", gap)
    asked = replace(part.ledger.asked[0], span=TimeRange(gap.span.start, until))
    states = {"2024": replace(part, ledger=replace(part.ledger, asked=(asked,)))}
    assert holding(HOURS, states, until).why == (
        "2024: 1 gap, 24 missing, never asked for 2024-01-01T00:00:00Z to 2024-02-03T00:00:00Z"
    )
    for end, condition in ((until, Condition.AVAILABLE), (year.end, Condition.PENDING)):
        one = holding(HOURS, states, until, TimeRange(since, end))
        assert (one.condition, one.coverage, one.gaps, one.why) == (condition, 1.0, 0, "")


def test_all_that_a_lake_holds_is_listed_by_name(tmp_path: Path) -> None:
    lake = LakeStore(tmp_path)
    assert holdings(lake, NOW) == []
    hold(lake, MINUTES, "2024-01", bars(whole(MINUTES, "2024-01")))
    hold(lake, HOURS, "2024", bars([]))
    first, second = holdings(lake, NOW)
    assert (first.dataset, first.rows, first.first, first.last) == (HOURS, 0, None, None)
    assert first.condition is Condition.DEGRADED
    assert first.gaps == 1
    assert (second.dataset, second.rows, second.condition) == (MINUTES, 44_640, Condition.AVAILABLE)


def test_r7_what_cannot_be_read_is_a_line_among_the_others(tmp_path: Path) -> None:
    """36c92f8: the whole inventory was one line about one file."""
    lake = LakeStore(tmp_path)
    hold(lake, MINUTES, "2024-01", bars(whole(MINUTES, "2024-01")))
    hold(lake, HOURS, "2024", bars([]))
    Path(lake.path(HOURS, "2024")).write_bytes(b"")
    first, second = holdings(lake, NOW)
    assert (first.dataset, first.condition, first.rows, first.damaged) == (HOURS, Condition.MISSING, 0, True)
    assert "cannot be read" in first.why
    assert (second.dataset, second.rows, second.damaged) == (MINUTES, 44_640, False)


def test_what_only_remotes_hold_counts_but_takes_no_room_here(tmp_path: Path) -> None:
    lake = LakeStore(tmp_path)
    for key in ("2024-01", "2024-02"):
        hold(lake, MINUTES, key, bars(whole(MINUTES, key)))
    (before,) = holdings(lake, NOW)
    size = lake.states(MINUTES)["2024-02"].bytes
    take_away(lake, "2024-01", dataset=MINUTES)
    (after,) = holdings(lake, NOW)
    assert after == replace(before, bytes=size, elsewhere=1)


def test_to_count_what_a_stream_records_nothing_is_brought_back(tmp_path: Path) -> None:
    """What it recorded before that is counted with the partitions that it may be in, and with no others."""
    lake = LakeStore(tmp_path)
    store(lake, numbered(range(5)))
    store(lake, numbered(range(5)).with_columns(pl.col("ts").dt.offset_by("-1d")), key="2024-01-30")
    record(lake, live(numbered([3, 4, 5])))
    (seen,) = holdings(lake, NOW)
    assert (seen.rows, seen.live_rows) == (11, 1)
    take_away(lake, "2024-01-30")
    assert holdings(lake, NOW)[0].rows == 11
    take_away(lake, DAY_KEY)
    (seen,) = holdings(lake, NOW)
    assert (seen.rows, seen.elsewhere) == (10, 2)
