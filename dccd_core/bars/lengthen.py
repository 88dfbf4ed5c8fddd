"""Bars built from shorter ones that are stored: without a request, and without the trades.

A bar is built only when the ledger of the short ones proves all of it: each is there, or proven not to be.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from dccd_core.bars.claims import claims, opening_in, touched
from dccd_core.bars.derive import Style
from dccd_core.bars.longer import longer, pieces, proven, whole_bars
from dccd_core.domain.barspan import format_bar_span
from dccd_core.domain.dataset import Dataset, partition_keys, partition_span
from dccd_core.domain.timespan import ZERO, TimeRange, Us, union
from dccd_core.fetch.fill import Filled, Progress
from dccd_core.fetch.planner import due
from dccd_core.lake.lake import LakeStore, State
from dccd_core.lake.partition.ledger import ACCEPTED, Asked, Ledger, Source
from dccd_core.quality.audit import Auditor
from dccd_core.quality.holes import BarCheck, Evidence


@dataclass(frozen=True, slots=True)
class Short:
    """Stored bars, of which longer ones of the same market are built. ``span``: their length."""

    span: Us
    style: Style


class _Check(BarCheck):
    """Notes besides what is missing why the other bars could not be built."""

    def __init__(self, bar: Us, evidence: Evidence, lost: Sequence[tuple[TimeRange, str]]) -> None:
        super().__init__(bar, evidence)
        self._lost = lost

    def assess(self, ledger: Ledger) -> Ledger:
        return super().assess(ledger).lose(self._lost)


def lengthen(  # noqa: PLR0913 -- as ``derive``
    lake: LakeStore,
    dataset: Dataset,
    key: str,
    short: Short,
    now: Us,
    progress: Progress,
    *,
    within: TimeRange | None = None,
) -> Filled:
    """Build what is due of a partition of bars from shorter bars of the same symbol in the lake.

    Nothing is built outside of ``within``; a bar that lies in it in part is left out. Why a bar cannot be
    built is told in the ledger (``lost``), by the reason of the gap in the short ones.

    Args:
        lake: where both are.
        dataset: bars whose span the short ones divide.
        key: of the partition.
        short: what they are built of.
        now: the moment, for the ledger.
        progress: hears how far it is, and may end it.
        within: what is wanted of it; None: all.

    Raises:
        LakeError: a partition of the short bars, or this one, cannot be read or written.
    """
    assert dataset.span is not None
    bar, source = dataset.span, replace(dataset, span=short.span)
    held, span = lake.known(dataset, key), partition_span(dataset.grain, key)
    ledgers = list(_ledgers(lake, source, touched(span, bar)))
    wanted = due(span, held.ledger if held else None, span.end)
    if within:
        wanted = [part for one in wanted if (part := one.clip(within))]
    found = claims(span, wanted, proven(ledgers), bar, short.style.life, now)
    lost = [(part, why) for one, why in _unproven(ledgers, source) if (part := touched(one, bar).clip(span))]
    if not found.parts and not found.outside and not _is_news(held, lost):
        return Filled(held)
    asked = [Asked(part, Source.DERIVED, now, 0, 0) for part, _ in found.outside]
    with lake.draft(dataset, key) as draft:
        for part in found.parts:
            rows = 0
            for piece in pieces(opening_in(part, bar), short.span, bar):
                bars = longer(lake.scan(source, piece).collect(), bar, [piece])
                draft.append(bars)
                rows += bars.height
                progress(dataset, key, bars.height, min(piece.end, part.end))
            asked.append(Asked(part, Source.DERIVED, now, 0, rows))
        proofs = [*found.outside, *_explained(ledgers, bar)]
        quiet = Us(span.length + 1) if short.style.sparse else ZERO
        evidence = Evidence(now, [one.span for one in asked], proofs, quiet=quiet)
        auditor = Auditor(dataset, carried_open=short.style.carries_open)
        state = draft.commit(asked, lambda: auditor.beside(_Check(bar, evidence, lost)))
    return Filled(state, 0, sum(one.rows for one in asked), audit=auditor.audit)


def _ledgers(lake: LakeStore, source: Dataset, span: TimeRange) -> Iterator[Ledger]:
    tail = lake.tail(source).read()
    states = (lake.known(source, key, tail) for key in partition_keys(source.grain, span))
    return (state.ledger for state in states if state)


def _unproven(ledgers: Sequence[Ledger], source: Dataset) -> Iterator[tuple[TimeRange, str]]:
    """Yield what of the short bars is not proven although it was asked for or listened to, and why."""
    assert source.span is not None
    for ledger in ledgers:
        for hole in ledger.holes:
            if hole.proof is None or hole.proof.startswith(ACCEPTED):
                yield hole.span, hole.reason or f"{format_bar_span(source.span)} bars are missing"
        yield from ((one.span, one.reason) for one in ledger.lost)


def _is_news(held: State | None, lost: Sequence[tuple[TimeRange, str]]) -> bool:
    """Tell whether a partition that there is does not know yet why its bars cannot be built."""
    return held is not None and held.ledger.lose(lost) != held.ledger


def _explained(ledgers: Sequence[Ledger], bar: Us) -> list[tuple[TimeRange, str]]:
    """Return the whole long bars of which every short one is proven to be absent, by what."""
    told = [
        (hole.span, hole.proof)
        for ledger in ledgers
        for hole in ledger.holes
        if hole.proof and not hole.proof.startswith(ACCEPTED)
    ]
    alone = [(part, why) for one, why in told for part in whole_bars([one], bar)]
    known = {part for part, _ in alone}
    together = [run for run in whole_bars(union(one for one, _ in told), bar) if run not in known]
    rest = [part for run in together for part in run.minus(known)]
    return [*alone, *((part, next(why for one, why in told if one.clip(part))) for part in rest)]
