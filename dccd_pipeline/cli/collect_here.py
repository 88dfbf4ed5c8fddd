"""``dccd collect`` of one exchange: ticks of its entries, in Dagster runs of this process.

Belongs here: from chosen entries to orders, and what they come to. Does not: how an order runs (backfill.py).
"""

from collections.abc import Sequence

import click
import dagster as dg

from dccd_core.domain.timespan import Us, moment
from dccd_core.lake.lake import LakeStore
from dccd_core.net.clock import SystemClock
from dccd_pipeline.assets.partitions import entry_partitions
from dccd_pipeline.cli.backfill import Order
from dccd_pipeline.cli.collect import Chosen
from dccd_pipeline.cli.instance import open_instance
from dccd_pipeline.cli.main import run_orders, show_plan
from dccd_pipeline.config.settings import Settings
from dccd_pipeline.ticks.due import Found, find


def collect_here(settings: Settings, chosen: Chosen, *, dry_run: bool, tell: int | None) -> None:
    """Bring what is chosen up to date, or say what that would cost, and exit with how it went."""
    now = SystemClock().now()
    with open_instance() as instance:
        orders = (planned_orders if dry_run else _orders)(chosen, settings.lake(), instance, now)
    if not orders:
        exchanges = dict.fromkeys(entry.exchange for entry, _ in chosen)
        click.echo(f"{', '.join(exchanges)}: everything is up to date")
    elif dry_run:
        show_plan(settings, orders, as_json=False)
    else:
        run_orders(settings, orders, tell=tell)


def _orders(chosen: Chosen, lake: LakeStore, instance: dg.DagsterInstance, now: Us) -> Sequence[Order]:
    return tick_orders(chosen, lake, instance, now)[0]


def tick_orders(
    chosen: Chosen, lake: LakeStore, instance: dg.DagsterInstance, now: Us
) -> tuple[list[Order], list[Found]]:
    """Return the ticks to run now, and what each found; of what is up to date there is none.

    What others are built of is first, among equals what is lost soonest.
    """
    orders, found = list[Order](), list[Found]()
    looked = [(entry, datasets, find(entry, lake, instance, now)) for entry, datasets in chosen]
    for entry, datasets, one in sorted(looked, key=lambda each: (each[0].turn, each[2].nearest)):
        due = {dataset: keys for dataset in datasets if (keys := one.due.get(dataset))}
        wanted = sorted(key for keys in due.values() for key in keys)
        if wanted:
            keys = entry_partitions(entry).get_partition_keys(current_time=moment(now))
            among = tuple(key for key in keys if wanted[0] <= key <= wanted[-1])
            orders.append(Order(entry, tuple(due), among, catch_up=True))
            found.append(one)
    return orders, found


def planned_orders(chosen: Chosen, lake: LakeStore, instance: dg.DagsterInstance, now: Us) -> list[Order]:
    """Return what there is to estimate of such ticks: each dataset with what it lacks."""
    orders, found = tick_orders(chosen, lake, instance, now)
    return [
        Order(order.entry, (dataset,), tuple(one.due[dataset]))
        for order, one in zip(orders, found, strict=True)
        for dataset in order.datasets
        if not order.entry.depth and not order.entry.derive_from
    ]
