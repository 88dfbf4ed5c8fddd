"""``dccd forget``: a dataset is removed on purpose, files and records, after saying what.

Belongs here: options in, exit code out, what is printed and asked. Does not: removing (dccd_core.keep).
"""

import click
from rich.filesize import decimal

from dccd_core.bars.differences import forget_differences
from dccd_core.domain.sizes import counted
from dccd_core.keep.forget import forget, what_there_is
from dccd_pipeline.cli.options import told
from dccd_pipeline.cli.restore import held_dataset
from dccd_pipeline.config.kept import dagster_home
from dccd_pipeline.config.read import load_settings


@click.command("forget")
@click.argument("name", metavar="DATASET")
@click.option("--yes", is_flag=True, help="Do it without asking.")
@told
def forget_command(name: str, yes: bool) -> None:
    """Remove all of DATASET from the lake: files, records of what remotes hold, quarantine.

    What remotes and pins hold stays there. It says what goes, and asks.
    """
    settings = load_settings()
    lake = settings.lake()
    dataset = held_dataset(lake, name)
    held = what_there_is(lake, dataset)
    first, last = held.keys[0], held.keys[-1]
    which = first if first == last else f"{first} to {last}"
    what = f"{counted(len(held.keys), 'partition')}, {which}, {counted(held.rows, 'row')}"
    click.echo(f"{dataset}: {what}, {decimal(held.bytes)} here")
    if held.elsewhere:
        remotes = ", ".join(held.remotes)
        click.echo(f"{held.elsewhere:,} of them are held elsewhere only, by {remotes}: that stays there")
    for entry in settings.collect:
        if dataset in entry.datasets:
            click.echo(f"{entry.name} collects it: its next tick downloads it again -> take it out first")
    if not yes and not click.confirm("remove it for good?"):
        raise click.Abort
    count = forget(lake, dataset)
    forget_differences(lake, dataset)
    if dagster_home().exists():
        from dccd_pipeline.cli.instance import open_instance  # noqa: PLC0415 -- Dagster takes a second
        from dccd_pipeline.keep.forget import forget_in_dagster  # noqa: PLC0415

        with open_instance() as instance:
            forget_in_dagster(instance, dataset, lake.identity())
    click.echo(f"{dataset}: {counted(count, 'partition')} removed")
