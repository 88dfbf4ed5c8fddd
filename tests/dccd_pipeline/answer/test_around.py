"""What is around datasets; the whole of it is shown in test_gather.py."""

from pathlib import Path

import dagster as dg
import pytest

from dccd_core.domain.timespan import parse_time
from dccd_core.stream.api import Phase
from dccd_pipeline.answer.around import (
    full_disks,
    next_tick,
    off_schedules,
    stopped_schedules,
    stream_problems,
)
from dccd_pipeline.config.read import settings_of
from dccd_pipeline.streams.status import StreamState

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


def test_without_an_instance_no_schedule_is_stopped() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        assert off_schedules(instance) == set()


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
