"""``dccd up``: what it refuses, and in processes of its own what it does (tests/e2e/test_up.py)."""

import socket
from pathlib import Path

import pytest
from filelock import FileLock

from dccd_core.domain.errors import ConfigError
from dccd_pipeline.cli.running import Running, lock_file, write_running
from dccd_pipeline.cli.up import refuse_taken
from dccd_pipeline.runs.processes import Process
from tests.dccd_pipeline.cli.terminal import dccd


def test_a_port_that_is_taken_is_one_line(own_home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        result = dccd("up", "--port", str(port))
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"cannot listen at 127.0.0.1:{port}: Address already in use -> dccd up --port ")


def test_a_free_port_is_not_refused_and_an_address_of_nobody_is() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    refuse_taken("127.0.0.1", port)
    with pytest.raises(ConfigError, match=r"cannot listen at 192\.0\.2\.1:"):
        refuse_taken("192.0.2.1", port)


def test_a_second_one_of_an_instance_is_one_line_that_names_the_first(own_home: Path) -> None:
    home = own_home / ".dagster"
    lock_file(home).parent.mkdir(parents=True)
    write_running(home, Running(Process.this(), "http://127.0.0.1:3000", "dccd.yaml", "", 0))
    with FileLock(lock_file(home)):
        result = dccd("up")
    assert result.exit_code == 2
    who = f"http://127.0.0.1:3000, pid {Process.this().pid}"
    line = f"{home} is up already: {who} -> end it, or set DAGSTER_HOME for one beside it"
    assert result.stderr.splitlines() == [line]


def test_a_configuration_that_cannot_be_used_is_not_begun_with(own_home: Path) -> None:
    (own_home / "dccd.yaml").write_text("collect: [{exchange: binanc}]")
    result = dccd("up")
    assert result.exit_code == 2
    assert "did you mean 'binance'?" in result.stderr
