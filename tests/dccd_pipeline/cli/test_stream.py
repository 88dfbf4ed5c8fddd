import json
import subprocess
import sys
from pathlib import Path

import pytest

from dccd_core.domain.errors import LakeError
from tests.dccd_pipeline.cli.terminal import dccd, refused
from tests.dccd_pipeline.streamed import FakeRecorder


def test_a_stream_that_is_not_configured_is_refused(own_home: Path) -> None:
    result = dccd("stream", "minors")
    assert result.exit_code == 2
    assert result.stderr == "there is no stream minors -> configured: majors\n"


def test_a_stream_is_paused_and_goes_on(own_home: Path) -> None:
    words = ("majors", "btc/usdt", "trades")
    assert dccd("stream", "pause", *words).stdout == (
        "majors: BTC/USDT trades is paused, until dccd stream resume majors BTC/USDT trades\n"
    )
    assert json.loads(dccd("status", "--json").stdout)["streams"][0]["paused"] == ["BTC/USDT trades"]
    assert "paused by a user: BTC/USDT trades" in " ".join(dccd("status").stdout.split())
    assert dccd("stream", "resume", "majors").stdout == "majors: all of it goes on\n"
    assert json.loads(dccd("status", "--json").stdout)["streams"][0]["paused"] == []
    assert refused("stream", "pause", "major") == "there is no stream called major -> did you mean majors?"


def test_the_word_record_may_be_left_out(own_home: Path) -> None:
    for words in (("minors",), ("record", "minors"), ("--here", "minors")):
        assert refused("stream", *words) == "there is no stream minors -> configured: majors"
    helped = dccd("stream", "--help").stdout
    for word in ("[NAME...]", "pause", "resume"):
        assert word in helped


def test_a_stream_here_says_why_it_failed(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dccd_pipeline.cli.record.record_live", FakeRecorder(error=LakeError("disk full")))
    result = dccd("stream", "--here", "majors")
    assert result.exit_code == 1
    assert result.stderr.endswith("failed: disk full\n")


def test_the_process_that_keeps_others_holds_no_dagster(own_home: Path) -> None:
    """0e899d4: True, and 73 MB more (194, not 121), for as long as streams are recorded."""
    package = own_home / "dccd_pipeline"  # what is started instead of a recorder
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text("print('records', flush=True)")
    code = (
        "import sys; from dccd_pipeline.cli.lazy import main\n"
        "try: main(['stream'])\n"
        "except SystemExit as e: print(e.code, 'dagster' in sys.modules)\n"
    )
    command = [sys.executable, "-P", "-c", code]
    done = subprocess.run(command, cwd=own_home, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["records", "0 False"], done.stderr


def test_streams_that_are_all_off_are_not_recorded(own_home: Path) -> None:
    """0e899d4: ValueError: max() iterable argument is empty."""
    file = own_home / "dccd.yaml"
    file.write_text(file.read_text().replace("name: majors,", "name: majors, enabled: false,"))
    assert refused("stream") == "every stream is switched off -> name those to record: majors"
