"""What is around datasets; the whole of it is shown in test_gather.py."""

from pathlib import Path

import pytest

from dccd_core.domain.timespan import parse_time
from dccd_core.stream.api import Phase
from dccd_pipeline.answer.around import (
    full_disks,
    next_tick,
    stopped_helpers,
    stopped_schedules,
    stream_problems,
)
from dccd_pipeline.build import build_definitions
from dccd_pipeline.config.read import settings_of
from dccd_pipeline.streams.status import BY_A_USER, StreamState

BARS = {
    "exchange": "binance",
    "symbols": ["BTC/USDT"],
    "data_type": "ohlc",
    "span": "1h",
    "start": "2024-01-01",
}


@pytest.mark.parametrize("phase", list(Phase))
def test_only_a_stream_that_records_or_is_on_its_way_is_well(phase: Phase) -> None:
    state = StreamState("majors", phase.value, said=phase.value, run_id="a run")
    well = phase in (Phase.RECORDING, Phase.DRAINING, Phase.PAUSED)
    assert (stream_problems([state], {"majors"}) == []) is well


@pytest.mark.parametrize(
    ("state", "run_id", "helps"),
    [
        ("never started", None, "`dccd up` starts it; `dccd stream majors` records it here"),
        (BY_A_USER, "a run", "`dccd stream resume majors` lets it go on"),
        ("failed", "a run", "`dccd logs majors` says more; `dccd stream majors` records it here"),
    ],
)
def test_what_is_said_of_a_stream_that_does_not_record_helps(
    state: str, run_id: str | None, helps: str
) -> None:
    """One that a user stopped was to be recorded in a terminal, and one without a run had no log."""
    one = StreamState("majors", state, said=state, run_id=run_id)
    assert stream_problems([one], {"majors"}) == [f"majors: {state} -> {helps}"]


@pytest.mark.parametrize(
    ("when", "zone", "comes"),
    [
        ({"every": "5m"}, "UTC", "2026-10-25T00:35"),
        ({"cron": "0 2 * * *"}, "UTC", "2026-10-25T02:00"),
        ({"cron": "0 4 * * *"}, "Europe/Paris", "2026-10-25T03:00"),  # the clocks went back an hour at 3
        ({"every": "never"}, "UTC", None),
        ({"enabled": False}, "UTC", None),
    ],
)
def test_the_next_tick_is_told_in_the_zone_of_its_cron(
    when: dict[str, object], zone: str, comes: str | None
) -> None:
    (entry,) = settings_of({"collect": [BARS | when], "timezone": zone}).collect
    at = next_tick(entry, parse_time("2026-10-25T00:32"))
    assert at == (parse_time(comes) if comes else None)


def test_a_place_that_is_not_there_yet_is_on_the_disk_of_its_folder(tmp_path: Path) -> None:
    assert list(full_disks({"the store": tmp_path / "not" / "there"})) == []


def test_r11_every_schedule_that_is_meant_to_run_and_is_stopped_is_named() -> None:
    """36c92f8: of those of remotes and of purge nothing was said, though no copy came any more."""
    settings = settings_of(
        {
            "collect": [{**BARS, "name": "bars"}, {**BARS, "span": "1d", "name": "days", "enabled": False}],
            "remotes": [
                {"name": "nas", "to": "/mnt/nas"},
                {"name": "usb", "to": "/mnt/usb", "every": "never"},
            ],
            "purge": {"older_than": "90d"},
        }
    )
    off = {f"{name}_schedule" for name in ("bars", "days", "sync_nas", "sync_usb", "purge", "lake_report")}
    said = stopped_schedules(settings, off)
    assert [line.partition(":")[0] for line in said] == ["bars", "sync_nas", "purge"]
    assert stopped_schedules(settings, ()) == []
    assert next_tick(settings.collect[0], parse_time("2024-01-01"), off) is None


def test_whatever_can_be_stopped_is_named_once_it_is() -> None:
    """`dccd schedules off` turned off lake_report, prune_runs and reconcile, and status did not say so."""
    settings = settings_of(
        {
            "collect": [{**BARS, "name": "bars"}],
            "stream": [
                {"name": "live", "exchange": "binance", "symbols": ["BTC/USDT"], "data_types": ["trades"]}
            ],
            "remotes": [{"name": "nas", "to": "/mnt/nas"}],
            "purge": {"older_than": "90d"},
            "alerts": {"to": ["http://127.0.0.1:9/"]},
        }
    )
    made = build_definitions(settings).get_repository_def()
    names = [one.name for one in (*made.schedule_defs, *made.sensor_defs)]
    for name in names:
        said = [*stopped_schedules(settings, {name}), *stopped_helpers({name})]
        assert [line.partition(":")[0] for line in said] == [name.removesuffix("_schedule")]
    assert {"bars_schedule", "reconcile_schedule", "lake_report_schedule", "streams", "alerts"} <= {*names}
    assert stopped_helpers(()) == []
    assert stopped_helpers({"alerts"}) == [
        "alerts: its sensor is stopped, so nobody is told what is wrong "
        "-> turn it on under Automation of Dagster's page"
    ]
