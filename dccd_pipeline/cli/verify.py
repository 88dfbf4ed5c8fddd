"""``dccd verify``: what is stored is read again, and held against what it should be.

Belongs here: options in, exit code out. Does not: finding out (dccd_core.keep.pins).
"""

import json
import sys

import click

from dccd_core.domain.timespan import iso
from dccd_core.keep.pins import Pins, Verdict
from dccd_pipeline.cli import render
from dccd_pipeline.cli.options import lasting, told
from dccd_pipeline.cli.pin import as_builtins, said


@click.command()
@click.option("--pin", "name", metavar="NAME", required=True, help="The pin to read again.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@told
def verify(name: str, as_json: bool) -> None:
    """Prove that a pin is what it was, and say what changed in the lake since.

    Every row of the pin is read again. Exit code 0 when the pin is intact, whatever became of the lake; 1
    when it is not.
    """
    verdict = Pins(lasting().lake()).verify(name)
    if as_json:
        click.echo(json.dumps(_as_builtins(verdict)))
    else:
        _show(verdict)
    sys.exit(1 if verdict.damage else 0)


def _show(verdict: Verdict) -> None:
    pin = verdict.pin
    click.echo(said(pin))
    for line in verdict.damage:
        click.echo(f"damaged: {line}")
    if not verdict.damage:
        click.echo(f"intact: all rows are those of {iso(pin.made)}, hash {pin.hash}")
    for (dataset, key), what in verdict.changes.items():
        click.echo(f"changed in the lake: {dataset} {key}: {what}")
    for dataset, key in verdict.new:
        click.echo(f"new in the lake: {dataset} {key}")
    click.echo(
        f"the lake still has {verdict.same:,} of {render.counted(len(pin.files), 'partition')} as pinned"
    )


def _as_builtins(verdict: Verdict) -> dict[str, object]:
    return {
        **as_builtins(verdict.pin),
        "intact": not verdict.damage,
        "damage": list(verdict.damage),
        "same": verdict.same,
        "changed": {f"{dataset} {key}": what for (dataset, key), what in verdict.changes.items()},
        "new": [f"{dataset} {key}" for dataset, key in verdict.new],
    }
