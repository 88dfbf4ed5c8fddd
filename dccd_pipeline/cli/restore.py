"""``dccd restore``: partitions that are held elsewhere are brought back, all of a dataset or a part of it.

Belongs here: options in, exit code out, what is printed. Does not: bringing back (dccd_core.keep).
"""

import click

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import ConfigError
from dccd_core.domain.sizes import counted
from dccd_core.domain.timespan import TimeRange, Us
from dccd_core.lake.lake import LakeStore
from dccd_pipeline.cli.options import Moment, told
from dccd_pipeline.config.read import load_settings


@click.command("restore")
@click.argument("name", metavar="DATASET")
@click.option("--start", type=Moment(), help="First moment wanted, UTC.")
@click.option("--end", type=Moment(), help="First moment not wanted any more, UTC.")
@told
def restore_command(name: str, start: Us | None, end: Us | None) -> None:
    """Bring back what remotes hold of DATASET, which is named as `dccd inventory` prints it.

    That is what was purged, and what merely vanished here. Each file is verified before it counts;
    `purge.keep_free` stays free.
    """
    settings, dataset = load_settings(), Dataset.parse(name)
    if not settings.remotes:
        raise ConfigError("there is no remote that could hold anything", hint="add one under remotes:")
    lake = settings.lake()
    wanted = TimeRange(Us(0) if start is None else start, Us(2**63 - 1) if end is None else end)
    keys = settings.restorer(lake, lambda line: click.echo(line, err=True)).restore(dataset, wanted)
    if keys:
        click.echo(f"{dataset}: {counted(len(keys), 'partition')} here again")
    else:
        held_dataset(lake, name)
        click.echo(f"{dataset}: nothing of that time is held elsewhere only")


def held_dataset(lake: LakeStore, name: str) -> Dataset:
    """Return a dataset that the lake knows.

    Raises:
        ConfigError: it knows none of this name; with some that it does.
    """
    dataset = Dataset.parse(name)
    if not lake.holds(dataset):
        known = [str(one) for one in lake.datasets() if one.exchange == dataset.exchange]
        there = f"it holds {', '.join(known[:5])}" if known else "see dccd inventory"
        raise ConfigError(f"the lake holds nothing of {name}", hint=there)
    return dataset
