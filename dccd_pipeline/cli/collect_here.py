"""``dccd collect`` of one exchange: ticks of its entries, in Dagster runs of this process.

Belongs here: from chosen entries to orders, and what they come to. Does not: how an order runs (backfill.py).
"""

import sys
from collections.abc import Sequence
from typing import Final

import click
import dagster as dg

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import Us, moment
from dccd_core.lake.lake import LakeStore
from dccd_core.net.clock import SystemClock
from dccd_pipeline.answer.dataset import Known, dataset_status
from dccd_pipeline.assets.partitions import entry_partitions
from dccd_pipeline.assets.remembered import said_gone
from dccd_pipeline.cli.backfill import Order
from dccd_pipeline.cli.collect import Chosen
from dccd_pipeline.cli.instance import open_instance
from dccd_pipeline.cli.main import run_orders, show_plan
from dccd_pipeline.config.accepted import by_dataset
from dccd_pipeline.config.collect import Entry
from dccd_pipeline.config.settings import Settings
from dccd_pipeline.ticks.due import Found, find

_NAMED: Final = 3

Looked = tuple[Entry, list[Dataset], Found]
"""An entry, its datasets that are chosen, and what there is of all of them."""


def collect_here(settings: Settings, chosen: Chosen, *, dry_run: bool, tell: int | None) -> None:
    """Bring what is chosen up to date, or say what that would cost, and exit with how it went."""
    now = SystemClock().now()
    with open_instance() as instance:
        looked = look(chosen, settings.lake(), instance, now)
    ticks = tick_orders(looked, now)
    orders = planned_orders(ticks) if dry_run else [order for order, _ in ticks]
    wrong = left_alone(looked, [order.entry for order in orders])
    for line in wrong:
        click.echo(line, err=True)
    if not orders:
        exchanges = ", ".join(dict.fromkeys(entry.exchange for entry, _ in chosen))
        if lacking := not_up_to_date(settings, looked, now):
            names = ", ".join(map(str, lacking[:_NAMED])) + (" and more" if len(lacking) > _NAMED else "")
            click.echo(f"{exchanges}: nothing can be asked for now; `dccd status` says what lacks of {names}")
        else:
            click.echo(f"{exchanges}: {'everything else' if wrong else 'everything'} is up to date")
    elif dry_run:
        show_plan(settings, orders, as_json=False)
    else:
        run_orders(settings, orders, tell=tell, at_least=1 if wrong else 0)
    sys.exit(1 if wrong else 0)


def look(chosen: Chosen, lake: LakeStore, instance: dg.DagsterInstance, now: Us) -> list[Looked]:
    """Return what there is of each entry that is chosen, and what of it is due."""
    return [(entry, datasets, find(entry, lake, instance, now)) for entry, datasets in chosen]


def left_alone(looked: Sequence[Looked], run: Sequence[Entry]) -> list[str]:
    """Say what is chosen and not brought: files that vanished, and what cannot be read.

    ``run``: the entries whose runs say themselves what of them cannot be read.
    """
    lines = list[str]()
    for entry, datasets, found in looked:
        lines += [said_gone(one, keys) for one, keys in found.gone.items() if one in datasets]
        if entry not in run:
            lines += [f"{one}: {error}" for one, error in found.damaged if one in datasets]
    return lines


def not_up_to_date(settings: Settings, looked: Sequence[Looked], now: Us) -> list[Dataset]:
    """Return what is chosen and lacks something; what vanished or cannot be read is said elsewhere."""
    accepted = by_dataset(settings.accepted_gaps())
    lacking = list[Dataset]()
    for entry, datasets, found in looked:
        for dataset in datasets:
            states, gone = found.states.get(dataset), found.gone.get(dataset, ())
            if states is None or gone:
                continue
            how = dataset_status(
                entry, dataset, Known(states, accepted=accepted.get(str(dataset), ())), now, None
            )
            if how.gaps or how.behind or (how.wanted and not states):
                lacking.append(dataset)
    return lacking


def tick_orders(looked: Sequence[Looked], now: Us) -> list[tuple[Order, Found]]:
    """Return the ticks to run now, each with what it found; of what is up to date there is none.

    What others are built of is first, among equals what is lost soonest.
    """
    ticks = list[tuple[Order, Found]]()
    for entry, datasets, one in sorted(looked, key=lambda each: (each[0].turn, each[2].nearest)):
        due = {dataset: keys for dataset in datasets if (keys := one.due.get(dataset))}
        wanted = sorted(key for keys in due.values() for key in keys)
        if wanted:
            keys = entry_partitions(entry).get_partition_keys(current_time=moment(now))
            among = tuple(key for key in keys if wanted[0] <= key <= wanted[-1])
            ticks.append((Order(entry, tuple(due), among, catch_up=True), one))
    return ticks


def planned_orders(ticks: Sequence[tuple[Order, Found]]) -> list[Order]:
    """Return what there is to estimate of such ticks: each dataset with what it lacks."""
    return [
        Order(order.entry, (dataset,), tuple(one.due[dataset]))
        for order, one in ticks
        for dataset in order.datasets
        if not order.entry.depth and not order.entry.derive_from
    ]
