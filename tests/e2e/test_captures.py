"""``dccd stream --capture`` keeps what a stream is told; ``dccd replay`` gives from it what was recorded."""

import json
import signal
from pathlib import Path

import pytest

from dccd_core.testing.sandbox.process import RunningSandbox
from dccd_pipeline.streams.heartbeat import Beat
from tests.e2e.project import awaited, ended, logged
from tests.e2e.test_streams import end_recording, ready, streaming

pytestmark = pytest.mark.e2e
BTC = "binance/trades/BTC-USDT"


def heard(beat: Beat) -> int:
    """Return how many trades came."""
    return next(one.messages for one in beat.datasets if one.dataset == BTC)


@pytest.mark.slow  # nearly a minute; its short forms are in promises/test_capture.py
def test_a_capture_is_replayed(sandbox: RunningSandbox, tmp_path: Path) -> None:
    project, folder = streaming(sandbox, tmp_path), tmp_path / "kept"
    keep = ("-m", "dccd_pipeline", "stream", "majors", f"--capture={folder}")
    with logged(project, "keep") as log:
        process = project.started(*keep, stdout=log, stderr=log)
        try:
            beat = awaited(lambda: ready(project))
            awaited(lambda: ((now := ready(project)) and heard(now) > heard(beat)) or None)
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=30) == 0
        except BaseException:
            end_recording(project)
            raise
        finally:
            ended(process)
    said = project.dccd("replay", str(folder))
    assert said.returncode == 0, said.stderr
    assert project.dccd("replay", str(folder)).stdout == said.stdout
    done = json.loads(said.stdout)
    assert done["ended"] == ["stopped"]
    assert done["stream"] == "majors"
    rows = sum(part["rows"] for part in done["datasets"][BTC].values())
    assert rows == done["messages"]["trades"] > 0

    again = project.dccd("stream", "majors", f"--capture={folder}")
    assert again.returncode == 2
    assert "is not empty -> a capture needs a folder of its own" in again.stderr


def test_what_is_no_capture_is_said(sandbox: RunningSandbox, tmp_path: Path) -> None:
    said = streaming(sandbox, tmp_path).dccd("replay", str(tmp_path))
    assert said.returncode == 2
    assert said.stderr == f"{tmp_path} holds no capture -> dccd stream --capture makes one\n"
