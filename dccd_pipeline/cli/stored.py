"""``dccd read`` and ``dccd inventory``: they look at the lake alone, so they import no Dagster.

Belongs here: options in, exit code out. Does not: finding out (read.py, inventory.py), printing (render.py).
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Final

import click
import polars as pl

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import TimeRange, Us
from dccd_core.lake.lake import LakeStore
from dccd_core.net.clock import SystemClock
from dccd_pipeline.cli import render
from dccd_pipeline.cli.inventory import holdings
from dccd_pipeline.cli.options import Moment, dataset_of, dataset_options, lasting, told
from dccd_pipeline.cli.read import recorded_elsewhere, rows_of, write_rows
from dccd_pipeline.config.wanted import wanted_ever

_ALWAYS: Final = TimeRange(Us(0), Us(2**63 - 1))


@click.command()
@click.argument("exchange")
@click.argument("symbol")
@dataset_options
@click.option("--start", type=Moment(), help="First moment wanted, UTC.")
@click.option("--end", type=Moment(), help="First moment not wanted any more, UTC.")
@click.option("--no-restore", is_flag=True, help="Do not bring back what only remotes hold: name it.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="A .csv, .parquet or .json file.")
@told
def read(
    exchange: str,
    symbol: str,
    data_type: str,
    span: str | None,
    start: Us | None,
    end: Us | None,
    no_restore: bool,
    output: Path | None,
) -> None:
    """Read stored rows: a table on the terminal, or a file. JSON is one object a line.

    What was purged and is needed is brought back first, and a line says so.
    """
    dataset, settings = dataset_of(exchange, symbol, data_type, span), lasting()
    wanted = TimeRange(_ALWAYS.start if start is None else start, _ALWAYS.end if end is None else end)
    lake = settings.lake(lambda line: click.echo(line, err=True))
    streamed = any(dataset in entry.datasets for entry in settings.stream)
    if said := recorded_elsewhere(lake, dataset, streamed=streamed):
        click.echo(said, err=True)
    rows = rows_of(lake, dataset, wanted, restore=not no_restore)
    if output is None:
        with pl.Config(tbl_rows=20, tbl_cols=-1):
            click.echo(str(rows.collect(engine="streaming")))
    else:
        write_rows(rows, output)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@told
def inventory(as_json: bool) -> None:
    """Every stored dataset: rows, first, last, partitions, coverage, gaps, bytes.

    Exit code 1 when one of them cannot be read.
    """
    settings = lasting()
    wanted = wanted_ever(settings)
    sys.exit(0 if show_inventory(settings.lake(), settings.timezone, wanted, as_json=as_json) else 1)


def show_inventory(
    lake: LakeStore, zone: str = "UTC", wanted: Mapping[Dataset, TimeRange] | None = None, *, as_json: bool
) -> bool:
    """Print what a lake holds; tell whether all of it can be read. ``wanted``: as ``holdings``."""
    held = holdings(lake, SystemClock().now(), wanted)
    if as_json:
        click.echo(json.dumps([asdict(one) | {"dataset": str(one.dataset)} for one in held]))
    else:
        render.inventory(held, zone)
    return not any(one.damaged for one in held)
