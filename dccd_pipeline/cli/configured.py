"""``dccd config``: is dccd.yaml right, what may be in it. No Dagster, unless somebody must ask for the cost.

Belongs here: options in, exit code out. Does not: reading the file (config/).
"""

import asyncio
import json
from typing import Final

import click
import yaml

from dccd_core.domain.sizes import counted
from dccd_pipeline.cli.alerts import refuse_unknown
from dccd_pipeline.cli.options import configured, lasting, told
from dccd_pipeline.config.collect import is_unbounded
from dccd_pipeline.config.read import json_schema, typed_text
from dccd_pipeline.config.settings import Settings, off_lines
from dccd_pipeline.config.shown import shown

_WIDTH: Final = 110


@click.group()
def config() -> None:
    """The file dccd.yaml: --config, else $DCCD_CONFIG, else ./dccd.yaml, else the user's own one.

    The user's own one is $XDG_CONFIG_HOME/dccd/dccd.yaml. Where there is none, the embedded defaults count.
    """


@config.command()
@told
def check() -> None:
    """Check it; every mistake is one line that says where, what, and what to write instead."""
    settings = configured()
    if settings.alerts:
        refuse_unknown(settings.alerts)
    datasets = sum(len(entry.datasets) for entry in settings.collect)
    entries = counted(len(settings.collect), "entry", "entries")
    live = sum(len(entry.datasets) for entry in settings.stream)
    click.echo(f"{settings.source}: {entries}, {counted(datasets, 'dataset')}, all can be collected")
    if settings.stream:
        streams = counted(len(settings.stream), "stream")
        click.echo(f"{streams}, {counted(live, 'dataset')}, all can be recorded")
    for line in (*off_lines(settings), *_costs(settings)):
        click.echo(line)


def _costs(settings: Settings) -> list[str]:
    """Say what the entries without a start cost; where each has one, nobody need be asked."""
    if not any(is_unbounded(entry) for entry in settings.collect):
        return []
    from dccd_pipeline.assets.costs import unbounded_costs  # noqa: PLC0415 -- it brings Dagster
    from dccd_pipeline.cli.backfill import venues_of  # noqa: PLC0415

    return asyncio.run(unbounded_costs(settings, venues_of(settings)))


@config.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@told
def show(as_json: bool) -> None:
    """Print the effective one: what was left out is filled in. Secrets are not shown.

    A value that the environment gives is shown by the name of its variable.
    """
    settings = lasting()
    found = shown(settings, typed_text(settings))
    if as_json:
        click.echo(json.dumps(found))
    else:
        click.echo(yaml.safe_dump(found, sort_keys=False, allow_unicode=True, width=_WIDTH), nl=False)


@config.command()
def schema() -> None:
    """Print its JSON schema, for editors."""
    click.echo(json.dumps(json_schema(), indent=2))
