"""Alerts by a real daemon: its sensors look, addresses hear of each cause once, and when it is over."""

from pathlib import Path

import pytest

from dccd_core.domain.timespan import DAY, iso
from dccd_core.net.clock import SystemClock
from dccd_core.testing.sandbox.faults import Fault, FaultKind
from dccd_core.testing.sandbox.process import RunningSandbox
from dccd_core.testing.sandbox.stream_faults import StreamFault, StreamFaultKind
from tests.dccd_pipeline.hooks import Hook, hook
from tests.e2e.project import Project, awaited, bars, daemon, end_runs

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
STREAM = """
stream: [{name: majors, exchange: binance, symbols: [BTC/USDT], data_types: [trades], silent_after: 1m}]
"""


def about(told: Hook, text: str) -> list[str]:
    """Return the lines that were taken which have this text in them."""
    return [line for post in told.texts for line in post.splitlines() if text in line]


def heard(told: Hook, text: str) -> list[str]:
    return awaited(lambda: about(told, text) or None, 900)


def test_a_daemon_tells_of_two_causes_once_each_and_when_they_are_over(
    sandbox: RunningSandbox, tmp_path: Path
) -> None:
    """The venue refuses every request for bars, and its WebSocket every connection; then both are well."""
    sandbox.faults([Fault(kind=FaultKind.ERROR_BODY, path="klines")])
    sandbox.stream_faults([StreamFault(kind=StreamFaultKind.REFUSE)])
    yesterday = iso(SystemClock().now() // DAY * DAY - DAY)[:10]  # pyright: ignore[reportArgumentType]
    entry = bars("BTC/USDT", yesterday, "name: hours", "every: 1m", span="1h")
    with hook() as taking, hook(503) as refusing:
        alerts = f'alerts: {{to: ["{taking.by_apprise}", "{refusing.url}"], after_failures: 1}}'
        project = Project.make(
            tmp_path / "project", sandbox.rest_url("binance"), entry, more=f"{STREAM}{alerts}"
        )
        config = project.folder / "dccd.yaml"
        config.write_text(
            config.read_text().replace("binance: {", f'binance: {{ws_url: "{sandbox.ws_url("binance")}", ')
        )
        with daemon(project):
            failed = heard(taking, "hours_tick failed")
            silent = heard(taking, "stream majors has brought nothing")
        sandbox.faults([])
        sandbox.stream_faults([])
        with daemon(project):  # another one, which remembers
            well = heard(taking, "hours_tick is well again")
            brings = heard(taking, "stream majors brings data again")
            assert heard(refusing, "hours_tick is well again") == well
        end_runs(project)
        assert [len(one) for one in (failed, silent, well, brings)] == [1] * 4
        assert about(taking, "hours_tick failed") == failed
        assert about(taking, "stream majors has brought nothing") == silent
        assert about(refusing, "hours_tick failed") == failed, "who refused once was told all the same"
