"""What an exchange will not show for much longer: told before it is lost, and what was lost is named after.

The lake is read only when something may be at risk by then.

Belongs here: what is told. Does not: what a deadline is (dccd_core.quality.deadline).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from dccd_core.domain.dataset import Dataset
from dccd_core.quality.deadline import Deadline
from dccd_pipeline.alarms.look import Found, Look, Memory
from dccd_pipeline.config.accepted import by_dataset
from dccd_pipeline.ticks.perishing import perishables

_NAMED: Final = 3


def perishing(look: Look) -> Found:
    """Return what is at risk, by entry, empty where nothing is; and, once each, what was lost.

    Its memory says, of each entry, before when nothing can be at risk, and of datasets up to when losses were
    told.
    """
    accepted, lake, found = by_dataset(look.settings.accepted_gaps()), look.settings.lake(), dict[str, str]()
    for one in perishables(look.settings):
        if one.entry is not None and not one.entry.enabled:
            continue
        found[one.key] = ""
        if look.memory.get(one.key, [0])[0] > look.now:
            continue
        known = one.deadlines(lake, look.now, accepted)
        if lost := [text for dataset, each in known.items() for text in _news(dataset, each, look.memory)]:
            found[f"losses of {one.name}"] = _together(one.name, lost)
        found[one.key] = _risk(one.name, known)
        quiet = [at for each in known.values() if (at := each.risk_at) is not None]
        look.memory[one.key] = [look.now if found[one.key] else min(quiet, default=look.now)]
    return found


def _risk(name: str, known: Mapping[Dataset, Deadline]) -> str:
    """Say what is at risk, that first which is lost soonest; empty when nothing is."""
    risky = [(each.at or each.now, f"{one}: {each.risk}") for one, each in known.items() if each.at_risk]
    return _together(name, [text for _, text in sorted(risky)]) if risky else ""


def _news(dataset: Dataset, one: Deadline, memory: Memory) -> Iterator[str]:
    """Yield what was lost since that was told last; what is still being lost is told when that is over."""
    for gap in one.lost:
        told, going_on = memory.get(str(dataset), [0])[0], one.at_risk and gap.span.end == one.since
        if gap.span.end > told and not going_on:
            memory[str(dataset)] = [gap.span.end]
            yield f"{dataset}: {one.said_lost(gap)}"


def _together(name: str, lines: Sequence[str]) -> str:
    more = f"; and {len(lines) - _NAMED} more" if len(lines) > _NAMED else ""
    return f"{name}: {'; '.join(lines[:_NAMED])}{more}"
