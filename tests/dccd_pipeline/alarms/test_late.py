"""What should have ended well by now: the syncs of remotes, by the assets that they materialise."""

from dataclasses import replace
from pathlib import Path

import dagster as dg

from dccd_core.domain.timespan import HOUR, MINUTE
from dccd_core.net.clock import SystemClock
from dccd_pipeline.alarms.late import dues, late
from dccd_pipeline.alarms.look import Look
from dccd_pipeline.keep.remote import remote_schedule
from dccd_pipeline.runs.instigators import turn
from tests.dccd_pipeline.alarms.looked import settings

NAME = "remote/backup"


def looked(instance: dg.DagsterInstance, folder: Path) -> Look:
    """Return a look at a remote that is to be synced every hour, at the time it is."""
    remotes = [
        {"name": "backup", "to": str(folder / "backup"), "every": "1h"},
        {"name": "by_hand", "to": str(folder / "by_hand"), "every": "never"},
        {"name": "off", "to": str(folder / "off"), "enabled": False},
    ]
    return Look(settings(folder, remotes=remotes), instance, SystemClock().now())


def after(look: Look, minutes: int) -> str | None:
    return late(replace(look, now=look.now + minutes * MINUTE))[NAME]


def test_a_sync_that_has_not_ended_well_for_two_intervals_is_late(tmp_path: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        look = looked(instance, tmp_path)
        assert {name: due.every for name, due in dues(look.settings).items()} == {NAME: HOUR}
        assert [after(look, minutes) for minutes in (0, 60, 120)] == ["", "", ""]
        said = f"{NAME} is late: it has not ended well in 2 h 1 min, wanted is every 1 h"
        assert after(look, 121) == f"{said} -> `dccd sync backup` says why"
        instance.report_runless_asset_event(dg.AssetMaterialization(NAME.split("/")))
        assert after(look, 121) != after(look, 0) == ""
        assert str(after(look, 150)).startswith(f"{NAME} is late: it ended well last 2 h ")


def test_a_clock_that_was_ahead_makes_nothing_early(tmp_path: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        look = looked(instance, tmp_path)
        assert [after(look, minutes) for minutes in (60 * 24 * 4_000, 0, 120)] == [""] * 3
        assert str(after(look, 121)).startswith(f"{NAME} is late: ")


def test_who_has_no_remotes_has_none_that_is_late(tmp_path: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        assert late(Look(settings(tmp_path), instance, SystemClock().now())) == {}


def test_one_whose_schedule_is_stopped_is_late_all_the_same_and_says_so(tmp_path: Path) -> None:
    """Who stopped it for an hour forgets it for days."""
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        look = looked(instance, tmp_path)
        schedules = [remote_schedule(one, running=True) for one in look.settings.remotes if one.scheduled]
        turn(instance, schedules, look.now, on=False)
        assert [after(look, minutes) for minutes in (0, 120)] == [""] * 2
        assert str(after(look, 121)).endswith(
            "wanted is every 1 h; its schedule is stopped -> `dccd schedules on sync_backup`"
        )
        turn(instance, schedules, look.now, on=True)
        assert str(after(look, 121)).endswith("-> `dccd sync backup` says why")
