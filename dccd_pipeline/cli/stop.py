"""``dccd stop``: end a run from the terminal.

Belongs here: options in, exit code out. Does not: which runs are meant, and ending them (runs/ending.py).
"""

import sys
import time
from collections.abc import Sequence
from typing import Final

import click
import dagster as dg

from dccd_pipeline.cli.instance import existing_instance
from dccd_pipeline.cli.options import lasting, told
from dccd_pipeline.config.settings import Settings
from dccd_pipeline.runs.ending import end_runs, named_runs, still_there

PATIENCE_S: Final = 15.0
"""How long a run that ends is waited for; it has 10 s."""
_LOOK_S: Final = 0.25


@click.command()
@click.argument("name", metavar="RUN|NAME")
@told
def stop(name: str) -> None:
    """End a run: by (the beginning of) its id, or all runs of a stream, an entry or a job.

    What was fetched is stored. A stream stays stopped until dccd stream resume NAME. Exit code 1 when one
    has not ended after 15 s.
    """
    settings = lasting()
    with existing_instance() as instance:
        runs = named_runs(instance, settings, name, under_way=True)
        ended = [run for run in runs if run.is_finished]
        for run in ended:
            click.echo(f"{run.job_name}: run {run.run_id} has ended already ({run.status.value.lower()})")
        if not runs:
            click.echo(_nothing(settings, name))
        going = [run for run in runs if not run.is_finished]
        end_runs(instance, going)
        left = {run.run_id for run in _awaited(instance, going)}
    for run in going:
        how = "is told to stop, and has not ended yet" if run.run_id in left else "is stopped"
        click.echo(f"{run.job_name}: run {run.run_id} {how}", err=run.run_id in left)
    sys.exit(1 if left else 0)


def _awaited(instance: dg.DagsterInstance, runs: Sequence[dg.DagsterRun]) -> list[dg.DagsterRun]:
    """Wait for runs to end; return those that have not."""
    until = time.monotonic() + PATIENCE_S
    while (left := still_there(instance, runs)) and time.monotonic() < until:
        time.sleep(_LOOK_S)
    return left


def _nothing(settings: Settings, name: str) -> str:
    """Say that there is nothing to stop, and what keeps a stream from being started."""
    streams = {word for entry in settings.stream for word in (entry.name, entry.job)}
    hint = f" -> `dccd stream pause {name.removeprefix('stream_')}` keeps it from recording"
    return f"{name}: nothing of it runs{hint if name in streams else ''}"
