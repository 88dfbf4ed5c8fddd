"""Make room: files that others verifiably hold are taken away, the oldest first; a record of each stays.

Belongs here: what may go, and whether it is held elsewhere at this moment. Does not: copying (sync.py).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import uuid4

from dccd_core.domain.dataset import Dataset, partition_span
from dccd_core.domain.errors import LakeError
from dccd_core.domain.sizes import counted
from dccd_core.domain.timespan import ZERO, Us, iso
from dccd_core.keep.original import Holders, Original
from dccd_core.keep.remotes.remote import Remote
from dccd_core.lake.lake import LakeStore, State
from dccd_core.lake.layout import data_path, owner
from dccd_core.lake.partition.held import Held, Place
from dccd_core.lake.partition.ledger import Condition, condition
from dccd_core.lake.partition.parquet import Reader, own
from dccd_core.lake.readable import readable
from dccd_core.lake.store.folder import Stored

ROOM: Final = "there is room enough"


def proven(dataset: Dataset, key: str, state: State) -> bool:
    """Tell whether a whole partition is there, and every hole in it explained or accepted."""
    if dataset.data_type.table.pictures:
        ledger = state.ledger
        return not (ledger.gaps() or ledger.damaged() or ledger.quarantined)
    return condition(state.ledger, partition_span(dataset.grain, key)) is Condition.AVAILABLE


@dataclass(frozen=True, slots=True)
class Rules:
    """What may be taken away, and when.

    ``copies``: so many remotes must hold it. ``older_than``: so long ago its time ended, at least.
    ``keep_free``: only as long as less than so many bytes are free; None: whatever is old enough goes.
    ``proven`` tells whether a partition is as it should be: by default all of its time.
    """

    copies: int = 1
    older_than: Us = ZERO
    keep_free: int | None = None
    proven: Callable[[Dataset, str, State], bool] = proven


@dataclass(frozen=True, slots=True)
class Gone:
    """A partition that was taken away, or would be: so many bytes, held by these remotes."""

    dataset: Dataset
    key: str
    bytes: int
    remotes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Kept:
    """A partition that stays, and why."""

    dataset: Dataset
    key: str
    why: str


@dataclass(slots=True)
class PurgeReport:
    """What a purge came to. ``lacking``: so many bytes are still to be freed, and nothing more may go."""

    gone: list[Gone] = field(default_factory=list[Gone])
    kept: list[Kept] = field(default_factory=list[Kept])
    lacking: int = 0

    @property
    def freed(self) -> int:
        return sum(one.bytes for one in self.gone)


@dataclass(slots=True)
class Purge:
    """A purge of a lake.

    Args:
        lake: what is purged.
        remotes: who may hold copies.
        rules: what may go.
        now: this moment.
        free: tells how many bytes are free where the lake is; None where there is always room.
        dry_run: everything is asked and nothing is done.
    """

    lake: LakeStore
    remotes: Sequence[Remote]
    rules: Rules
    now: Us
    free: Callable[[], int | None] = lambda: None
    dry_run: bool = False
    report: PurgeReport = field(default_factory=PurgeReport)
    _holders: Holders = field(init=False)

    def run(self) -> PurgeReport:
        """Take away what may go and has to.

        Raises:
            LakeError: the lake cannot be read.
        """
        self._holders = Holders(self.remotes, self.lake.identity() or "")
        wanted = self._wanted()
        for dataset, key, state in self._here():
            if wanted is not None and self.report.freed >= wanted:
                self.report.kept.append(Kept(dataset, key, ROOM))
                continue
            try:
                done = self._why_not(dataset, key, state) or self._take(dataset, key)
            except LakeError as e:
                done = str(e)
            if isinstance(done, str):
                self.report.kept.append(Kept(dataset, key, done))
            else:
                self.report.gone.append(done)
        self.report.lacking = max(0, (wanted or 0) - self.report.freed)
        return self.report

    def _wanted(self) -> int | None:
        """Return how many bytes are to be freed; None: all that may be."""
        if self.rules.keep_free is None:
            return None
        free = self.free()
        return 0 if free is None else max(0, self.rules.keep_free - free)  # a bucket has room

    def _here(self) -> Iterator[tuple[Dataset, str, State]]:
        """Yield the partitions whose files are here, those first that ended first; what is damaged stays."""
        held, damaged = readable(self.lake.inventory, self.lake.datasets, self.lake.states)
        for dataset in damaged:
            held[dataset] = dict(self._sound(dataset))
        found = [
            (partition_span(dataset.grain, key).end, str(dataset), dataset, key, state)
            for dataset, states in held.items()
            for key, state in states.items()
            if not state.elsewhere
        ]
        for _, _, dataset, key, state in sorted(found, key=lambda one: one[:2]):
            yield dataset, key, state

    def _sound(self, dataset: Dataset) -> Iterator[tuple[str, State]]:
        """Yield the partitions of a dataset that can be read; of the others it is said why they stay."""
        for key in self.lake.keys(dataset):
            try:
                state = self.lake.state(dataset, key)
            except LakeError as e:
                self.report.kept.append(Kept(dataset, key, str(e)))
            else:
                if state:
                    yield key, state

    def _why_not(self, dataset: Dataset, key: str, state: State) -> str:
        """Say why a partition has to stay, whoever holds it; empty when nothing is against it."""
        end = partition_span(dataset.grain, key).end
        if end > self.now:
            return f"not closed: its time ends {iso(end)}"
        if end > self.now - self.rules.older_than:
            return f"too young: it goes from {iso(Us(end + self.rules.older_than))} on"
        if self.lake.tail(dataset).read().tells(dataset, key):
            return "not folded yet: rows of it are in the tail"
        if not self.rules.proven(dataset, key, state):
            return f"not proven: {_wrong(dataset, key, state)}"
        if self.lake.is_held_by_others(dataset, key):
            return "a pin holds its file: nothing would be freed, and a pin is no copy"
        return ""

    def _take(self, dataset: Dataset, key: str) -> Gone | str:
        """Take a partition away; or say why it stays."""
        with self.lake.opened(dataset, key) as stored:
            if stored is None:
                return "went meanwhile"
            state, file = self._read(dataset, key, stored)
            holders, missing = self._holders.copies_of(file, self.rules.copies)
            if len(holders) < self.rules.copies:
                of = f"{counted(len(holders), 'verified copy', 'verified copies')} of {self.rules.copies}"
                return f"{of}: {'; '.join(missing) or 'there are no more remotes'}"
            places = tuple(Place(name, self.now) for name in holders)
            held = Held(state, file.sha256, places, self.now, uuid4().hex)
            if not (self.dry_run or self.lake.take_away(dataset, key, stored, held)):
                return "changed meanwhile"
        return Gone(dataset, key, state.bytes, held.remotes)

    def _read(self, dataset: Dataset, key: str, stored: Stored) -> tuple[State, Original]:
        """Read all of a file: what is damaged here is not to be the only one.

        Raises:
            DamagedFile: it is.
        """
        file = Original.of(data_path(dataset, key), stored.file)
        reader = Reader(stored.file, dataset.data_type, self.lake.path(dataset, key))
        own(reader.state, owner(dataset, key))
        reader.verify()
        return reader.state, file


def _wrong(dataset: Dataset, key: str, state: State) -> str:
    ledger = state.ledger
    if gaps := len(ledger.gaps()):
        return counted(gaps, "unexplained gap")
    if ledger.quarantined:
        return f"{ledger.quarantined} rows in quarantine"
    until = ledger.covered_until(partition_span(dataset.grain, key))
    return f"asked for until {iso(until)} only"
