"""Which bars of a partition can be built of what is known, and what that claims of its time. Pure.

A bar belongs to the partition in which it opens. Of one that goes on into the next (a week across New Year)
each partition claims the time that lies in it, the first only when all of the bar is known; in the second no
bar opens in that time, so it need not wait for the others.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dccd_core.bars.longer import next_open, opens_at, whole_bars
from dccd_core.domain.dataset import ListingPeriod
from dccd_core.domain.timespan import TimeRange, Us, union
from dccd_core.quality.holes import AFTER_END, BEFORE_LISTING


@dataclass(frozen=True, slots=True)
class Claims:
    """Time of one partition, each part in order and apart from the others."""

    parts: list[TimeRange]
    """In which every bar that opens can be built."""
    outside: list[tuple[TimeRange, str]]
    """In which there is none, and why: the market did not live."""


def touched(span: TimeRange, bar: Us) -> TimeRange:
    """Return all the time of the bars that lie in ``span``, be it in part."""
    return TimeRange(opens_at(span.start, bar), next_open(span.end, bar))


def opening_in(part: TimeRange, bar: Us) -> TimeRange:
    """Return all the time of the bars that open in ``part``; it is empty where none does."""
    return TimeRange(next_open(part.start, bar), next_open(part.end, bar))


def claims(
    span: TimeRange,
    wanted: Iterable[TimeRange],
    known: Iterable[TimeRange],
    bar: Us,
    life: ListingPeriod,
    now: Us,
) -> Claims:
    """Return what of ``wanted`` can be claimed.

    Args:
        span: of the partition.
        wanted: in it, in order; bars that lie in a part of it only in part are left out.
        known: the time in which all is known of what bars are built of, of ``touched`` bars.
        bar: their length.
        life: of the market; what lies outside needs no proof.
        now: an end that is to come may still be put off.
    """
    wide = touched(span, bar)
    asked = [part for one in wanted if (part := _whole(one, span, bar))]
    ended = life.ended if life.ended is not None and life.ended <= now else wide.end
    before = TimeRange(wide.start, min(wide.end, max(wide.start, life.listed or wide.start)))
    after = TimeRange(min(wide.end, max(before.end, ended)), wide.end)
    sure = union([*known, before, after])
    alive = TimeRange(opens_at(before.end, bar), max(opens_at(before.end, bar), opens_at(after.start, bar)))
    built = _claimable(span, sure, bar)
    return Claims(
        [part for one in asked for other in built if (part := _shared(one, other, alive))],
        [
            (part, why)
            for one in asked
            for outside, why in (
                (TimeRange(wide.start, alive.start), BEFORE_LISTING),
                (TimeRange(alive.end, wide.end), AFTER_END),
            )
            if (part := one.clip(outside))
        ],
    )


def _claimable(span: TimeRange, sure: Sequence[TimeRange], bar: Us) -> list[TimeRange]:
    """Return the time of whole bars, and that of a bar which opened in the partition before."""
    head = TimeRange(span.start, min(span.end, next_open(span.start, bar)))
    heads = [] if head.minus(sure) else [head]
    return union([*heads, *(part for one in whole_bars(sure, bar) if (part := one.clip(span)))])


def _whole(wanted: TimeRange, span: TimeRange, bar: Us) -> TimeRange | None:
    """Return the whole bars of ``wanted``; at the borders of the partition there need be none."""
    start = wanted.start if wanted.start == span.start else next_open(wanted.start, bar)
    end = wanted.end if wanted.end == span.end else opens_at(wanted.end, bar)
    return TimeRange(start, end) if start < end else None


def _shared(one: TimeRange, other: TimeRange, third: TimeRange) -> TimeRange | None:
    part = one.clip(other)
    return part and part.clip(third)
