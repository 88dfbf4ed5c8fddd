"""``dccd metrics``: numbers for Prometheus, and whether all is well, by HTTP.

Belongs here: options in, exit code out. Does not: what is told (metrics/).
"""

import os
import socket
from collections.abc import Iterable
from contextlib import ExitStack

import click
import dagster as dg
import uvicorn
from prometheus_client.metrics_core import Metric

from dccd_core.domain.errors import ConfigError
from dccd_core.domain.places import state_dir
from dccd_core.domain.timespan import MINUTE
from dccd_core.net.clock import SystemClock
from dccd_core.net.ratelimit.spent import spent
from dccd_pipeline.answer.gather import answer
from dccd_pipeline.build import stream_digests
from dccd_pipeline.cli.instance import existing_instance
from dccd_pipeline.cli.options import told
from dccd_pipeline.config.lastgood import load_lasting
from dccd_pipeline.metrics.families import families
from dccd_pipeline.metrics.server import Monitor, application


@click.command()
@click.option(
    "--port", type=click.IntRange(1, 65_535), default=9_109, show_default=True, help="Where to listen."
)
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Who may ask: nobody is asked for a password."
)
@told
def metrics(port: int, host: str) -> None:
    """Serve /metrics for Prometheus and /healthz, until Ctrl-C.

    /healthz answers 200 when all is well, else 503 and a line for each thing that is wrong: what dccd status
    says.
    """
    clock = SystemClock()
    with listening(host, port) as here, Opened() as opened:
        monitor = Monitor(lambda: _look(opened.instance(), clock), clock)
        url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        click.echo(f"{url}/metrics and {url}/healthz", err=True)
        # not uvicorn.run: it takes Ctrl-C for itself
        uvicorn.Server(uvicorn.Config(application(monitor), log_level="warning")).run(sockets=[here])


class Opened:
    """The instance: until there is one, one that is forgotten again, for each look another."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._instance: dg.DagsterInstance | None = None

    def __enter__(self) -> "Opened":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def instance(self) -> dg.DagsterInstance:
        if self._instance is None or self._instance.is_ephemeral:
            self._stack.close()
            self._instance = self._stack.enter_context(existing_instance())
        return self._instance


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        ConfigError: it cannot, as when another program does.
    """
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as e:
        said = os.strerror(e.errno) if e.errno else str(e)
        raise ConfigError(f"{host}:{port}: {said}", hint="give another --port") from e


def _look(instance: dg.DagsterInstance, clock: SystemClock) -> tuple[Iterable[Metric], Iterable[str]]:
    """Find the answer; the configuration is read anew each time."""
    loaded = load_lasting()
    found = answer(loaded, instance, stream_digests(loaded.settings), clock)
    return families(found, spent(state_dir(), MINUTE, clock.now())), found.problems
