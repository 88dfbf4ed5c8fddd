"""``dccd logs``: what ``dccd up`` wrote, or what a run said, to its end or as it goes on.

Belongs here: which lines, and following them. Does not: writing them (up.py; Dagster, of runs).
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from dccd_core.domain.errors import ConfigError
from dccd_pipeline.cli.options import lasting, told
from dccd_pipeline.cli.running import log_file
from dccd_pipeline.config.kept import dagster_home

_LINES: Final = 200
_LOOK_S: Final = 0.5


@click.command()
@click.argument("name", required=False, metavar="[RUN|NAME]")
@click.option(
    "-n", "--lines", type=click.IntRange(0), default=_LINES, show_default=True, help="So many, at most."
)
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until Ctrl-C or the run's end.")
@told
def logs(name: str | None, lines: int, follow: bool) -> None:
    """Print the last lines of dccd up, or of a run: by its id, or the last of a stream, an entry or a job."""
    settings = lasting()
    if name is None:
        for line in file_lines(log_file(dagster_home()), lines, follow=follow):
            click.echo(line)
        return
    from dccd_pipeline.cli.instance import existing_instance  # noqa: PLC0415 -- it brings Dagster
    from dccd_pipeline.cli.runlines import run_lines  # noqa: PLC0415

    with existing_instance() as instance:
        for line in run_lines(instance, settings, name, lines, follow=follow):
            click.echo(line)


def file_lines(file: Path, count: int, *, follow: bool = False, look_s: float = _LOOK_S) -> Iterator[str]:
    """Yield the last lines of a log, also from before it was begun anew; then, to follow, what comes.

    Raises:
        ConfigError: it is not there.
    """
    if not file.exists():
        raise ConfigError(f"{file} is not there: `dccd up` has not run here", hint="dccd up")
    lines, at = _read(file, 0)
    former = file.with_name(f"{file.name}.1")
    if len(lines) < count and former.exists():
        lines = _read(former, 0)[0] + lines
    yield from lines[len(lines) - min(count, len(lines)) :]
    node = file.stat().st_ino
    while follow:
        time.sleep(look_s)
        if file.exists() and file.stat().st_ino != node:  # begun anew
            yield from _read(former, at)[0] if former.exists() else ()
            at, node = 0, file.stat().st_ino
        new, at = _read(file, at)
        yield from new


def _read(file: Path, at: int) -> tuple[list[str], int]:
    """Return the whole lines of a file from a place on, and the place after them."""
    with file.open("rb") as opened:
        opened.seek(at)
        whole, end, _ = opened.read().rpartition(b"\n")
    return (whole.decode(errors="replace").split("\n") if end else []), at + len(whole + end)
