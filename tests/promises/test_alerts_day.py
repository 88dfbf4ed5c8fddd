"""A day of failures, in the time of a given clock: each cause is told once, then hourly, and when it is over.

So a cause that lasts so many hours is 1 + hours + 1 posts, whatever else goes on, at each address that takes
them, and nothing is lost at one that does not for a while.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
import pytest

from dccd_core.domain.timespan import HOUR, MINUTE, Us, parse_time
from dccd_core.net.clock import ManualClock
from dccd_core.stream.api import Phase, StreamPlan
from dccd_pipeline.alarms.behind import behind
from dccd_pipeline.alarms.look import Found, Kind, Look
from dccd_pipeline.alarms.sensor import alert_sensor
from dccd_pipeline.config.read import settings_of
from dccd_pipeline.config.settings import Settings
from dccd_pipeline.runs.failures import failure_sensor, recovery_sensor
from dccd_pipeline.streams.alerts import silence_sensor
from dccd_pipeline.streams.heartbeat import beat_of, write_beat
from dccd_pipeline.tags import STREAM
from tests.dccd_pipeline.held import HOURS, TRADES, bars, hold
from tests.dccd_pipeline.hooks import Hook, hook
from tests.dccd_pipeline.streamed import health

DAY_BEGAN = parse_time("2026-11-20")
STEP = 5 * MINUTE
BARS = {
    "exchange": "binance",
    "symbols": ["BTC/USDT"],
    "data_type": "ohlc",
    "span": "1h",
    "start": "2026-11-01",
}
MAJORS = {"name": "majors", "exchange": "binance", "symbols": ["BTC/USDT"], "data_types": ["trades"]}


@dg.job
def bars_tick() -> None: ...


@dg.job
def trades_tick() -> None: ...


@dg.job(name="stream_majors")
def stream_majors() -> None: ...


def between(first: float, last: float) -> Callable[[Us], bool]:
    """Tell of a moment whether it is between these hours of the day."""
    return lambda now: DAY_BEGAN + first * HOUR <= now < DAY_BEGAN + last * HOUR


@dataclass(slots=True)
class Day:
    """What lives through the day: sensors that look every five minutes, and what they look at."""

    instance: dg.DagsterInstance
    settings: Settings
    clock: ManualClock = field(default_factory=lambda: ManualClock(DAY_BEGAN))
    cursors: dict[str, str | None] = field(default_factory=dict[str, str | None])

    def ended(self, job: dg.JobDefinition, failure: str | None) -> None:
        """Have a run of a job end, and the sensors hear of it."""
        alerts, status = self.settings.alerts, dg.DagsterRunStatus.STARTED
        run = self.instance.create_run_for_job(job, status=status)
        if failure:
            event = self.instance.report_run_failed(run, failure)
        else:
            event = dg.DagsterEvent(dg.DagsterEventType.RUN_SUCCESS.value, job_name=job.name)
            self.instance.report_dagster_event(event, run.run_id)
        after = self.instance.get_run_by_id(run.run_id)
        assert after
        context = dg.build_run_status_sensor_context("any", event, self.instance, after)
        if failure:
            failure_sensor(alerts, self.clock)(context.for_run_failure())
        else:
            recovery_sensor(alerts, self.clock)(context)

    def look(self, sensor: dg.SensorDefinition) -> None:
        context = dg.build_sensor_context(self.instance, self.cursors.get(sensor.name))
        sensor(context)
        self.cursors[sensor.name] = context.cursor

    def beat(self, run_id: str, last: Us) -> None:
        phase = Phase.RECORDING if self.clock.now() - last < HOUR // 4 else Phase.CONNECTING
        told = health(StreamPlan("majors", (TRADES,)), last, phase)
        write_beat(self.instance, "majors", beat_of(run_id, "digest", self.clock.now(), told))


@pytest.fixture
def addresses() -> Iterator[tuple[Hook, Hook]]:
    """One that takes all, and one that refuses the first twelve posts."""
    with hook() as one, hook(*[503] * 12) as other:
        yield one, other


def test_a_day_of_failures_is_told_hourly_by_cause(addresses: tuple[Hook, Hook], tmp_path: Path) -> None:
    taking, late = addresses
    settings = settings_of(
        {
            "store": str(tmp_path / "lake"),
            "collect": [BARS],
            "stream": [MAJORS],
            "alerts": {"to": [taking.url, late.by_apprise], "after_failures": 3},
        },
        now=DAY_BEGAN,
    )
    venue_down, disk_full, banned = between(0, 24), between(5, 11.5), between(3, 5)
    silent, stuck = between(8, 20), between(2, 22)

    def disks(look: Look) -> Found:
        return {"disk": "the disk is full" if disk_full(look.now) else ""}

    with dg.DagsterInstance.ephemeral() as instance:
        day = Day(instance, settings)
        alerts = alert_sensor(settings, day.clock, {"behind": Kind(behind), "disks": Kind(disks)})
        silence = silence_sensor(settings.stream, settings.alerts, day.clock)
        stream = instance.create_run_for_job(
            stream_majors, tags={STREAM: "majors"}, status=dg.DagsterRunStatus.STARTED
        )
        lake, last = settings.lake(), DAY_BEGAN
        for now in range(DAY_BEGAN, DAY_BEGAN + 25 * HOUR, STEP):
            now = Us(now)
            day.clock.set(now)
            if not stuck(now) and now % HOUR == 0:
                opens = range(parse_time("2026-11-01"), now, HOUR)
                hold(lake, HOURS, "2026", bars(opens), until=now, at=now)
            last = last if silent(now) else now
            day.beat(stream.run_id, last)
            if now % (2 * STEP) == 0:
                day.ended(bars_tick, f"HTTP 503 at {now}" if venue_down(now) else None)
            if banned(Us(now - HOUR)) or banned(now):
                day.ended(trades_tick, f"HTTP 418: banned until {now}" if banned(now) else None)
            day.look(alerts)
            day.look(silence)

    told = [line for text in taking.texts for line in causes(text)]
    assert {cause: told.count(cause) for cause in told} == {
        "bars_tick failed": 1 + 23,  # the third failure, at 0:20, then hourly until 23:20
        "bars_tick is well": 1,
        "trades_tick failed": 1 + 1,  # at 3:10 and 4:10
        "trades_tick is well": 1,
        "the disk is full": 1 + 6,  # at 5:00, 6:00 ... 11:00
        "disk: well again": 1,
        f"{HOURS} is behind": 1 + 17,  # behind from 4:05 on, and not catching up by 4:20
        f"{HOURS}: well again": 1,
        "stream majors has": 1 + 11,  # from 8:05 on, ten minutes after the last
        "stream majors brings": 1,
    }
    assert len(late.tried) < len(taking.texts), "who refuses is tried ever later"
    assert len(late.texts) > 0
    assert [line for text in late.texts for line in causes(text)] == told, "nothing is lost, and in order"


def causes(text: str) -> list[str]:
    """Return of each alert in a text what it is about."""
    known = rf"(\w+_tick failed|\w+_tick is well|the disk is full|disk: well again|{re.escape(str(HOURS))}"
    return re.findall(
        rf"^{known}(?: is behind|: well again)|stream majors (?:has|brings))", text, re.MULTILINE
    )
