"""What is missing from a partition, and what is proven about it. Pure.

A judge sees the rows of a partition once, in order, and writes the holes into its ledger. Bars are expected
at every step of the grid; trades with consecutive ids are expected to have every id. A hole is explained
when nothing was traded in it, when it lies before the listing, or when the venue was asked again later and
still answered nothing. Every other hole is a gap.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import polars as pl

from dccd_core.domain.barspan import bar_open
from dccd_core.domain.timespan import MINUTE, ZERO, TimeRange, Us, union
from dccd_core.lake.partition.ledger import VENUE_OUTAGE, Hole, Ledger

NO_TRADES: Final = "nothing was traded"
BEFORE_LISTING: Final = "before the listing"
AFTER_END: Final = "after the end of trading"
ASKED_AGAIN: Final = "asked again later, still empty"
ASKED_AGAIN_AFTER: Final = Us(15 * MINUTE)
"""How far apart two empty answers must lie to prove a hole: longer than venues take to mend their history."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What this fill learnt: what it requested (``requested``: spans), and what it can prove.

    ``refused``: the rows kept in quarantine, of this fill and of earlier ones. ``witness``: somebody else
    was asked about each hole, so what he does not confirm is not believed for being told twice.
    ``quiet``: runs of absent bars shorter than this are no holes, because the venue leaves out bars in which
    nothing was traded.
    """

    now: Us
    requested: Sequence[TimeRange] = ()
    proven: Sequence[tuple[TimeRange, str]] = ()
    refused: pl.DataFrame = field(default_factory=lambda: pl.DataFrame({"ts": [], "trade_id": []}))
    witness: bool = False
    quiet: Us = ZERO


def missing_bars(opens: np.ndarray, bar: Us, covered: Sequence[TimeRange]) -> list[tuple[TimeRange, int]]:
    """Return the runs of absent bars in ``covered``, each with its number of bars.

    ``opens``: int64 microseconds, the bars there are.
    """
    holes: list[tuple[TimeRange, int]] = []
    for span in covered:
        first = bar_open(Us(span.start + bar - 1), bar)
        grid = np.arange(first, span.end, bar, dtype=np.int64)
        absent = np.setdiff1d(grid, opens, assume_unique=True)
        for run in np.split(absent, np.flatnonzero(np.diff(absent) != bar) + 1):
            if run.size:
                holes.append((TimeRange(Us(int(run[0])), Us(int(run[-1]) + bar)), run.size))
    return holes


class BarCheck:
    """Expects a bar at every step of the grid."""

    def __init__(self, bar: Us, evidence: Evidence) -> None:
        self._bar = bar
        self._evidence = evidence
        self._seen: list[np.ndarray] = []

    def see(self, rows: pl.DataFrame) -> None:
        self._seen.append(_ns(rows))

    def assess(self, ledger: Ledger) -> Ledger:
        opens = np.concatenate([np.empty(0, np.int64), *self._seen])
        # parts with different proofs are judged apart, or a proven hour would vanish in a longer hole
        borders = [span for span, _ in self._evidence.proven] + [h.span for h in ledger.holes if h.proof]
        away = _away(ledger.holes)
        named = (
            [piece for span in ledger.covered() for piece in _cut(span, away)] if away else ledger.covered()
        )
        parts = [part for span in named for part in _cut(span, borders)]
        runs = missing_bars(opens, self._bar, parts)
        found = [(span, missing) for span, missing in runs if span.length >= self._evidence.quiet]
        evidence = self._evidence
        if evidence.refused["ts"].null_count():  # nobody knows which bar that was: none is called empty
            evidence = replace(evidence, witness=True)
        holes = tuple(judged(span, missing, ledger, evidence) for span, missing in found)
        refused = np.unique(_ns(evidence.refused))
        mended = np.isin(refused, opens, assume_unique=True)  # a good row came later
        due = np.zeros(refused.size, np.bool_)  # what tells a time that is not asked for yet says nothing
        for span in ledger.covered():
            due |= (refused >= span.start) & (refused < span.end)
        return replace(ledger, holes=holes, quarantined=int((due & ~mended).sum()))


class IdCheck:
    """Expects consecutive ids within every covered span.

    ``absent``: ids known to be absent at the start or the end of a span, where no row after them tells.
    """

    def __init__(self, evidence: Evidence, absent: Sequence[tuple[TimeRange, int]] = ()) -> None:
        self._evidence = evidence
        self._absent = absent
        self._found: list[tuple[TimeRange, int]] = []
        self._last: tuple[int, int] | None = None
        self._refused: set[str] = set(evidence.refused["trade_id"].drop_nulls())

    def see(self, rows: pl.DataFrame) -> None:
        self._refused -= set(rows["trade_id"].to_list()) if self._refused else set()
        frame = rows.select(id=pl.col("trade_id").cast(pl.Int64), ts=pl.col("ts").to_physical()).sort("id")
        ids, times = frame["id"].to_numpy(), frame["ts"].to_numpy()
        if self._last is not None:
            ids, times = np.append(self._last[0], ids), np.append(self._last[1], times)
        for at in np.flatnonzero(np.diff(ids) > 1):
            span = TimeRange(Us(int(times[at])), Us(max(int(times[at]), int(times[at + 1])) + 1))
            self._found.append((span, int(ids[at + 1] - ids[at]) - 1))
        if ids.size:
            self._last = int(ids[-1]), int(times[-1])

    def assess(self, ledger: Ledger) -> Ledger:
        covered = ledger.covered()
        found = [
            (span, missing)
            for span, missing in self._found
            if any(part.start <= span.start and span.end <= part.end for part in covered)
        ]
        by_rows = [span for span, _ in found]
        found += [(span, missing) for span, missing in self._absent if not _told(span, by_rows)]
        for span, missing in self._known(ledger):
            if not any(span.clip(other) for other, _ in found):  # else this fill tells better
                found.append((span, missing))
        # a refused row may tell a wrong time: nobody knows which hole is its own, so none is called empty
        evidence = replace(self._evidence, witness=True) if self._refused else self._evidence
        holes = tuple(judged(span, missing, ledger, evidence) for span, missing in sorted(found))
        return replace(ledger, holes=holes, quarantined=len(self._refused))

    def _known(self, ledger: Ledger) -> list[tuple[TimeRange, int]]:
        """Return the holes that earlier fills found and this one did not ask about."""
        asked = self._evidence.requested
        return [(hole.span, hole.missing) for hole in ledger.holes if hole.span.minus(asked)]


class BookCheck:
    """Notes when an order book was not known, and how many pictures of it that cost."""

    def __init__(self) -> None:
        self._every: int | None = None
        self._last: int | None = None

    def see(self, rows: pl.DataFrame) -> None:
        times = np.unique(_ns(rows))
        times = times if self._last is None else np.append(self._last, times)
        steps = np.diff(times)
        steps = steps[steps > 0]
        if steps.size:
            self._every = int(steps.min()) if self._every is None else min(self._every, int(steps.min()))
        self._last = int(times[-1]) if times.size else self._last

    def assess(self, ledger: Ledger) -> Ledger:
        holes = tuple(Hole(span, self._missing(span), reason=why) for span, why in ledger.unrecorded())
        return replace(ledger, holes=holes)

    def _missing(self, span: TimeRange) -> int:
        return max(1, span.length // (self._every or span.length))


class RefusedCheck:
    """Expects what was refused, so that it is asked for again: nobody can say what else is missing."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._refused: dict[str, int] = dict(
            evidence.refused.select("trade_id", pl.col("ts").cast(pl.Int64)).drop_nulls().iter_rows()
        )

    def see(self, rows: pl.DataFrame) -> None:
        for mended in self._refused.keys() & set(rows["trade_id"].to_list()) if self._refused else ():
            del self._refused[mended]

    def assess(self, ledger: Ledger) -> Ledger:
        """Return the refused rows as gaps, those of one moment as one."""
        covered = ledger.covered()
        moments = Counter(Us(at) for at in self._refused.values())
        holes = tuple(
            judged(span, missing, ledger, self._evidence)
            for at, missing in sorted(moments.items())
            for span in [TimeRange(at, Us(at + 1))]
            if any(part.clip(span) for part in covered)
        )
        return replace(ledger, holes=holes, quarantined=len(self._refused))


class NoCheck:
    """For data of which nobody can say what is missing: trades without ids, pictures taken now and then."""

    def see(self, rows: pl.DataFrame) -> None: ...

    def assess(self, ledger: Ledger) -> Ledger:
        return ledger


def _away(holes: Sequence[Hole]) -> list[TimeRange]:
    """Return when the venue is known to have been away."""
    return [hole.span for hole in holes if hole.reason == VENUE_OUTAGE]


def _told(span: TimeRange, others: Sequence[TimeRange]) -> bool:
    """Tell whether rows speak of the same hole; two that only share the row between them are two."""
    shared = [part for other in others if (part := span.clip(other))]
    return any(part == span or part.length > 1 for part in shared)


def judged(span: TimeRange, missing: int, ledger: Ledger, evidence: Evidence) -> Hole:
    """Say what is known about a hole: what earlier fills found out, and what this one adds."""
    known = [hole for hole in ledger.holes if hole.span.clip(span)]
    asked = sorted({at for hole in known for at in hole.asked})
    if refused := _refused(span, evidence.refused):  # refused is not empty: it may be mended
        return Hole(span, missing, tuple(asked), refused=refused)
    if not span.minus(evidence.requested):
        asked.append(evidence.now)
    proof = _proof(span, [(hole.span, hole.proof) for hole in known if hole.proof] + list(evidence.proven))
    again = bool(asked) and asked[-1] - asked[0] >= ASKED_AGAIN_AFTER
    if proof is None and again and not evidence.witness:
        proof = ASKED_AGAIN
    away = _away(known)
    reason = VENUE_OUTAGE if away and not span.minus(away) else None
    return Hole(span, missing, (asked[0], asked[-1]) if len(asked) > 1 else tuple(asked), proof, reason)


def _refused(span: TimeRange, rows: pl.DataFrame) -> int:
    """Count the refused rows of a time, those of one bar or of one id once."""
    times = rows["ts"].cast(pl.Int64).is_between(span.start, span.end, closed="left")
    key = "trade_id" if "trade_id" in rows.columns else "ts"
    return rows.filter(times.fill_null(value=False))[key].n_unique() if times.any() else 0


def _ns(rows: pl.DataFrame) -> np.ndarray:
    return rows["ts"].cast(pl.Int64).drop_nulls().to_numpy()


def _proof(span: TimeRange, proven: Sequence[tuple[TimeRange, str]]) -> str | None:
    """Return the proof that covers all of ``span``; several may do it together."""
    parts = [(part, proof) for part, proof in proven if part.clip(span)]
    if not parts or span.minus(part for part, _ in parts):
        return None
    return parts[0][1]


def _cut(span: TimeRange, borders: Sequence[TimeRange]) -> Iterator[TimeRange]:
    """Cut ``span`` where a proven part begins or ends."""
    inside = [part for other in union(borders) if (part := other.clip(span))]
    yield from sorted([*inside, *span.minus(inside)])
