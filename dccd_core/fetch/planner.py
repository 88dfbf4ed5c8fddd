"""What is still to ask: the wanted time minus what the ledger holds. Pure."""

from dccd_core.domain.barspan import bar_open
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import Ns, TimeSpan, union
from dccd_core.lake.ledger import Ledger


def settled(dataset: Dataset, now: Ns, settle: Ns) -> Ns:
    """Return the moment before which nothing changes any more.

    A bar counts from its open, so the answer is the open of the first bar that is not yet closed for
    ``settle``: every bar that opens earlier is final.
    """
    at = Ns(now - settle)
    return bar_open(at, dataset.span) if dataset.span else at


def due(span: TimeSpan, ledger: Ledger | None, until: Ns) -> list[TimeSpan]:
    """Return what to ask of ``span``: what was never asked, and every gap that nobody has explained."""
    end = min(span.end, until)
    if end <= span.start:
        return []
    wanted = TimeSpan(span.start, end)
    if ledger is None:
        return [wanted]
    gaps = [part for gap in ledger.gaps() if (part := gap.span.clip(wanted))]
    return union([*wanted.minus(ledger.covered()), *gaps])


def reachable(wanted: list[TimeSpan], since: Ns | None, *, whole: bool) -> list[TimeSpan]:
    """Return what of ``wanted`` a venue can still answer.

    Args:
        wanted: in order.
        since: how far back it answers; None when nobody knows before asking.
        whole: one answer holds all it has, so one question is enough.
    """
    if whole and wanted:
        wanted = [TimeSpan(wanted[0].start, wanted[-1].end)]
    return [
        TimeSpan(max(part.start, since or part.start), part.end) for part in wanted if part.end > (since or 0)
    ]
