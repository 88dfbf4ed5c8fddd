"""Schedules on and off, as Dagster itself would find them."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from dccd_core.domain.timespan import parse_time
from dccd_pipeline.runs.instigators import schedule_states, stopped, turn

NOW = parse_time("2026-11-29T12:02:00")


@dg.job
def working() -> None: ...


def schedule(name: str, *, running: bool) -> dg.ScheduleDefinition:
    status = dg.DefaultScheduleStatus.RUNNING if running else dg.DefaultScheduleStatus.STOPPED
    return dg.ScheduleDefinition(
        name=name, job=working, cron_schedule="*/5 * * * *", execution_timezone="UTC", default_status=status
    )


BOTH = [schedule("b", running=True), schedule("a", running=False)]


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as local:
        yield local


def test_an_instance_that_is_forgotten_again_keeps_none() -> None:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        assert stopped(ephemeral) == set()
        assert [one.on for one in schedule_states(ephemeral, BOTH, NOW)] == [False, True]


def on(instance: dg.DagsterInstance) -> dict[str, bool]:
    return {one.name: one.on for one in schedule_states(instance, BOTH, NOW)}


def test_nobody_touched_them_so_the_code_decides(instance: dg.DagsterInstance) -> None:
    a, b = schedule_states(instance, BOTH, NOW)
    assert (a.name, a.on, a.next, a.last) == ("a", False, None, None)
    assert (b.name, b.on, b.next, b.job) == ("b", True, parse_time("2026-11-29T12:05:00"), "working")


def test_what_is_turned_stays_so_and_is_said_once(instance: dg.DagsterInstance) -> None:
    assert turn(instance, BOTH, NOW, on=False) == ["b"]
    assert turn(instance, BOTH, NOW, on=False) == []
    assert on(instance) == {"a": False, "b": False}
    assert turn(instance, BOTH, NOW, on=True) == ["b", "a"]
    assert on(instance) == {"a": True, "b": True}
    assert turn(instance, BOTH[:1], NOW, on=False) == ["b"]
    assert on(instance) == {"a": True, "b": False}


def test_what_somebody_stopped_is_known_by_name(instance: dg.DagsterInstance) -> None:
    assert stopped(instance) == set()
    turn(instance, BOTH, NOW, on=False)
    assert stopped(instance) == {"b"}
    turn(instance, BOTH, NOW, on=True)
    assert stopped(instance) == set()
    turn(instance, BOTH, NOW, on=False)
    assert stopped(instance) == {"a", "b"}
