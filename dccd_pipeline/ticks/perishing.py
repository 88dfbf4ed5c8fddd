"""What of the configuration perishes, and until when what is missing of it can be had.

Belongs here: reading that in the lake. Does not: what a deadline is (dccd_core.quality.deadline), and who is
told of it (alarms/perishing.py, answer/).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class Perishable:
    """Datasets that are collected or recorded together, and perish. ``entry``: None for those of a stream."""

    name: str
    datasets: tuple[Dataset, ...]
    streamed: frozenset[Dataset]
    entry: Entry | None = None

    @property
    def key(self) -> str:
        """What alerts call it."""
        kind = "" if self.entry else f", {self.datasets[0].data_type}"
        return f"deadlines of {self.name}{kind}"

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
