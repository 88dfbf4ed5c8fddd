"""The process that keeps those which record."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dccd_core.domain.errors import ConfigError
from dccd_pipeline.cli.keeper import chosen, record_all
from dccd_pipeline.config.settings import Settings
from tests.dccd_pipeline.streamed import STREAM as MAJORS
from tests.dccd_pipeline.streamed import settings_of

ROOT = Path(__file__).parents[3]
MINORS = MAJORS.replace("majors", "minors").replace("BTC", "ETH")


def test_without_names_all_are_meant(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, MAJORS, MINORS)
    assert chosen(settings, []) == ["majors", "minors"]
    assert chosen(settings, ["minors", "minors"]) == ["minors"]
    with pytest.raises(ConfigError, match="there is no stream major -> configured: majors, minors"):
        chosen(settings, ["majors", "major"])
    with pytest.raises(ConfigError, match="no stream is configured"):
        chosen(Settings(), [])


def test_several_are_a_process_each_and_the_worst_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "dccd_pipeline" / "__main__.py"
    script.parent.mkdir()
    script.with_name("__init__.py").touch()
    script.write_text("import sys; sys.exit({'majors': 0, 'minors': 1}[sys.argv[-1]])")
    monkeypatch.chdir(tmp_path)
    before = signal.getsignal(signal.SIGTERM)
    assert record_all(["majors"]) == 0
    assert record_all(["majors", "minors"]) == 1
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_signal_is_passed_on_to_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "dccd_pipeline" / "__main__.py"
    script.parent.mkdir()
    script.with_name("__init__.py").touch()
    script.write_text(
        "import os, signal, sys\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n"
        "if sys.argv[-1] == 'first': os.kill(os.getppid(), signal.SIGTERM)\n"
        "signal.pause()\n"
    )
    monkeypatch.chdir(tmp_path)
    assert record_all(["first"]) == 0


def test_a_recorder_ends_in_order_when_the_process_that_started_it_is_killed(tmp_path: Path) -> None:
    package = tmp_path / "dccd_pipeline"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(
        "import signal, sys\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "del sys.modules['dccd_pipeline']\n"
        "from dccd_pipeline.cli.keeper import end_with_keeper\n"
        "def ended(*_): print('ended in order', flush=True); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, ended)\n"
        "end_with_keeper()\n"
        "print('records', flush=True)\n"
        "while True: signal.pause()\n"
    )
    parent = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); from dccd_pipeline.cli.keeper import record_all; "
    )
    command = [sys.executable, "-c", f"{parent}record_all(['majors'])"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == "records\n"
        killed.kill()
        assert killed.stdout.readline() == "ended in order\n"
