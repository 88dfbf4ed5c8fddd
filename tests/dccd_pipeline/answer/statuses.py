"""Datasets that are well and ill, as tests of how they are shown need them."""

from dataclasses import replace

from dccd_core.domain.timespan import DAY, HOUR, TimeRange, Us, parse_time
from dccd_pipeline.answer.dataset import DatasetStatus
from tests.dccd_pipeline.held import HOURS

NOW = parse_time("2024-03-01T12:30")
WELL = DatasetStatus(
    dataset=HOURS,
    entry="bars",
    wanted=TimeRange(Us(NOW - 30 * DAY), NOW),
    until=NOW,
    behind=Us(0),
    coverage=1.0,
    gaps=0,
    missing=0,
    longest=Us(0),
    rows=720,
    bytes=9_000,
    quarantined=0,
    accepted=0,
    error="",
    next_tick=Us(NOW + HOUR),
    deadline=None,
    problems=(),
)
ILL = replace(
    WELL, gaps=2, missing=None, longest=Us(3 * HOUR), coverage=0.9999, quarantined=7, problems=("a gap",)
)
