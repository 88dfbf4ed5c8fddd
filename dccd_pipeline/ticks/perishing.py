"""What is about to be lost, or is: of all that is configured, told before it happens, named after.

Belongs here: what of the configuration perishes, and what is told of it. Does not: what a deadline is
(dccd_core.quality.deadline), when it is looked at, and whom it is told.
"""

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Final

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import DccdError
from dccd_core.domain.timespan import Us
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.partition.ledger import Accepted
from dccd_core.quality.deadline import Deadline
from dccd_pipeline.assets.deadlines import deadline_of, perishes
from dccd_pipeline.config.accepted import by_dataset
from dccd_pipeline.config.collect import Entry
from dccd_pipeline.config.settings import Settings

_NAMED: Final = 3


@dataclass(frozen=True, slots=True)
class Perishable:
    """Datasets that are collected or recorded together, and perish. ``entry``: None for those of a stream."""

    name: str
    datasets: tuple[Dataset, ...]
    streamed: frozenset[Dataset]
    entry: Entry | None = None

    @property
    def key(self) -> str:
        """What it is remembered by."""
        return f"{self.name}/{self.datasets[0].data_type}"

    def deadlines(
        self, lake: LakeStore, now: Us, accepted: Mapping[str, Sequence[Accepted]]
    ) -> dict[Dataset, Deadline]:
        """Return the deadline of each dataset; one whose files are damaged has none."""
        tail, found = lake.tail(self.datasets[0]).read(), dict[Dataset, Deadline]()
        for dataset in self.datasets:
            try:
                states = lake.all_known(dataset, tail)
            except DccdError:
                continue  # status and ticks say so
            mine, streamed = accepted.get(str(dataset), ()), dataset in self.streamed
            if known := deadline_of(self.entry, dataset, states, now, mine, streamed=streamed):
                found[dataset] = known
        return found


def perishables(settings: Settings) -> list[Perishable]:
    """Return what of the configuration perishes: of ``collect``, and what only streams record."""
    recorded = [(one, dataset) for one in settings.stream if one.enabled for dataset in one.datasets]
    streamed = frozenset(dataset for _, dataset in recorded)
    collected = {dataset for entry in settings.collect for dataset in entry.datasets}
    found = [
        Perishable(entry.name, tuple(filter(perishes, entry.datasets)), streamed, entry)
        for entry in settings.collect
        if not entry.derive_from
    ]
    for entry in settings.stream:
        only = [one for each, one in recorded if each is entry and one not in collected and perishes(one)]
        for kind in sorted({one.data_type for one in only}):
            found.append(Perishable(entry.name, tuple(o for o in only if o.data_type is kind), streamed))
    return [one for one in found if one.datasets]


def deadlines_of(settings: Settings, lake: LakeStore, now: Us) -> dict[Dataset, Deadline]:
    """Return the deadline of all that is configured and perishes."""
    accepted, found = by_dataset(settings.accepted_gaps()), dict[Dataset, Deadline]()
    for one in perishables(settings):
        found |= one.deadlines(lake, now, accepted)
    return found


def perishing(settings: Settings, now: Us, memory: MutableMapping[str, list[int]]) -> dict[str, str]:
    """Return what is at risk, by entry, empty where nothing is; and, once each, what was lost.

    ``memory`` says, of each entry, before when nothing can be at risk, and up to when losses were told; it
    is brought up to date.
    """
    accepted, lake, found = by_dataset(settings.accepted_gaps()), settings.lake(), dict[str, str]()
    for one in perishables(settings):
        if one.entry is not None and not one.entry.enabled:
            continue
        found[one.key] = ""
        if memory.get(one.key, [0])[0] > now:
            continue
        known = one.deadlines(lake, now, accepted)
        if lost := [text for dataset, each in known.items() for text in _news(dataset, each, memory)]:
            found[f"{one.key} lost"] = _together(one.name, lost)
        found[one.key] = _risk(one.name, known)
        quiet = [at for each in known.values() if (at := each.risk_at) is not None]
        memory[one.key] = [now if found[one.key] else min(quiet, default=now)]
    return found


def _risk(name: str, known: Mapping[Dataset, Deadline]) -> str:
    """Say what is at risk, that first which is lost soonest; empty when nothing is."""
    risky = [
        (each.at or each.now, f"{dataset}: {each.risk}") for dataset, each in known.items() if each.at_risk
    ]
    return _together(name, [text for _, text in sorted(risky)]) if risky else ""


def _news(dataset: Dataset, one: Deadline, memory: MutableMapping[str, list[int]]) -> Iterator[str]:
    """Yield what was lost since that was told last; what is still being lost is told when that is over."""
    for gap in one.lost:
        told, going_on = memory.get(str(dataset), [0])[0], one.at_risk and gap.span.end == one.since
        if gap.span.end > told and not going_on:
            memory[str(dataset)] = [gap.span.end]
            yield f"{dataset}: {one.said_lost(gap)}"


def _together(name: str, lines: Sequence[str]) -> str:
    more = f"; and {len(lines) - _NAMED} more" if len(lines) > _NAMED else ""
    return f"{name}: {'; '.join(lines[:_NAMED])}{more}"
