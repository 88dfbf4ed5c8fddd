"""A stream that brings nothing is said once, whatever the cause, and so is its return."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import dagster as dg
import pytest

from dccd_core.domain.timespan import HOUR, MINUTE, Us, parse_time
from dccd_core.net.clock import ManualClock
from dccd_core.stream.api import Phase, StreamPlan
from dccd_pipeline.config.settings import Alerts
from dccd_pipeline.streams.alerts import Heard, judged, silence_sensor
from dccd_pipeline.streams.heartbeat import beat_of, write_beat
from dccd_pipeline.streams.status import StreamState
from dccd_pipeline.tags import STREAM
from tests.dccd_pipeline.held import TRADES
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


def test_what_left_the_configuration_is_forgotten() -> None:
    looked = Looked()
    looked.look(StreamState("minors", "failed", said="failed"), 60)
    assert (looked.said, looked.heard.streams) == ([], {})


@pytest.fixture
def hook() -> Iterator[HTTPServer]:
    with HTTPServer(("127.0.0.1", 0), Hook) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


class Hook(BaseHTTPRequestHandler):
    """A webhook that refuses the first post."""

    texts: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        text = json.loads(self.rfile.read(int(self.headers["content-length"])))["text"]
        self.texts.append(text)
        self.send_response(500 if len(self.texts) == 1 else 200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002 -- as http.server calls it


@dg.job(name="stream_majors")
def streaming() -> None: ...


def test_the_sensor_posts_until_the_webhook_takes_it_and_no_more(hook: HTTPServer, tmp_path: Path) -> None:
    Hook.texts.clear()
    alerts = Alerts(webhook_url=f"http://127.0.0.1:{hook.server_port}/")
    clock = ManualClock(NOW)
    sensor = silence_sensor(settings_of(tmp_path).stream, alerts, clock)
    with dg.DagsterInstance.ephemeral() as instance:
        status = dg.DagsterRunStatus.STARTED
        run = instance.create_run_for_job(streaming, tags={STREAM: "majors"}, status=status)
        cursor = None
        for minute in range(15):
            clock.set(Us(NOW + minute * MINUTE))
            told = health(PLAN, NOW, Phase.CONNECTING, tries=3)
            write_beat(instance, "majors", beat_of(run.run_id, "digest", clock.now(), told))
            context = dg.build_sensor_context(instance, cursor)
            sensor(context)
            cursor = context.cursor
    (first, second) = Hook.texts
    assert first.startswith("stream majors has brought nothing for 660 s: ")
    assert second.startswith("stream majors has brought nothing for 720 s: ")


def test_what_is_told_of_streams_is_remembered_as_of_jobs(hook: HTTPServer, tmp_path: Path) -> None:
    """A sensor that forgot what it said tells no cause again within an hour, and its end once."""
    Hook.texts.clear()
    Hook.texts.append("the first one is refused")
    alerts = Alerts(webhook_url=f"http://127.0.0.1:{hook.server_port}/")
    clock = ManualClock(NOW)
    sensor = silence_sensor(settings_of(tmp_path).stream, alerts, clock)
    with dg.DagsterInstance.ephemeral() as instance:
        status = dg.DagsterRunStatus.STARTED
        run = instance.create_run_for_job(streaming, tags={STREAM: "majors"}, status=status)
        cursor = None
        for minute in range(40):
            clock.set(Us(NOW + minute * MINUTE))
            phase, last = (Phase.RECORDING, clock.now()) if minute >= 35 else (Phase.CONNECTING, NOW)
            told = health(PLAN, last, phase)
            write_beat(instance, "majors", beat_of(run.run_id, "digest", clock.now(), told))
            context = dg.build_sensor_context(instance, cursor)
            sensor(context)
            cursor = None if minute == 15 else context.cursor  # as when the sensor is reset in the UI
    said = [text.partition(" for ")[0].partition(", after ")[0] for text in Hook.texts[1:]]
    assert said == ["stream majors has brought nothing", "stream majors brings data again"]
