"""The job ``reconcile`` and its daily schedule: what is stored is held against what others say of it.

Belongs here: of which datasets, and what a run tells. Does not: comparing (dccd_core.bars.reconcile).
See https://docs.dagster.io/guides/build/jobs
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import dagster as dg

from dccd_core.bars.reconcile import Reconciled, reconcile_live, reconcile_with_trades
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import DccdError
from dccd_core.exchanges import get
from dccd_core.fetch.outage import name_outages
from dccd_core.lake.lake import LakeStore, State
from dccd_core.lake.layout import StreamKey
from dccd_core.lake.live.tail import TailView
from dccd_core.net.clock import Clock, SystemClock
from dccd_pipeline.assets.agrees import agreement
from dccd_pipeline.assets.changed import tell_checks
from dccd_pipeline.assets.failures import plain_failures
from dccd_pipeline.config.settings import Settings
from dccd_pipeline.resources import LakeResource, Venues
from dccd_pipeline.runs.stops import ends_as_canceled, run_stoppable

JOB: Final = "reconcile"
SCHEDULE: Final = f"{JOB}_schedule"
_DAILY: Final = "10 4 * * *"
_LINES: Final = 50
"""So many lines of one kind stand in a run's log; each is an event."""
_Held = dict[Dataset, dict[str, State]]


def reconcile_job(settings: Settings, clock: Clock | None = None) -> dg.JobDefinition:
    """Return the job that asks again for a sample of what streams recorded, and holds bars against trades."""
    datasets, requests = configured(settings), settings.reconcile.requests
    clock = clock or SystemClock()

    @dg.op(name="compare", description="Asks again for a sample of live rows; holds bars against trades.")
    def compare(context: dg.OpExecutionContext, lake: LakeResource, venues: Venues) -> None:
        async def work() -> None:
            held, unread = await asyncio.to_thread(_held, store, datasets)
            done, away = await _with_trades(store, held, clock), list[str]()
            for name, its in by_exchange(held).items():
                away += await asyncio.to_thread(_outages, store, name, its)
                if requests and get(name).closed is None:  # nobody answers there
                    done += await _with_venue(store, venues, name, its, requests)
            _tell(context, done, [*unread, *away])

        store = lake.open()
        with ends_as_canceled(context.instance, context.run_id), plain_failures():
            run_stoppable(work(), context.instance, context.run_id)
            tell_checks(context, agreement(store, datasets))

    told = "Holds what is stored against what others say of it: reconcile of dccd.yaml. Nothing is changed."

    @dg.job(name=JOB, description=told)
    def reconcile() -> None:
        compare()

    return reconcile


def reconcile_schedule(*, running: bool) -> dg.ScheduleDefinition:
    """Return the schedule of that job, daily; ``running``: it is on before anybody touches it."""
    return dg.ScheduleDefinition(
        name=SCHEDULE,
        job_name=JOB,
        cron_schedule=_DAILY,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING if running else dg.DefaultScheduleStatus.STOPPED,
        description="Holds what is stored against what others say of it each night.",
    )


def configured(settings: Settings) -> list[Dataset]:
    """Return what is collected and recorded, each once."""
    entries = [*settings.collect, *(entry for entry in settings.stream if entry.enabled)]
    return sorted({dataset for entry in entries for dataset in entry.datasets}, key=str)


def by_exchange(held: _Held) -> dict[str, _Held]:
    """Sort datasets by their exchange."""
    found = dict[str, _Held]()
    for dataset, states in held.items():
        found.setdefault(dataset.exchange, {})[dataset] = states
    return found


def _held(lake: LakeStore, datasets: Sequence[Dataset]) -> tuple[_Held, list[str]]:
    """Return what file and tail know of each dataset, and why some cannot be read."""
    tails, found, unread = dict[StreamKey, TailView](), _Held(), list[str]()
    for dataset in datasets:
        family = StreamKey.of(dataset)
        try:
            if family not in tails:
                tails[family] = lake.tail(dataset).read()
            found[dataset] = lake.all_known(dataset, tails[family])
        except DccdError as e:
            unread.append(f"{dataset}: {e}")
    return found, unread


def _outages(lake: LakeStore, name: str, held: _Held) -> list[str]:
    """Have the outages of an exchange named in its ledgers, and say so."""
    try:
        done = name_outages(lake, held)
    except DccdError as e:
        return [f"{name}: nobody can say whether it was away: {e}"]
    return [f"{dataset} {key}: {get(name).title} was away: its holes are named so" for dataset, key in done]


async def _with_trades(lake: LakeStore, held: _Held, clock: Clock) -> list[Reconciled]:
    now, done = clock.now(), list[Reconciled]()
    for dataset, states in held.items():
        try:
            one = await asyncio.to_thread(reconcile_with_trades, lake, dataset, states, now)
        except DccdError as e:
            one = Reconciled(dataset, "the stored trades", why=str(e))
        done += [one] if one else []
    return done


async def _with_venue(
    lake: LakeStore, venues: Venues, name: str, held: Mapping[Dataset, Mapping[str, State]], most: int
) -> list[Reconciled]:
    try:
        async with venues.connect(name) as venue:
            return await reconcile_live(venue, lake, held, most)
    except DccdError as e:  # what is stored stands on its own: that nobody confirms it is no failure
        return [Reconciled(dataset, get(name).title, why=str(e)) for dataset in held]


def _tell(context: dg.OpExecutionContext, done: Sequence[Reconciled], others: Sequence[str]) -> None:
    differ = [f"{_said(one)}, {one.diff.differ:,} differ" for one in done if one.diff.differ]
    for line in _first([*others, *differ]):
        context.log.warning("%s", line)
    for line in _first(
        [f"{one.dataset}: not held against {one.against}: {one.why}" for one in done if one.why]
    ):
        context.log.info("%s", line)
    numbers = {
        "datasets": len({one.dataset for one in done if one.diff.compared}),
        "compared": sum(one.diff.compared for one in done),
        "differ": sum(one.diff.differ for one in done),
        "requests": sum(one.requests for one in done),
        "left_out": sum(bool(one.why) for one in done),
    }
    context.log.info("%s", ", ".join(f"{name} {count:,}" for name, count in numbers.items()))
    context.add_output_metadata(numbers)


def _said(one: Reconciled) -> str:
    return f"{one.dataset}: {one.diff.compared:,} rows held against {one.against}"


def _first(lines: Sequence[str]) -> Iterator[str]:
    yield from lines[:_LINES]
    if len(lines) > _LINES:
        yield f"... and {len(lines) - _LINES} more"
