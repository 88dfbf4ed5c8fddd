"""``dccd status``: is the lake complete and right today?

Belongs here: options in, exit code out. Does not: finding out (answer/), drawing (status_table.py).
"""

import asyncio
import json
import sys
from typing import Any

import click
import msgspec

from dccd_core.net.clock import SystemClock
from dccd_pipeline.answer.dataset import DatasetStatus
from dccd_pipeline.answer.gather import Answer, answer
from dccd_pipeline.build import stream_digests
from dccd_pipeline.cli import status_table
from dccd_pipeline.cli.instance import existing_instance
from dccd_pipeline.cli.options import say_mistake, say_where, told
from dccd_pipeline.cli.running import newer_lines
from dccd_pipeline.config.kept import dagster_home
from dccd_pipeline.config.lastgood import load_lasting
from dccd_pipeline.config.settings import Settings, off_lines
from dccd_pipeline.streams.status import as_builtins


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--all", "show_all", is_flag=True, help="Show every dataset, however many there are.")
@click.option("--watch", type=click.FloatRange(1), is_flag=False, flag_value=5, help="Again each so many s.")
@told
def status(as_json: bool, show_all: bool, watch: float | None) -> None:
    """Is the lake complete and right today? Exit code 0 only when all is well, 1 when something is not.

    Of each configured dataset: what is wanted and proven, what is missing, and what failed last. Streams,
    recent runs, and all that keeps them from going on.
    """
    while True:
        found, settings = _look()
        if watch:
            click.clear()
        if as_json:
            click.echo(json.dumps({**as_json_of(found, settings), "newer": newer_lines(dagster_home())}))
        else:
            status_table.show(found, settings.timezone, show_all=show_all)
            for line in newer_lines(dagster_home()):
                click.echo(line)
            say_where(settings)
        if not watch:
            break
        asyncio.run(SystemClock().sleep(watch))
    sys.exit(0 if found.well else 1)


def _look() -> tuple[Answer, Settings]:
    loaded = load_lasting()
    say_mistake(loaded)
    with existing_instance() as instance:
        return answer(loaded, instance, stream_digests(loaded.settings), SystemClock()), loaded.settings


def as_json_of(found: Answer, settings: Settings) -> dict[str, Any]:
    """Return the answer as JSON has it; moments and lengths are integer microseconds."""
    return {
        "at": found.at,
        "well": found.well,
        "verdict": found.verdict,
        "problems": found.problems,
        "notes": found.notes,
        "datasets": [_dataset(one) for one in found.datasets],
        "unnamed": found.unnamed,
        **as_builtins(found.streams, found.runs),
        "gone": found.gone,
        "failing": found.failing,
        "off": off_lines(settings),
    }


def _dataset(one: DatasetStatus) -> dict[str, Any]:
    told = {name: getattr(one, name) for name in one.__dataclass_fields__}
    deadline = one.deadline and {
        "state": one.deadline.safety,
        "at": one.deadline.at,
        "said": str(one.deadline),
    }
    named = {"dataset": str(one.dataset), "wanted": msgspec.to_builtins(one.wanted), "deadline": deadline}
    return {**told, **named, "gap_ppm": one.gap_ppm, "well": one.well}
