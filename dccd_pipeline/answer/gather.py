"""The whole answer: every configured dataset, what is around them, and what else the lake holds.

Belongs here: reading lake and Dagster's storage once. Does not: judging (dataset.py), printing (cli).
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import dagster as dg

from dccd_core.bars.differences import Known as Difference
from dccd_core.bars.differences import known_differences, said_differences
from dccd_core.domain.barspan import format_bar_span
from dccd_core.domain.dataset import Dataset, partition_span
from dccd_core.domain.errors import LakeError
from dccd_core.domain.sizes import counted
from dccd_core.domain.timespan import DAY, Us, iso, moment
from dccd_core.lake.lake import LakeStore, State
from dccd_core.lake.readable import readable
from dccd_core.net.clock import Clock
from dccd_core.quality.deadline import Safety
from dccd_core.stream.api import Phase
from dccd_pipeline.answer import around
from dccd_pipeline.answer.dataset import DatasetStatus, Known, dataset_status
from dccd_pipeline.answer.remotes import remote_problems
from dccd_pipeline.assets.checks import BY_ROWS
from dccd_pipeline.assets.partitions import entry_partitions
from dccd_pipeline.assets.remembered import (
    Findings,
    read_findings,
    read_held,
    read_stores,
    said_gone,
    vanished,
)
from dccd_pipeline.config.accepted import by_dataset
from dccd_pipeline.config.collect import Entry
from dccd_pipeline.config.kept import dagster_home
from dccd_pipeline.config.lastgood import Loaded
from dccd_pipeline.config.read import EMBEDDED
from dccd_pipeline.config.settings import Settings, off_lines
from dccd_pipeline.runs.instigators import stopped
from dccd_pipeline.runs.outbox import refusing_lines
from dccd_pipeline.streams.status import RunState, StreamState, run_states, stream_states
from dccd_pipeline.ticks.memory import read_memory
from dccd_pipeline.ticks.perishing import perishables

_ENDED: Final = Us(2 * DAY)
"""What has been wanted until then only has an end: how far it is proven says nothing of the others."""


_NO_FILE: Final = "there is no dccd.yaml: these are examples, nothing is collected by itself -> `dccd init`"


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether a lake is complete and right.

    ``verdict``: in words. ``problems``: all that is wrong, a line each, with what helps. ``notes``: what is
    worth knowing, and wrong with nothing. ``unnamed``: a line for ``dccd.yaml`` for each dataset that the
    lake holds and it does not name.
    """

    at: Us
    verdict: str
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    datasets: tuple[DatasetStatus, ...]
    streams: tuple[StreamState, ...]
    runs: tuple[RunState, ...]
    unnamed: tuple[str, ...]
    gone: tuple[str, ...] = ()
    failing: tuple[str, ...] = ()
    states: Mapping[Dataset, Mapping[str, State]] = field(
        default_factory=dict[Dataset, Mapping[str, State]], repr=False
    )
    """Of each dataset that the lake holds, as file and tail say."""

    @property
    def well(self) -> bool:
        return not self.problems


@dataclass(slots=True)
class _Lake:
    """What was read of the lake: states by dataset, and why one cannot be read."""

    states: dict[Dataset, dict[str, State]] = field(default_factory=dict[Dataset, dict[str, State]])
    damage: dict[Dataset, str] = field(default_factory=dict[Dataset, str])
    differ: dict[Dataset, list[Difference]] = field(default_factory=dict[Dataset, list[Difference]])
    """What is known to differ from another source."""


@dataclass(frozen=True, slots=True)
class _Found:
    """What is known when an entry is looked at. ``comes``: when its schedule does, None: it does not."""

    read: _Lake
    store: str | None
    now: Us
    comes: Us | None


def answer(loaded: Loaded, instance: dg.DagsterInstance, digests: Mapping[str, str], clock: Clock) -> Answer:
    """Look at all that is configured. ``digests``: of the streams that are to be recorded, by name."""
    settings, now = loaded.settings, clock.now()
    lake = settings.lake()
    store = lake.identity()
    read, off = _read(lake, settings), stopped(instance)
    by_itself = settings.source != EMBEDDED
    datasets = list[DatasetStatus]()
    for entry in settings.collect:
        comes = around.next_tick(entry, now, off) if by_itself else None
        datasets += _of_entry(entry, settings, instance, _Found(read, store, now, comes))
    streams, runs = stream_states(instance, digests, clock), run_states(instance)
    gone = [line for one in datasets for line in one.problems if ": gone: " in line]
    enabled = {entry.name for entry in settings.stream if entry.enabled}
    exchanges = {entry.exchange for entry in (*settings.collect, *settings.stream)}
    told = {
        job for entry in settings.collect for job in (entry.tick, entry.name) if _said_of(entry, datasets)
    }
    told |= {one.name for one in streams}
    problems = [
        *([] if by_itself else [_NO_FILE]),
        *(
            [f"{loaded.mistake} -> mend it; the last good configuration is used instead"]
            if loaded.mistake
            else []
        ),
        *([loaded.unkept] if loaded.unkept else []),
        *(line for one in datasets for line in one.problems),
        *(line for dataset, line in read.damage.items() if dataset not in {one.dataset for one in datasets}),
        *_recorded_perishing(settings, lake, now),
        *_recorded_differ(settings, read),
        *_other_store(settings, instance, store, datasets),
        *around.stopped_schedules(settings, off),
        *remote_problems(settings, lake, now),
        *around.stream_problems(streams, enabled),
        *around.failed_jobs(runs, told),
        *around.shut_budgets(settings, exchanges, clock),
        *around.full_disks(_places(settings), _least_free(settings)),
        *refusing_lines(settings.alerts, instance),
    ]
    notes = [*off_lines(settings), *around.stopped_helpers(off), *_paused(streams)]
    scheduled = enabled or (by_itself and any(entry.scheduled for entry in settings.collect))
    if scheduled and (said := around.no_daemon(instance, now)):
        (problems or notes).append(said)
    return Answer(
        at=now,
        verdict=_verdict(datasets, streams, problems, now),
        problems=tuple(problems),
        notes=tuple(notes),
        datasets=tuple(datasets),
        streams=tuple(streams),
        runs=tuple(runs),
        unnamed=tuple(_unnamed(settings, read.states)),
        states=read.states,
        gone=tuple(gone),
        failing=tuple(line for one in datasets for line in one.problems if ": fails since " in line),
    )


def _read(lake: LakeStore, settings: Settings) -> _Lake:
    """Read all states at once; where one file is damaged, dataset by dataset."""
    named = {dataset: entry for entry in settings.collect for dataset in entry.datasets}
    states, damaged = readable(lake.known_inventory, lake.datasets, lake.all_known)
    found = _Lake(states)
    left = [dataset for dataset in named if dataset not in {*states, *damaged}]
    tails = {entry.name: lake.tail(entry.datasets[0]).read() for entry in settings.collect} if left else {}
    for dataset in left:
        try:
            found.states[dataset] = lake.all_known(dataset, tails[named[dataset].name])
        except LakeError as e:
            damaged[dataset] = e
    found.damage = {dataset: f"{dataset}: {e}" for dataset, e in damaged.items()}
    recorded = [dataset for entry in settings.stream for dataset in entry.datasets]
    found.differ = known_differences(lake, sorted({*named, *recorded}, key=str))
    return found


def _of_entry(
    entry: Entry, settings: Settings, instance: dg.DagsterInstance, of: "_Found"
) -> Iterator[DatasetStatus]:
    read, store, now = of.read, of.store, of.now
    keys = entry_partitions(entry).get_partition_keys(current_time=moment(now))
    memory = read_memory(instance, store, entry.name)
    held = read_held(instance, entry.datasets, store, keys)
    found = read_findings(instance, entry.datasets, store)
    accepted = by_dataset(settings.accepted_gaps())
    streamed = {dataset for one in settings.stream if one.enabled for dataset in one.datasets}
    for dataset in entry.datasets:
        states = read.states.get(dataset, {})
        # Of a dataset with a damaged file no state is known, but which files there are.
        in_files = [key for key, state in states.items() if state.content_hash]
        stored = settings.lake().keys(dataset) if dataset in read.damage else in_files
        gone = vanished(held.get(dataset, ()), stored, keys)
        known = Known(
            states=states,
            gone=gone,
            failing=memory.troubled.get(str(dataset)),
            damage=read.damage.get(dataset, ""),
            found=[said_gone(dataset, gone).removeprefix(f"{dataset}: ")] if gone else [],
            accepted=accepted.get(str(dataset), ()),
            streamed=dataset in streamed,
            differ=len(read.differ.get(dataset, ())),
        )
        checked = [*known.found, *_found_lines(found.get(dataset, {})), *_differ_lines(dataset, read)]
        yield dataset_status(entry, dataset, _with_found(known, checked), now, of.comes)


def _with_found(known: Known, lines: Sequence[str]) -> Known:
    return replace(known, found=tuple(lines))


def _found_lines(found: Findings) -> Iterator[str]:
    """Say what the checks found in rows; what ledgers tell is told by them."""
    for key, promises in sorted(found.items()):
        for promise, texts in promises.items():
            if promise in BY_ROWS or promise not in ("quarantine", "complete"):
                yield f"{key} is not right ({promise}: {texts[0]}) -> `dccd verify` reads it again"


def _differ_lines(dataset: Dataset, read: _Lake) -> Iterator[str]:
    if known := read.differ.get(dataset):
        yield f"{said_differences(known)} -> `dccd diff {dataset}` shows them"


def _recorded_differ(settings: Settings, read: _Lake) -> Iterator[str]:
    """Say what differs of what streams alone record."""
    collected = {dataset for entry in settings.collect for dataset in entry.datasets}
    for dataset in sorted(read.differ.keys() - collected, key=str):
        yield from (f"{dataset}: {line}" for line in _differ_lines(dataset, read))


def _recorded_perishing(settings: Settings, lake: LakeStore, now: Us) -> Iterator[str]:
    """Say what is lost of what streams alone record, or about to be."""
    accepted = by_dataset(settings.accepted_gaps())
    for one in perishables(settings):
        for dataset, known in one.deadlines(lake, now, accepted).items() if one.entry is None else ():
            if known.safety is not Safety.SAFE and known.since is not None:
                yield f"{dataset}: {known} -> see what `dccd logs {one.name}` says"


def _other_store(
    settings: Settings, instance: dg.DagsterInstance, store: str | None, datasets: Sequence[DatasetStatus]
) -> Iterator[str]:
    """Say so where nothing was collected because the configuration names another store than before."""
    before = [url for name, url in read_stores(instance).items() if name != store]
    if before and any(not one.rows for one in datasets):
        yield (
            f"the store {settings.store} is not the one that was filled before, {before[-1]} "
            "-> set `store:` back, or let all of it be collected again"
        )


def _said_of(entry: Entry, datasets: Sequence[DatasetStatus]) -> bool:
    return any(one.entry == entry.name and one.error for one in datasets)


def _places(settings: Settings) -> dict[str, Path]:
    store = {} if "://" in settings.store else {"the store": Path(settings.store)}
    return {**store, "Dagster's storage": dagster_home()}


def _least_free(settings: Settings) -> int:
    """Return below how many free bytes a disk is nearly full: as alerts tell it, both say the same."""
    return settings.alerts.low_disk if settings.alerts else around.LEAST_FREE


def _paused(streams: Sequence[StreamState]) -> list[str]:
    return [f"{one.name}: paused by a user: {', '.join(one.paused)}" for one in streams if one.paused]


def _verdict(
    datasets: Sequence[DatasetStatus], streams: Sequence[StreamState], problems: Sequence[str], now: Us
) -> str:
    if not datasets and not streams and not problems:
        return "nothing is configured: dccd.yaml names no dataset"
    if not problems:
        going_on = [one for one in datasets if one.wanted and one.wanted.end > now - _ENDED]
        until = min((one.until for one in going_on or datasets if one.until is not None), default=None)
        proven = f", proven at least until {iso(until)}" if until is not None else ""
        are = "dataset is" if len(datasets) == 1 else "datasets are"
        return f"all is well: {len(datasets):,} {are} complete{proven}{_said_live(streams)}"
    ill = [one for one in datasets if not one.well]
    kinds = Counter(_kind(one) for one in ill)
    said = [f"{count} {kind}" for kind, count in kinds.most_common()]
    of = f"{len(ill)} of {len(datasets)} datasets ({', '.join(said)})" if ill else ""
    others = len(problems) - sum(len(one.problems) for one in ill)
    more = f"{others} {'thing' if others == 1 else 'things'} around them" if others else ""
    return "not well: " + " and ".join(part for part in (of, more) if part)


def _said_live(streams: Sequence[StreamState]) -> str:
    """Say how many streams record by now: one that gets ready or is paused does not."""
    if not streams:
        return ""
    count = sum(one.state == Phase.RECORDING for one in streams)
    which = counted(count, "stream") if count == len(streams) else f"{count} of {len(streams)} streams"
    return f"; {which} record{'s' if count == 1 else ''}"


def _kind(one: DatasetStatus) -> str:
    if one.error:
        return "failing"
    if one.until is None and not one.rows:
        return "never collected"
    if one.behind:
        return "behind"
    return "with gaps" if one.gaps else "with something wrong"


def _unnamed(settings: Settings, states: Mapping[Dataset, Mapping[str, State]]) -> Iterator[str]:
    """Write an entry of ``dccd.yaml`` for each dataset that it does not name."""
    named = {dataset for entry in (*settings.collect, *settings.stream) for dataset in entry.datasets}
    for dataset in sorted({*states} - named, key=str):
        if states[dataset]:
            span = f", span: {format_bar_span(dataset.span)}" if dataset.span else ""
            start = moment(partition_span(dataset.grain, min(states[dataset])).start).date()
            yield (
                f"- {{exchange: {dataset.exchange}, symbols: [{dataset.symbol}], "
                f"data_type: {dataset.data_type}{span}, start: {start}}}"
            )
