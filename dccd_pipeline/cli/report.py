"""``dccd report``: the answer as a page.

Belongs here: options in, exit code out. Does not: the page (answer/page.py).
"""

import sys
from pathlib import Path
from typing import Final

import click

from dccd_core.net.clock import SystemClock
from dccd_pipeline.answer.gather import answer
from dccd_pipeline.answer.reporting import CHARTS, written
from dccd_pipeline.build import stream_digests
from dccd_pipeline.cli.instance import existing_instance
from dccd_pipeline.cli.options import say_mistake, say_where, told
from dccd_pipeline.config.lastgood import load_lasting

_FILE: Final = Path("dccd-report.html")


@click.command()
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), default=Path("dccd-report.html"), help="The file."
)
@click.option("--charts", type=click.IntRange(0), default=CHARTS, help="How many datasets get a chart.")
@told
def report(output: Path, charts: int) -> None:
    """Write a page that says whether the lake is complete and right: one file, to be opened in a browser.

    The verdict, a calendar of each dataset, gaps with their reasons, prices, streams. Exit code as of status.
    """
    loaded = load_lasting()
    say_mistake(loaded)
    with existing_instance() as instance:
        found = answer(loaded, instance, stream_digests(loaded.settings), SystemClock())
    written(found, loaded.settings, output, charts)
    click.echo(f"{found.verdict}\n{output.absolute()}")
    say_where(loaded.settings)
    sys.exit(0 if found.well else 1)
