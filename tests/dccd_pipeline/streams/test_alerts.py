"""A stream that brings nothing is said once, whatever the cause, and so is its return."""

from pathlib import Path

import dagster as dg
import pytest

from dccd_core.domain.timespan import HOUR, MINUTE, Us, parse_time
from dccd_core.net.clock import ManualClock
from dccd_core.stream.api import Phase, StreamPlan
from dccd_pipeline.config.alerts import Alerts
from dccd_pipeline.streams.alerts import Heard, judged, silence_sensor
from dccd_pipeline.streams.heartbeat import beat_of, write_beat
from dccd_pipeline.streams.status import StreamState
from dccd_pipeline.tags import STREAM
from tests.dccd_pipeline.held import TRADES
from tests.dccd_pipeline.hooks import hook
from tests.dccd_pipeline.streamed import health, settings_of

NOW = parse_time("2026-02-01")
PLAN = StreamPlan("majors", (TRADES,))


class Looked:
    """Looks every minute at a stream, and keeps what was said when."""

    def __init__(self) -> None:
        self.heard, self.now, self.said = Heard(), NOW, list[tuple[int, str]]()

    def look(self, state: StreamState, minutes: int) -> None:
        for _ in range(minutes):
            lines = judged([state], {"majors": Us(10 * MINUTE)}, self.heard, self.now)
            self.said += [((self.now - NOW) // MINUTE, line) for _, line in lines]
            self.now = Us(self.now + MINUTE)

    def state(self, phase: Phase, last: Us, said: str) -> StreamState:
        beat = beat_of("run", "digest", self.now, health(PLAN, last, phase))
        return StreamState("majors", phase.value, beat=beat, said=said)


def test_what_brings_something_is_not_spoken_of() -> None:
    looked = Looked()
    for _ in range(60):
        looked.look(looked.state(Phase.RECORDING, looked.now, "recording"), 1)
    assert looked.said == []


def test_silence_is_said_once_and_so_is_its_end() -> None:
    looked = Looked()
    looked.look(looked.state(Phase.RECORDING, NOW, "recording"), 1)
    looked.look(looked.state(Phase.CONNECTING, NOW, "connecting (21 tries: connection refused)"), 60)
    looked.look(looked.state(Phase.RECORDING, looked.now, "recording"), 5)
    alert = "stream majors has brought nothing for 660 s: connecting (21 tries: connection refused)"
    assert looked.said == [
        (11, alert),
        (61, "stream majors brings data again, after 3660 s without: recording"),
    ]


def test_a_stream_that_does_not_run_brings_nothing_either() -> None:
    looked = Looked()
    looked.look(StreamState("majors", "failed", why="the disk is full", said="failed"), 15)
    assert looked.said == [(11, "stream majors has brought nothing for 660 s: failed (the disk is full)")]


@pytest.mark.parametrize("state", ["paused", "stopped by a user"])
def test_what_a_user_stopped_may_be_silent_and_gets_its_time_anew(state: str) -> None:
    looked = Looked()
    looked.look(StreamState("majors", state, said=state), 60)
    looked.look(StreamState("majors", "connecting", said="connecting"), 15)
    assert [at for at, _ in looked.said] == [70]


def test_after_a_pause_of_who_looks_streams_get_their_time() -> None:
    looked = Looked()
    looked.look(looked.state(Phase.RECORDING, NOW, "recording"), 1)
    looked.now = Us(NOW + HOUR)
    looked.look(looked.state(Phase.CONNECTING, NOW, "connecting"), 15)
    assert [at for at, _ in looked.said] == [71]


def test_after_a_clock_was_ahead_silence_is_said() -> None:
    looked = Looked()
    looked.now = Us(NOW + 10_000 * HOUR)
    looked.look(looked.state(Phase.RECORDING, looked.now, "recording"), 1)
    looked.now = NOW
    looked.look(looked.state(Phase.CONNECTING, NOW, "connecting"), 15)
    assert [at for at, _ in looked.said] == [11]


def test_what_left_the_configuration_is_forgotten() -> None:
    looked = Looked()
    looked.look(StreamState("minors", "failed", said="failed"), 60)
    assert (looked.said, looked.heard.streams) == ([], {})


@dg.job(name="stream_majors")
def streaming() -> None: ...


def sensed(
    instance: dg.DagsterInstance, folder: Path, alerts: Alerts, minutes: int, resets: int, back: int
) -> None:
    """Look every minute at a stream that brings nothing until it is ``back``; its cursor is set once."""
    clock = ManualClock(NOW)
    sensor = silence_sensor(settings_of(folder).stream, alerts, clock)
    status = dg.DagsterRunStatus.STARTED
    run = instance.create_run_for_job(streaming, tags={STREAM: "majors"}, status=status)
    cursor = None
    for minute in range(minutes):
        clock.set(Us(NOW + minute * MINUTE))
        phase, last = (Phase.RECORDING, clock.now()) if minute >= back else (Phase.CONNECTING, NOW)
        told = health(PLAN, last, phase, tries=3)
        write_beat(instance, "majors", beat_of(run.run_id, "digest", clock.now(), told))
        context = dg.build_sensor_context(instance, cursor)
        sensor(context)
        cursor = "nothing" if minute == resets else context.cursor  # as when somebody sets it in the UI


def test_the_sensor_posts_until_the_address_takes_it_and_no_more(tmp_path: Path) -> None:
    with hook(500) as one, dg.DagsterInstance.ephemeral() as instance:
        sensed(instance, tmp_path, Alerts(webhook_url=one.url), minutes=15, resets=-1, back=99)
        (first, second) = one.tried
        assert first.startswith("stream majors has brought nothing for 660 s: ")
        assert second == first, "what was not taken is kept, and sent at the next look"


def test_what_is_told_of_streams_is_remembered_as_of_jobs(tmp_path: Path) -> None:
    """A sensor that forgot what it said tells no cause again within an hour, and its end once."""
    with hook() as one, dg.DagsterInstance.ephemeral() as instance:
        sensed(instance, tmp_path, Alerts(webhook_url=one.url), minutes=40, resets=15, back=35)
        said = [text.partition(" for ")[0].partition(", after ")[0] for text in one.texts]
        assert said == ["stream majors has brought nothing", "stream majors brings data again"]


def test_a_stream_that_stays_silent_is_told_hourly(tmp_path: Path) -> None:
    with hook() as one, dg.DagsterInstance.ephemeral() as instance:
        sensed(instance, tmp_path, Alerts(webhook_url=one.url), minutes=200, resets=-1, back=195)
        said = [text.partition(": ")[0] for text in one.texts]
        assert said[:4] == [
            f"stream majors has brought nothing for {minute * 60} s" for minute in (11, 71, 131, 191)
        ]
        assert said[4:] == ["stream majors brings data again, after 11700 s without"]
        assert one.texts[4].endswith(" (it was told 4 times)")
