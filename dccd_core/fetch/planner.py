"""What is still to ask: the wanted time minus what the ledger holds. Pure."""

from dataclasses import dataclass

from dccd_core.domain.barspan import bar_open
from dccd_core.domain.dataset import Dataset, ListingPeriod
from dccd_core.domain.timespan import ZERO, TimeRange, Us, union
from dccd_core.lake.partition.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Plan:
    """What bringing a span of time up to date takes: all of it is final, and in order."""

    ask: tuple[TimeRange, ...]
    """What to ask the venue."""
    after: tuple[TimeRange, ...]
    """Where nothing is traded any more: there is nothing to ask, only to note."""
    lost: tuple[TimeRange, ...]
    """What is due, but lies further back than the venue answers."""
    since: Us | None
    """How far back the venue answers; None when nobody knows before asking."""
    known: Us
    """From where on something was asked before: only what lies before that may lie before the listing."""

    def may_be_unlisted(self, part: TimeRange) -> bool:
        return part.start < self.known


def plan(
    span: TimeRange, ledger: Ledger | None, until: Us, ended: Us, since: Us | None, *, whole: bool
) -> Plan:
    """Return what is still to do for ``span``, which is a partition or lies in one.

    Args:
        span: what is wanted.
        ledger: what is known of its partition.
        until: where the time begins that is not settled.
        ended: up to where there can be rows, see ``end_of_trading``.
        since: how far back the venue answers; None when nobody knows before asking.
        whole: one answer holds all it has, so one question is enough.
    """
    wanted = due(span, ledger, min(until, ended))
    gone = [TimeRange(ZERO, since)] if since else []
    return Plan(
        ask=tuple(reachable(wanted, since, whole=whole)),
        after=tuple(due(TimeRange(ended, span.end), ledger, span.end) if ended <= until else []),
        lost=tuple(lost for part in wanted for one in gone if (lost := part.clip(one))),
        since=since,
        known=_known(span, ledger, whole=whole),
    )


def end_of_trading(dataset: Dataset, span: TimeRange, life: ListingPeriod, closed: Us | None) -> Us:
    """Return up to where there can be rows in ``span``; no bar that trading ended in the middle of."""
    ended = min((at for at in (life.ended, closed) if at is not None), default=span.end)
    if ended >= span.end:
        return span.end
    return max(span.start, bar_open(ended, dataset.span) if dataset.span else ended)


def _known(span: TimeRange, ledger: Ledger | None, *, whole: bool) -> Us:
    covered = ledger.covered() if ledger else []
    if covered and whole:
        return span.start  # what an answer does not reach back to was never asked, listed or not
    return covered[0].start if covered else span.end


def settled(dataset: Dataset, now: Us, finality_delay: Us) -> Us:
    """Return the moment before which nothing changes any more.

    A bar counts from its open, so the answer is the open of the first bar that is not yet closed for
    ``finality_delay``: every bar that opens earlier is final.
    """
    at = Us(now - finality_delay)
    return bar_open(at, dataset.span) if dataset.span else at


def due(span: TimeRange, ledger: Ledger | None, until: Us) -> list[TimeRange]:
    """Return what to ask of ``span``: what was never asked, and every gap that nobody has explained."""
    end = min(span.end, until)
    if end <= span.start:
        return []
    wanted = TimeRange(span.start, end)
    if ledger is None:
        return [wanted]
    gaps = [part for gap in ledger.gaps() if (part := gap.span.clip(wanted))]
    return union([*wanted.minus(ledger.covered()), *gaps])


def reachable(wanted: list[TimeRange], since: Us | None, *, whole: bool) -> list[TimeRange]:
    """Return what of ``wanted`` a venue can still answer.

    Args:
        wanted: in order.
        since: how far back it answers; None when nobody knows before asking.
        whole: one answer holds all it has, so one question is enough.
    """
    if whole and wanted:
        wanted = [TimeRange(wanted[0].start, wanted[-1].end)]
    return [
        TimeRange(max(part.start, since or part.start), part.end)
        for part in wanted
        if part.end > (since or 0)
    ]
