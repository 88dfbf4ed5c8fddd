"""Numbers for Prometheus: what the answer says, under names that dashboards may rely on."""

import json
import re
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from dccd_core.domain.timespan import HOUR, MINUTE, SECOND, Us, parse_time
from dccd_core.net.ratelimit.spent import Spent
from dccd_core.stream.api import Phase, StreamPlan
from dccd_pipeline.answer.dataset import DatasetStatus
from dccd_pipeline.answer.gather import Answer
from dccd_pipeline.metrics.families import families
from dccd_pipeline.metrics.server import written
from dccd_pipeline.streams.heartbeat import beat_of
from dccd_pipeline.streams.status import RunState, StreamState
from tests.dccd_pipeline.held import HOURS, MINUTES, TRADES
from tests.dccd_pipeline.streamed import health

NOW = parse_time("2026-02-01T12:00")
ROOT = Path(__file__).parents[3]
Samples = dict[tuple[str, ...], float]


def status(**known: Any) -> DatasetStatus:
    nothing: dict[str, Any] = {
        "dataset": HOURS,
        "entry": "bars",
        "wanted": None,
        "until": None,
        "behind": Us(0),
        "coverage": None,
        "gaps": 0,
        "missing": 0,
        "longest": Us(0),
        "rows": 0,
        "bytes": 0,
        "quarantined": 0,
        "accepted": 0,
        "error": "",
        "next_tick": None,
        "deadline": None,
        "problems": (),
    }
    return DatasetStatus(**{**nothing, **known})


def told() -> Answer:
    """Return an answer in which something is wrong."""
    beat = beat_of("run", "digest", NOW, health(StreamPlan("majors", (TRADES,)), Us(NOW - 5 * SECOND)))
    days = {"2024-02-28": 9.0, "2024-02-29": 2.5}
    return Answer(
        at=NOW,
        verdict="not well",
        problems=("binance/ohlc/BTC-USDT/1m: behind",),
        notes=(),
        datasets=(
            status(
                until=Us(NOW - HOUR),
                coverage=0.9999995,
                rows=7,
                bytes=456,
                gaps=2,
                quarantined=3,
                gap_ppm_days=days,
                differ=4,
            ),
            status(dataset=MINUTES, behind=Us(5 * MINUTE), problems=("it is behind",)),
        ),
        streams=(StreamState("majors", "recording", beat=beat), StreamState("minors", "failed")),
        runs=(
            RunState("c", "bars_tick", "failure", Us(NOW - 9 * SECOND), Us(NOW - 8 * SECOND), "HTTP 503"),
            RunState("b", "bars_tick", "success", Us(NOW - HOUR), Us(NOW - HOUR), ""),
            RunState("a", "stream_majors", "started", Us(NOW - HOUR), None, ""),
        ),
        unnamed=(),
    )


def samples(found: Answer, *budgets: Spent) -> Samples:
    """Return what Prometheus reads, by name and the values of the labels, in the order of their names."""
    text = written(families(found, budgets)).decode()
    return {
        (one.name, *(value for _, value in sorted(one.labels.items()))): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }


def test_what_the_answer_says_is_what_is_read() -> None:
    dataset, minutes = str(HOURS), str(MINUTES)
    found = samples(told(), Spent("binance", 40, Us(0)), Spent("okx", 1, Us(NOW + 30 * SECOND)))
    expected: Samples = {
        ("dccd_well",): 0,
        ("dccd_problems",): 1,
        ("dccd_dataset_proven_until_age_seconds", dataset): 3_600,
        ("dccd_dataset_behind_seconds", minutes): 300,
        ("dccd_dataset_gap_ppm", dataset): 0.5,
        ("dccd_dataset_gap_day_ppm", dataset): 2.5,
        ("dccd_dataset_gaps", dataset): 2,
        ("dccd_dataset_rows", dataset): 7,
        ("dccd_dataset_bytes", dataset): 456,
        ("dccd_dataset_quarantined_rows", dataset): 3,
        ("dccd_dataset_differing_rows", dataset): 4,
        ("dccd_dataset_well", dataset): 1,
        ("dccd_dataset_well", minutes): 0,
        ("dccd_stream_state", "recording", "majors"): 1,
        ("dccd_stream_state", "failed", "minors"): 1,
        ("dccd_stream_heartbeat_age_seconds", "majors"): 5,
        ("dccd_stream_messages_per_second", "majors"): 2.2,
        ("dccd_stream_reconnects", "majors"): 2,
        ("dccd_stream_refused_messages", "majors"): 0,
        ("dccd_stream_dataset_last_age_seconds", str(TRADES), "majors"): 5,
        ("dccd_budget_weight", "binance"): 40,
        ("dccd_budget_closed_seconds", "binance"): 0,
        ("dccd_budget_closed_seconds", "okx"): 30,
        ("dccd_recent_runs", "failure"): 1,
        ("dccd_job_failed", "bars_tick"): 1,
        ("dccd_job_failed", "stream_majors"): 0,
        ("dccd_job_ended_age_seconds", "bars_tick"): 8,
    }
    assert {name: found.get(name) for name in expected} == expected


def test_what_is_not_known_is_absent_and_not_zero() -> None:
    found = samples(told())
    assert ("dccd_dataset_proven_until_age_seconds", str(MINUTES)) not in found
    assert ("dccd_dataset_gap_ppm", str(MINUTES)) not in found
    assert ("dccd_stream_heartbeat_age_seconds", "minors") not in found


def test_the_dashboard_shows_what_there_is() -> None:
    board = json.loads((ROOT / "deploy" / "grafana.json").read_text())
    used = set(re.findall(r"dccd_\w+", json.dumps([panel["targets"] for panel in board["panels"]])))
    there = {name for name, *_ in samples(told(), Spent("binance", 1, Us(0)))}
    assert used - there == set()
    assert len(used) > 10
    guide = (ROOT / "docs" / "metrics.md").read_text()
    assert [name for name in sorted(there) if f"`{name}`" not in guide] == []
    assert {one.state for one in told().streams} == {Phase.RECORDING, "failed"}
