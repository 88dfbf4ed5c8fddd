"""``dccd import`` and ``dccd import-config``: what users of dccd 2 and 3 have, taken over. No Dagster.

Belongs here: options in, exit code out. Does not: taking over (dccd_core.imports), what a configuration
means (config/older.py).
"""

import json
import sys
from pathlib import Path

import click
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from dccd_core.domain.errors import ConfigError
from dccd_core.domain.sizes import counted
from dccd_core.imports.oldstore import open_old
from dccd_core.imports.report import DatasetReport, ImportReport
from dccd_core.imports.run import import_store
from dccd_core.net.clock import SystemClock
from dccd_pipeline.cli import render
from dccd_pipeline.cli.options import configured, told
from dccd_pipeline.config.older import Translated, translate
from dccd_pipeline.config.read import read_config


@click.command("import")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Say what would become of each row; store nothing.")
@click.option("--trust", multiple=True, metavar="DATASET", help="Count it as proven; again for more.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@told
def import_(path: Path, dry_run: bool, trust: tuple[str, ...], as_json: bool) -> None:
    """Take over a store of dccd 3: rows are checked, repaired, or refused.

    PATH is its data_path; nothing is written there. What the lake has stays as it is. Nothing that is taken
    over counts as proven: a backfill asks for it, and what the exchange answers takes its place.
    Exit code 0 only when all of the store is in the lake; what is not is named.
    """
    settings = configured()
    size = sum(file.size for one in open_old(path).datasets for file in one.files)
    with _progress() as bar:
        task, done = bar.add_task("", total=size), [0]

        def progress(name: str, bytes_: int) -> None:
            bar.update(task, description=name, completed=done[0])
            done[0] += bytes_

        report = import_store(
            path, settings.lake(), SystemClock().now(), trust=trust, dry_run=dry_run, progress=progress
        )
    if as_json:
        click.echo(json.dumps(report.to_builtins()))
    else:
        _show(report, settings.store)
    sys.exit(0 if report.whole else 1)


def _progress() -> Progress:
    columns = (BarColumn(bar_width=16), DownloadColumn(), TextColumn("{task.description}"))
    return Progress(*columns, console=render.ERR, disable=not sys.stderr.isatty(), transient=True)


def _show(report: ImportReport, store: str) -> None:
    head = ("dataset", "files", "rows", "taken", "known", "refused", "proven")
    rows = [
        (
            one.dataset,
            f"{one.files:,}",
            *(f"{count:,}" for count in (one.read, one.taken, one.known, sum(one.refused.values()))),
            "trusted" if one.trusted else "no",
        )
        for one in report.datasets
    ]
    would = "would be taken" if report.dry else "taken"
    render.table(f"{counted(len(rows), 'dataset')} {would} from {report.root}", head, rows, head[1:6])
    for one in report.datasets:
        for line in _lines(one):
            click.echo(line)
    for left in report.left_out:
        click.echo(f"{left.name}: {'ignored' if left.harmless else 'not taken'}: {left.why}")
    taken = [one.dataset for one in report.datasets if not one.trusted and one.taken + one.known]
    if taken and not report.dry:
        said = f"in {store}; {counted(len(taken), 'dataset')} not proven yet"
        click.echo(f"{said} -> dccd collect or dccd backfill proves it")


def _lines(one: DatasetReport) -> list[str]:
    """Say what was peculiar to a dataset."""
    told = [(count, f"repaired: {how}") for how, count in sorted(one.repaired.items())]
    told += [(count, f"refused: {why}") for why, count in sorted(one.refused.items())]
    said = [f"{one.dataset}: {counted(count, 'row')} {what}" for count, what in told]
    said += [f"{one.dataset}: note: {remark}" for remark in sorted(one.remarks)]
    said += [f"{one.dataset}: not taken: {why}" for why in sorted(one.damaged.values())]
    if one.aside:
        said.append(f"{one.dataset}: the refused rows are in {one.aside}")
    return said


@click.command("import-config")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="A new file, instead of the terminal.")
@told
def import_config(file: Path, output: Path | None) -> None:
    """Write the dccd.yaml that a configuration of dccd 2 or 3 means.

    What means nothing here is named, with the reason, one line each. Exit code 1 when something that was
    collected is not any more.
    """
    made = translate(read_config(file), SystemClock().now(), name=file.name)
    if output is None:
        click.echo(made.text, nl=False)
    else:
        _write(output, made.text)
    _show_translated(made)
    sys.exit(1 if made.lost else 0)


def _write(output: Path, text: str) -> None:
    try:
        with output.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError(
            f"{output} is there already", hint="name another file, or remove it first"
        ) from None
    except OSError as e:
        raise ConfigError(f"cannot write {output}: {e.strerror}", hint="choose another place") from e


def _show_translated(made: Translated) -> None:
    for place, why in made.dropped.items():
        click.echo(f"{place}: dropped: {why}", err=True)
    for place, said in made.notes.items():
        click.echo(f"{place}: {said}", err=True)
