"""What a tick tells Dagster: which partitions were written, what the checks find, and its report.

Dagster stores an event for whatever it is told, and a tick comes every few minutes: so it is told of
partitions that were written and of what is wrong, and of all the others in one report.

Belongs here: what is news, and telling it. Does not: what came (came.py), how a report looks (report.py).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import dagster as dg

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import Us
from dccd_core.lake.lake import LakeStore, State
from dccd_core.net.clock import Clock
from dccd_pipeline.assets.changed import tell_checks
from dccd_pipeline.assets.checks import Looked, judge
from dccd_pipeline.assets.metadata import partition_event, partition_view
from dccd_pipeline.assets.progress import condition_of, is_complete
from dccd_pipeline.assets.remembered import said_gone
from dccd_pipeline.assets.spec import lineage
from dccd_pipeline.ticks.came import Came, Change
from dccd_pipeline.ticks.memory import Failing, Memory, said_failing
from dccd_pipeline.ticks.report import Row, report, row_of

_LINES: Final = 20
"""So many lines of one kind stand in a run's log; each is an event."""
_NEW_CHECKS: Final = 30
_NEW_CHECKS_PER: Final = 10
"""So many results of checks that an update brought are told in a tick, and one more for so many datasets."""


@dataclass(slots=True)
class Telling:
    """Tells Dagster what came of a tick."""

    context: dg.OpExecutionContext
    lake: LakeStore
    came: Came
    clock: Clock
    _made: set[dg.AssetKey] = field(default_factory=set[dg.AssetKey])
    """What was materialised."""

    def change(self, change: Change) -> None:
        """Tell of a partition if a file was written that is news: of open ones Dagster knows already."""
        dataset, key, before, after = change
        if before is None or before.content_hash != after.content_hash:
            condition = condition_of(dataset, key, before) if before else None
            if self._is_complete(dataset, key, after) or condition is not condition_of(dataset, key, after):
                self.stored(dataset, key)

    def stored(self, dataset: Dataset, key: str) -> None:
        """Tell of a partition that was written: it is materialised once it is complete."""
        entry, states = self.came.entry, self.came.states[dataset]
        more = lineage(dataset, entry.built_from(dataset))
        if self._is_complete(dataset, key, states[key]):
            more |= partition_view(self.lake, dataset, key)
            self._made.add(dg.AssetKey(dataset.parts))
        self.context.log_event(partition_event(dataset, key, states, more, self.clock.now(), entry.within))

    def trouble(self, left: Mapping[str, Failing]) -> None:
        """Warn of what is wrong and fails no tick; ``left``: what fails and was not tried."""
        came = self.came
        self._warn([said_gone(dataset, keys) for dataset, keys in came.found.gone.items()])
        self._warn([f"{dataset} {key}: {error}" for dataset, key, error in came.warned])
        self._warn(said_failing(left))

    def checks(
        self, failing: Mapping[str, Failing], compared: Iterable[dg.AssetCheckResult], now: Us
    ) -> None:
        """Tell what the checks find, as far as it is news; ``compared``: what was found out on the way."""
        looked = {
            dataset: Looked(states, self.came.audits.get(dataset, {}), _trouble(failing, dataset))
            for dataset, states in self.came.states.items()
        }
        found = judge(self.context.instance, self.lake, self.came.entry, looked, now)
        new_at_once = _NEW_CHECKS + len(looked) // _NEW_CHECKS_PER
        tell_checks(self.context, [*found, *compared], self._made, new_at_once)

    def remind(self) -> None:
        """Tell of complete partitions that Dagster does not know: its storage may be a new one."""
        for dataset, states in self.came.states.items():
            in_files = ((key, one) for key, one in states.items() if not one.unfolded)
            complete = {key for key, one in in_files if self._is_complete(dataset, key, one)}
            if not complete:
                continue
            known = self.context.instance.get_materialized_partitions(dg.AssetKey(dataset.parts))
            for key in sorted(complete - known):
                self.stored(dataset, key)

    def report(
        self, before: Memory, failing: Mapping[str, Failing], now: Us, *, whole: bool
    ) -> dict[str, int]:
        """Report on the entry's asset, and return how many gaps each dataset has, of those that have any.

        Args:
            before: what the tick before left.
            failing: what fails by now.
            now: as of which moment.
            whole: all datasets are to be shown.
        """
        entry, gaps = self.came.entry, before.gaps
        rows = [
            row_of(entry, one, states, gaps.get(str(one), 0), _trouble(failing, one), now)
            for one, states in self.came.states.items()
        ]
        for one, error in self.came.found.damaged:
            rows.append(Row(one, 0, None, str(error), 0, more=False, trouble=str(error)))
        self.context.log_event(report(entry, rows, self.came.totals, whole=whole))
        return {str(one.dataset): one.gaps for one in rows if one.gaps}

    def _is_complete(self, dataset: Dataset, key: str, state: State) -> bool:
        return is_complete(dataset, key, state, self.clock.now(), self.came.entry.within)

    def _warn(self, lines: Sequence[str]) -> None:
        for line in lines[:_LINES]:
            self.context.log.warning("%s", line)
        if len(lines) > _LINES:
            self.context.log.warning("... and %d more", len(lines) - _LINES)


def _trouble(failing: Mapping[str, Failing], dataset: Dataset) -> str:
    known = failing.get(str(dataset))
    return known.cause if known else ""
