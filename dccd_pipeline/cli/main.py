"""The commands of ``dccd`` that need Dagster: options in, exit code out. The work is done elsewhere.

Exit codes: 0 all is well; 1 it ran, but the data is not complete or not right; 2 it cannot be done like this;
130 it was told to stop, and did.
"""

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from dccd_core.domain.errors import ConfigError
from dccd_core.domain.timespan import DAY, Us
from dccd_core.lake.lake import LakeStore
from dccd_core.net.clock import SystemClock
from dccd_pipeline.build import silent
from dccd_pipeline.cli import render
from dccd_pipeline.cli.backfill import Order, Result, due_of, orders_of, pace, plan, run_order
from dccd_pipeline.cli.instance import open_instance
from dccd_pipeline.cli.lazy import main
from dccd_pipeline.cli.options import STOPPED, Moment, configured, dataset_of, dataset_options, told
from dccd_pipeline.cli.stored import show_inventory
from dccd_pipeline.config.settings import Settings


@main.command()
@click.argument("exchange")
@click.argument("symbols", nargs=-1, required=True)
@dataset_options
@click.option("--start", type=Moment(), help="First moment wanted, UTC: 2024-01-31, 2024-01, 7d, origin.")
@click.option("--end", type=Moment(), help="First moment not wanted any more, UTC. Without it: now.")
@click.option("--days", type=click.IntRange(1), help="Instead of --start: so many days back.")
@click.option("--dry-run", is_flag=True, help="Say what it would cost; store nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@told
def backfill(
    exchange: str,
    symbols: tuple[str, ...],
    data_type: str,
    span: str | None,
    start: Us | None,
    end: Us | None,
    days: int | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Fill [start, end) of one symbol or more, in a recorded Dagster run.

    What is there is not asked for again. Without a start, from the one in the configuration.
    Exit code 0 only when all of it is complete.
    """
    settings = configured()
    if days and start is not None:
        raise ConfigError("--days and --start exclude each other", hint="keep one of the two")
    start = Us(SystemClock().now() - days * DAY) if days else start
    datasets = list(dict.fromkeys(dataset_of(exchange, symbol, data_type, span) for symbol in symbols))
    orders = orders_of(settings, datasets, start, end)
    if dry_run:
        show_plan(settings, orders, as_json=as_json)
    else:
        run_orders(settings, orders, as_json=as_json)


def run_orders(
    settings: Settings,
    orders: Sequence[Order],
    *,
    as_json: bool = False,
    tell: int | None = None,
    at_least: int = 0,
) -> None:
    """Run one order after the other, say what came of each, and exit: with ``at_least`` that code."""
    codes, size = [at_least], 0
    due = {job: spans for order in orders for job, spans in due_of(settings, order).items()}
    with open_instance() as instance, render.FillProgress(due, tell=tell) as progress:
        for order in orders:
            result = run_order(settings, order, instance, progress)
            progress.finish(result.conditions)
            size += result.bytes
            with progress.hidden():
                _show_result(result, as_json=as_json)
            codes.append(_exit_code(result, tick=order.catch_up))
            if result.stopped:
                break
    if not as_json:
        render.closing(progress, settings.store, size)
    sys.exit(max(codes))


def _exit_code(result: Result, *, tick: bool) -> int:
    if result.stopped:
        return STOPPED
    return 0 if result.complete or (tick and result.succeeded) else 1


def show_plan(settings: Settings, orders: Sequence[Order], *, as_json: bool) -> None:
    found = asyncio.run(plan(settings, orders))
    partitions = sum(len(order.keys) * len(order.datasets) for order in orders)
    per_minute = pace(settings, orders[0].datasets[0])
    if as_json:
        minutes = found.weight / per_minute
        click.echo(json.dumps(asdict(found) | {"partitions": partitions, "minutes": minutes}))
    else:
        render.plan(found, partitions, per_minute)


def _show_result(result: Result, *, as_json: bool) -> None:
    if as_json:
        partitions = {
            f"{dataset} {key}": condition for (dataset, key), condition in result.conditions.items()
        }
        told = {"run_id": result.run_id, "failure": result.failure, "stopped": result.stopped}
        click.echo(json.dumps(told | {"partitions": partitions}))
        return
    render.conditions(result.job, result.conditions)
    if result.stopped:
        click.echo("stopped; what was fetched is stored: run it again for the rest", err=True)
    if result.failure:
        click.echo(result.failure, err=True)


@main.command()
@told
def demo() -> None:
    """Collect from every exchange of the sandbox in real Dagster runs, then show the inventory. Offline.

    The last line is the path of a page that shows it, to be opened in a browser.
    """
    from dccd_pipeline.cli.demo import HOME, STORE, demo_page, demo_wanted  # noqa: PLC0415 -- it brings the sandbox
    from dccd_pipeline.cli.demo import demo as run_demo  # noqa: PLC0415

    succeeded = True
    with open_instance(Path(HOME).absolute()) as instance:
        for result in run_demo(instance, silent):
            _show_result(result, as_json=False)
            succeeded = succeeded and result.succeeded
        show_inventory(LakeStore(STORE), wanted=demo_wanted(), as_json=False)
        found, page = demo_page(instance)
    click.echo(f"{found.verdict}\n{page}")
    sys.exit(0 if succeeded else 1)
