"""What came of a tick so far: how its datasets are by now, what failed, what was seen of files.

Belongs here: keeping count. Does not: bringing it (run.py), telling it (tell.py).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import DccdError, OutOfReach, UnknownSymbol
from dccd_core.exchanges import get
from dccd_core.fetch.fill import Filled
from dccd_core.fetch.tick import TickReport
from dccd_core.fetch.together import Outcome
from dccd_core.lake.lake import State
from dccd_core.quality.audit import Audit
from dccd_pipeline.assets.failures import Failed, hint_for
from dccd_pipeline.config.collect import Entry
from dccd_pipeline.ticks.due import Found, Job
from dccd_pipeline.ticks.report import Totals


class Change(NamedTuple):
    """What a partition was before the tick, and is by now."""

    dataset: Dataset
    key: str
    before: State | None
    after: State


@dataclass(slots=True)
class Came:
    """What came of a tick so far. ``found``: the datasets of the entry, as they are by now."""

    entry: Entry
    found: Found = field(default_factory=Found)
    errors: list[Failed] = field(init=False)
    warned: list[Failed] = field(default_factory=list[Failed])
    """What is no failure of a tick: the exchange does not know it any more, or does not reach so far back."""
    done: set[Job] = field(default_factory=set[Job])
    totals: Totals = field(default_factory=Totals)
    audits: dict[Dataset, dict[str, Audit]] = field(default_factory=dict[Dataset, dict[str, Audit]])
    """What was seen of the files that were written."""
    written: bool = False
    """Whether there are files now where there were none."""

    def __post_init__(self) -> None:
        self.errors = [(dataset, "as stored", error) for dataset, error in self.found.damaged]

    @property
    def states(self) -> Mapping[Dataset, dict[str, State]]:
        return self.found.states

    @property
    def failed(self) -> dict[str, str]:
        """Return what failed, each with its cause."""
        return {str(dataset): str(error) for dataset, _, error in self.errors}

    @property
    def unknown(self) -> dict[str, str]:
        """Return what the exchange does not know any more, each with its words."""
        return {str(one): str(error) for one, _, error in self.warned if isinstance(error, UnknownSymbol)}

    def take(self, outcome: Outcome) -> Change | None:
        """Take what came of one partition; None when nothing is stored of it, or it failed."""
        dataset, key, result = outcome.dataset, outcome.key, outcome.result
        if isinstance(result, DccdError):
            self._fail(dataset, key, result)
            return None
        self.done.add((dataset, key))
        self.totals.rows += result.rows
        self.totals.requests += result.requests
        before = self.states[dataset].get(key)
        self.written = self.written or (
            result.state is not None and (before is None or not before.content_hash)
        )
        return self._keep(dataset, key, result)

    def take_folded(self, ticked: TickReport) -> Iterable[Change]:
        """Take what of the tail became files; yield the partitions that are the entry's own."""
        self.totals.bytes += ticked.bytes
        self.totals.folded += len(ticked.folded)
        self.totals.why = ticked.why or self.totals.why
        for dataset, key, filled in ticked.folded:
            if dataset in self.states and (change := self._keep(dataset, key, filled)):
                yield change

    def retryable(self, jobs: Iterable[Job]) -> list[Job]:
        """Return what of ``jobs`` failed in a way that may not last."""
        again = {dataset for dataset, _, error in self.errors if error.retryable}
        return [job for job in jobs if job[0] in again and job not in self.done]

    def forget_failures(self, jobs: Iterable[Job]) -> None:
        """Forget that datasets failed: they are tried again."""
        again = {dataset for dataset, _ in jobs}
        self.errors = [one for one in self.errors if one[0] not in again]

    def _keep(self, dataset: Dataset, key: str, filled: Filled) -> Change | None:
        """Keep how a partition is, and for the checks what was seen of its file as it was written."""
        state, audit = filled.state, filled.audit
        if state is None:
            return None
        before = self.states[dataset].get(key)
        self.states[dataset][key] = state
        if audit and audit.rows == state.rows:  # else somebody has written it since
            audit.judge_state(state, get(self.entry.exchange).finality_delay)
            self.audits.setdefault(dataset, {})[key] = audit
        return Change(dataset, key, before, state)

    def _fail(self, dataset: Dataset, key: str, error: DccdError) -> None:
        stored = bool(self.states[dataset])
        if isinstance(error, UnknownSymbol):
            error.hint = hint_for(self.entry, dataset, error, stored=stored)
        warned = isinstance(error, OutOfReach) or (isinstance(error, UnknownSymbol) and stored)
        (self.warned if warned else self.errors).append((dataset, key, error))
