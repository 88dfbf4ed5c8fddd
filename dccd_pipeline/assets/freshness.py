"""Up to where a dataset should be proven by now, and why it is not. Pure.

Belongs here: what follows of an entry's schedule, its end and its ledgers. Does not: how it is told
(checks.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Final

from dccd_core.domain.barspan import bar_open
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import HOUR, SECOND, TimeRange, Us, iso, parse_time, us
from dccd_core.exchanges import get
from dccd_core.fetch.planner import settled
from dccd_core.lake.lake import State
from dccd_core.quality.coverage import NEVER_ASKED, UNEXPLAINED, gaps, proven_until
from dccd_pipeline.config.collect import Entry
from dccd_pipeline.config.wanted import first_moment
from dccd_pipeline.dagster_compat import cron_string_iterator

_INTERVALS: Final = 2
"""Ticks that may be missed, or still be under way, before somebody is told."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a dataset is. ``until``: up to where it is proven; ``wanted``: up to where it should be by now.

    None: nothing is proven, nothing is wanted. ``since``: when what is missing begins; ``why`` it is missing.
    """

    until: Us | None
    wanted: Us | None
    since: Us | None = None
    why: str = ""


def standing(
    entry: Entry, dataset: Dataset, states: Mapping[str, State], now: Us, error: str = ""
) -> Standing:
    """Return how far a dataset is by its ``states``: the newest are among them, with what the tail says.

    ``error``: what stopped it lately; empty when nothing did.
    """
    until, wanted = proven_until(states), wanted_until(entry, dataset, now)
    since = max(until or Us(0), first_moment(entry, dataset))
    if wanted is None or wanted <= since:
        return Standing(until, wanted)
    return Standing(until, wanted, since, error or _why(dataset, states, TimeRange(since, wanted)))


def wanted_until(entry: Entry, dataset: Dataset, now: Us) -> Us | None:
    """Return up to where ``dataset`` should be proven by now: by its schedule, at most up to its end.

    Up to what was final two intervals ago; of bars that are built of others up to what those were built of by
    then. Without a schedule up to its end, once that is past; None where it has none.
    """
    end = last_moment(entry, dataset)
    if end is not None and entry.depth:
        end = tick_before(entry, end)  # only ticks before it bring what is shown at their moment alone
    if not entry.scheduled:
        return end if end is not None and end <= now else None
    tick = tick_before(entry, now)
    until, source = settled(dataset, tick, get(dataset.exchange).finality_delay), entry.built_from(dataset)
    if source and (origin := entry.origins.get(dataset.symbol)):
        made_of = wanted_until(origin, source, tick)
        whole = bar_open(made_of, dataset.span) if made_of is not None and dataset.span else made_of
        until = until if whole is None else min(until, whole)
    return until if end is None else min(until, end)


def last_moment(entry: Entry, dataset: Dataset) -> Us | None:
    """Return up to when ``dataset`` is wanted at all; None: for ever."""
    bounds, closed = entry.life_of(dataset.symbol).bounds, get(dataset.exchange).closed
    ends = [at for at in (bounds.ended, closed) if at is not None]
    ends += [parse_time(str(entry.end))] if entry.end else []
    return min((bar_open(at, dataset.span) if dataset.span else at for at in ends), default=None)


def tick_before(entry: Entry, now: Us) -> Us:
    """Return two intervals ago; of a cron the last time but one that it was due."""
    if not entry.cron:
        return Us(now - _INTERVALS * (entry.every if isinstance(entry.every, int) else HOUR))
    return _due_before(entry.cron, entry.zone, now)


@lru_cache(maxsize=16)
def _due_before(cron: str, zone: str, now: Us) -> Us:
    return us(list(islice(cron_string_iterator(now / SECOND, cron, zone, ascending=False), _INTERVALS))[-1])


def _why(dataset: Dataset, states: Mapping[str, State], part: TimeRange) -> str:
    """Say what is known of the first gap in ``part``."""
    found = next(iter(gaps(dataset, states, part)), None)
    if found is not None and found.why not in (NEVER_ASKED, UNEXPLAINED):
        return found.why
    if found is not None and found.missing is not None:
        return f"{found.missing} missing, {found.why}"
    asked = max((one.at for state in states.values() for one in state.ledger.asked), default=None)
    return "it was never asked for" if asked is None else f"nobody asked since {iso(asked)}"
