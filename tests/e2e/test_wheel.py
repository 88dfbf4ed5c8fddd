"""What `pip install` of the built wheel gives, in an empty environment and an empty folder."""

import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dccd_core.testing.sandbox.process import RunningSandbox
from tests.e2e.project import ROOT, awaited
from tests.e2e.test_up import STOPPED, Running, up

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
UV = ROOT / ".uv" / "bin" / "uv"
GIVEN = ("--exchange", "binance", "--symbols", "BTC/USDT", "--data-type", "trades")


def run(*command: str | Path, **options: Any) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of programs of an environment that holds the wheel, and what it needs, alone."""
    if not UV.exists():
        pytest.skip("it takes uv, that make brings")
    folder = tmp_path_factory.mktemp("wheel")
    run(UV, "build", "--wheel", "--out-dir", folder, cwd=ROOT)
    (wheel,) = folder.glob("dccd-*.whl")
    exported = ("export", "--locked", "--no-emit-project", "--no-hashes", "--no-default-groups")
    (folder / "locked.txt").write_text(run(UV, *exported, cwd=ROOT))
    run(UV, "venv", "--python", sys.executable, folder / "env")
    python = folder / "env" / "bin" / "python"
    run(UV, "pip", "install", "--python", python, "--constraints", folder / "locked.txt", wheel)
    return folder / "env" / "bin"


class Place:
    """An empty folder in which somebody works who has nothing but the wheel."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self.folder, self.programs = folder, programs
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("DCCD", "DAGSTER"))}
        self.environment = {**kept, "DCCD_STATE_DIR": str(folder / "state"), "PYTHONPATH": ""}

    def started(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Start ``python arguments`` here, with the python that has the wheel."""
        command = [str(self.programs / "python"), *arguments]
        return subprocess.Popen(command, cwd=self.folder, env=self.environment, text=True, **options)

    def dccd(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(self.programs / "dccd"), *arguments]
        return subprocess.run(
            command, cwd=self.folder, env=self.environment, text=True, capture_output=True, check=False
        )


@pytest.fixture
def place(installed: Path, tmp_path: Path) -> Place:
    (tmp_path / "empty").mkdir()
    return Place(tmp_path / "empty", installed)


def test_the_wheel_brings_all_that_is_no_code(installed: Path) -> None:
    brought = {one.name for one in (installed.parent / "share" / "dccd" / "deploy").iterdir()}
    assert {"dccd.service", "compose.yaml", "Dockerfile"} <= brought
    (package,) = (installed.parent / "lib").glob("python*/site-packages/dccd_pipeline")
    for name in ("dagster.yaml", "default.yaml", "templates/dccd.yaml"):
        assert (package / name).read_bytes() == (ROOT / "dccd_pipeline" / name).read_bytes()
    assert not (package.parent / "tests").exists()


def test_from_an_empty_folder_to_a_lake_that_is_well(sandbox: RunningSandbox, place: Place) -> None:
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    done = place.dccd("init", *GIVEN, "--start", today)
    assert done.returncode == 0, done.stderr
    assert [one.name for one in place.folder.iterdir()] == ["dccd.yaml"]
    file, (rest, ws) = place.folder / "dccd.yaml", (sandbox.rest_url("binance"), sandbox.ws_url("binance"))
    text = file.read_text().replace("every: 1h", "every: 1m")
    text = text.replace("#stream:", "stream:").replace("#  - {name: live", "  - {name: live")
    file.write_text(f"{text}exchanges: {{binance: {{rest_url: '{rest}', ws_url: '{ws}'}}}}\n")
    checked = place.dccd("config", "check")
    assert checked.returncode == 0, checked.stderr
    with up(place) as running:
        running.said("ready: ")
        tick(place)
        stopped_and_resumed(place, running)
        status = awaited(lambda: well(place))
        assert "recording" in status
        assert "web" in place.dccd("logs", "-n", "1000").stdout
        running.process.terminate()
        assert running.process.wait(120) == STOPPED
    after = place.dccd("inventory", "--json")
    assert '"rows"' in after.stdout


def tick(place: Place) -> None:
    """Wait for a tick that a schedule started, and turn the schedule off and on."""
    shown = place.dccd("schedules", "--json").stdout
    assert '"name": "binance_trades_schedule"' in shown
    awaited(lambda: "binance_trades_tick" in place.dccd("status", "--json").stdout or None)
    assert place.dccd("schedules", "off", "binance_trades").stdout == "binance_trades_schedule: off\n"
    assert place.dccd("schedules", "on", "binance_trades").stdout == "binance_trades_schedule: on\n"


def stopped_and_resumed(place: Place, running: Running) -> None:
    awaited(lambda: '"state": "recording"' in place.dccd("status", "--json").stdout or None)
    stopped = place.dccd("stop", "live")
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr
    assert " is stopped" in stopped.stdout
    assert "stopped by a user" in place.dccd("status").stdout
    assert "goes on: the daemon starts it" in place.dccd("stream", "resume", "live").stdout
    awaited(lambda: '"state": "recording"' in place.dccd("status", "--json").stdout or None)
    assert running.process.poll() is None


def well(place: Place) -> str | None:
    found = place.dccd("status")
    return found.stdout if found.returncode == 0 else None


def test_the_programs_of_the_environment_alone_are_used(installed: Path) -> None:
    assert shutil.which("dccd", path=str(installed)) == str(installed / "dccd")
    where = run(installed / "python", "-c", "import dccd_pipeline; print(dccd_pipeline.__file__)", cwd="/")
    assert where.startswith(str(installed.parent))
