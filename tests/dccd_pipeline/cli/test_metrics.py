"""``dccd metrics``: a process that answers until it is told to stop."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from dccd_core.domain.errors import ConfigError
from dccd_pipeline.cli.instance import open_instance
from dccd_pipeline.cli.metrics import Opened, listening
from tests.dccd_pipeline.cli.terminal import dccd
from tests.e2e.project import awaited, free_port

pytestmark = pytest.mark.usefixtures("project")


def test_it_answers_until_it_is_told_to_stop(project: Path) -> None:
    port = free_port()
    command = [str(Path(sys.executable).with_name("dccd")), "metrics", "--port", str(port)]
    process = subprocess.Popen(command, cwd=project, env=dict(os.environ), text=True, stderr=subprocess.PIPE)
    try:
        url = f"http://127.0.0.1:{port}"
        healthz = awaited(lambda: asked(f"{url}/healthz", process))
        assert healthz.status_code == 503
        assert "never collected" in healthz.text
        numbers = httpx.get(f"{url}/metrics", timeout=60).text
        assert "dccd_well 0.0\n" in numbers
        assert 'dccd_dataset_rows{dataset="binance/ohlc/BTC-USDT/1h"} 0.0\n' in numbers
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=120)
        assert process.returncode == 130
        assert said.splitlines()[0] == f"{url}/metrics and {url}/healthz"
    finally:
        process.kill()
        process.wait()


def asked(url: str, process: "subprocess.Popen[str]") -> httpx.Response | None:
    assert process.poll() is None, process.stderr.read() if process.stderr else ""
    try:
        return httpx.get(url, timeout=60)
    except httpx.TransportError:
        return None


def test_a_port_that_is_taken_is_a_line(project: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        result = dccd("metrics", "--port", str(port))
    assert result.exit_code == 2
    assert result.stderr == f"127.0.0.1:{port}: Address already in use -> give another --port\n"


@pytest.mark.usefixtures("own_home")
def test_r10_an_instance_that_comes_later_is_looked_at() -> None:
    """36c92f8: whoever began before the first `dccd up` said for ever that no daemon runs."""
    with Opened() as opened:
        assert opened.instance().is_ephemeral
        open_instance().dispose()
        found = opened.instance()
        assert not found.is_ephemeral
        assert opened.instance() is found


def test_r10_an_address_of_six_is_one_too() -> None:
    """36c92f8: "Address family for hostname not supported"."""
    try:
        with listening("::1", 0) as here:
            assert here.family is socket.AF_INET6
    except ConfigError as e:
        pytest.skip(f"this machine has none: {e}")
