"""What a partition was asked for, and what is known about its holes. Pure; JSON in and out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise
from typing import Final, Literal

import msgspec

from dccd_core.domain.errors import DamagedFile
from dccd_core.domain.timespan import TimeRange, Us, union

ACCEPTED: Final = "accepted: "
"""How the proof of a hole begins that nobody can explain, but somebody has accepted."""
NOT_RECORDED: Final = "nothing was recorded"
DAMAGED: Final = "its file was damaged, and what was in it has not come again"
"""Why time is not covered any more that was, until it is."""
VENUE_OUTAGE: Final = "venue outage"
"""How a hole came about that all symbols of a venue have at once."""


class Source(StrEnum):
    REST = "rest"
    ARCHIVE = "archive"
    STREAM = "stream"
    DERIVED = "derived"
    IMPORT = "import"
    """Taken over from elsewhere, and accepted by name: nobody has asked the venue."""


class Condition(StrEnum):
    AVAILABLE = "available"
    DEGRADED = "degraded"
    PENDING = "pending"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Asked:
    """``span`` was asked of ``source`` with ``requests`` requests, the last of them answered ``at``."""

    span: TimeRange
    source: Source
    at: Us
    requests: int
    rows: int

    def touches(self, other: "Asked") -> bool:
        """Whether both come from one source and share time or a border."""
        near = self.span.start <= other.span.end and other.span.start <= self.span.end
        return near and self.source is other.source

    def joined(self, other: "Asked") -> "Asked":
        return Asked(
            TimeRange(min(self.span.start, other.span.start), max(self.span.end, other.span.end)),
            self.source,
            max(self.at, other.at),
            self.requests + other.requests,
            self.rows + other.rows,
        )


@dataclass(frozen=True, slots=True)
class Hole:
    """``missing`` bars or ids that are not there.

    ``asked`` are the moments at which the venue was asked for them and answered nothing; ``proof`` says
    why they cannot be had. A hole without proof is a gap. ``reason`` says how it came about, where that is
    known. ``refused``: so many rows of its time came, and were put into quarantine.
    """

    span: TimeRange
    missing: int
    asked: tuple[Us, ...] = ()
    proof: str | None = None
    reason: str | None = None
    refused: int = 0

    def within(self, span: TimeRange) -> "Hole | None":
        """Return the part in ``span``; a hole that is no row of bars cannot be cut, and is in it or not."""
        part = self.span.clip(span)
        if part is None or part == self.span:
            return self if part else None
        bar, rest = divmod(self.span.length, max(1, self.missing))
        if rest or part.length % bar or (part.start - self.span.start) % bar:
            return None
        missing = part.length // bar
        return replace(self, span=part, missing=missing, refused=min(self.refused, missing))


@dataclass(frozen=True, slots=True)
class Answer:
    """What somebody asked of a partition whose rows are in no file yet, and what is known by that.

    ``holes``: all there are in the time of ``asked``, each with what was known of it before. ``quarantined``:
    how many rows had come that are kept beside the partition.
    """

    asked: tuple[Asked, ...]
    holes: tuple[Hole, ...] = ()
    quarantined: int = 0

    @property
    def spans(self) -> list[TimeRange]:
        return union(asked.span for asked in self.asked)

    @property
    def rows(self) -> int:
        return sum(asked.rows for asked in self.asked)


@dataclass(frozen=True, slots=True)
class Accepted:
    """A known irregularity of a venue that somebody takes as it is, and why."""

    span: TimeRange
    why: str


@dataclass(frozen=True, slots=True)
class Lost:
    """Time that is not covered, and why: a stream did not record. No hole as long as nobody asked for it.

    Of ``DAMAGED`` time something was stored once.
    """

    span: TimeRange
    reason: str


class _Stored(msgspec.Struct, forbid_unknown_fields=True):
    version: Literal[2]
    asked: tuple[Asked, ...]
    holes: tuple[Hole, ...]
    quarantined: int
    lost: tuple[Lost, ...] = ()
    imported: tuple[TimeRange, ...] | msgspec.UnsetType = msgspec.UNSET
    accepted: tuple[Accepted, ...] | msgspec.UnsetType = msgspec.UNSET
    replaced: tuple[TimeRange, ...] | msgspec.UnsetType = msgspec.UNSET


_READ: Final = msgspec.json.Decoder(_Stored)


@dataclass(frozen=True, slots=True)
class Ledger:
    asked: tuple[Asked, ...] = ()
    """In order of time; no two of one source touch."""
    holes: tuple[Hole, ...] = ()
    quarantined: int = 0
    lost: tuple[Lost, ...] = ()
    """In order of time; none of it is covered, and no two share time."""
    imported: tuple[TimeRange, ...] = ()
    """In order of time: where rows were taken over from elsewhere that no answer has told of since."""
    accepted: tuple[Accepted, ...] = ()
    """What somebody takes as it is, by ``dccd quarantine --accept``: see ``accepting``."""
    replaced: tuple[TimeRange, ...] = ()
    """In order of time: where an answer took the place of rows that were taken over, and may be fewer."""

    @property
    def requests(self) -> int:
        return sum(asked.requests for asked in self.asked)

    def covered(self) -> list[TimeRange]:
        """Return the time that was asked for, from whichever source."""
        return union(asked.span for asked in self.asked)

    def covered_until(self, span: TimeRange) -> Us:
        """Return where the covered run that begins at ``span.start`` ends, at most ``span.end``."""
        run = (covered.end for covered in self.covered() if covered.start <= span.start < covered.end)
        return min(next(run, span.start), span.end)

    def damaged(self) -> list[TimeRange]:
        """Return the time of which something was stored once that is not there any more."""
        return [one.span for one in self.lost if one.reason == DAMAGED]

    def gaps(self) -> tuple[Hole, ...]:
        return tuple(hole for hole in self.holes if hole.proof is None) if self.holes else ()

    def accepting(self, accepted: Sequence[Accepted]) -> "Ledger":
        """Return the ledger in which the gaps that were accepted are explained, as such and by their reason.

        Those of the ledger itself count as well, where ``accepted`` says nothing of that time. Nothing of
        it is written into holes: what is accepted no longer is a gap again.
        """
        said = [one.span for one in accepted]
        accepted = [*accepted, *(replace(one, span=p) for one in self.accepted for p in one.span.minus(said))]
        holes: list[Hole] = []
        for hole in self.holes:
            known = [part for one in accepted if (part := _accepted(hole, one))] if hole.proof is None else []
            left = [hole.within(rest) for rest in hole.span.minus(part.span for part in known)]
            whole = None not in left
            holes += [*known, *(part for part in left if part)] if known and whole else [hole]
        taken = sum(hole.refused for hole in holes if (hole.proof or "").startswith(ACCEPTED))
        return replace(
            self,
            holes=tuple(sorted(holes, key=lambda hole: hole.span)),
            quarantined=max(0, self.quarantined - taken),
        )

    def accept(self, spans: Iterable[TimeRange], why: str) -> "Ledger":
        """Return the ledger that takes what is missing of these spans as it is; the last reason stays."""
        new = union(spans)
        kept = [replace(one, span=part) for one in self.accepted for part in one.span.minus(new)]
        added = [Accepted(span, why) for span in new]
        return replace(self, accepted=tuple(sorted([*kept, *added], key=lambda one: one.span)))

    def add(self, asked: Asked) -> "Ledger":
        """Return the ledger with ``asked`` in it, joined with what it touches of the same source."""
        apart: list[Asked] = []
        whole = asked
        for other in self.asked:
            if other.touches(asked):
                whole = whole.joined(other)
            else:
                apart.append(other)
        asked_all = tuple(sorted([*apart, whole], key=lambda each: (each.span, each.source)))
        left = [(part, one.reason) for one in self.lost for part in one.span.minus([asked.span])]
        lost = tuple(Lost(part, reason) for part, reason in left)
        told = [asked.span] if asked.rows else []
        imported = tuple(part for one in self.imported for part in one.minus(told))
        replaced = tuple(union([*self.replaced, *self.told_by([asked])]))
        return replace(self, asked=asked_all, lost=lost, imported=imported, replaced=replaced)

    def take_over(self, spans: Iterable[TimeRange]) -> "Ledger":
        """Return the ledger that knows of rows taken over from elsewhere: that proves nothing."""
        return replace(self, imported=tuple(union([*self.imported, *spans])))

    def told_by(self, answers: Iterable[Asked]) -> list[TimeRange]:
        """Return for which time these answers bring the rows themselves, so that none taken over is to stay.

        An answer without any row takes none away: a venue may have forgotten what it once showed.
        """
        told = [asked.span for asked in answers if asked.rows]
        return _common(self.imported, told)

    def replaces(self, other: "Ledger") -> list[TimeRange]:
        """Return where answers that this ledger knows took the place of what was taken over in ``other``."""
        return _common(other.imported, self.replaced)

    def knows(self, asked: Asked) -> bool:
        """Return whether all of it was asked of that source, and no earlier."""
        return any(
            other.source is asked.source
            and other.span.start <= asked.span.start
            and asked.span.end <= other.span.end
            and (other.at >= asked.at or asked.source is Source.STREAM)
            for other in self.asked
        )

    def learn(self, answer: Answer) -> "Ledger":
        """Return the ledger with what an answer told; one whose questions are all known tells nothing.

        So what is told twice counts once, and brings back no hole that was mended since.
        """
        news = [asked for asked in answer.asked if not self.knows(asked)]
        if not news:
            return self
        ledger, told = self, {hole.span for hole in answer.holes}
        for asked in news:
            ledger = ledger.add(asked)
        kept = [hole for hole in self.holes if hole.span not in told and hole.span.minus(answer.spans)]
        return replace(
            ledger,
            holes=tuple(sorted([*kept, *answer.holes], key=lambda hole: hole.span)),
            quarantined=max(ledger.quarantined, answer.quarantined),
        )

    def learn_all(self, answers: Iterable[Answer]) -> "Ledger":
        """Return what ``learn`` gives for one after another; there may be hundreds, most of a simple kind."""
        ledger, run = self, None
        for answer in answers:
            asked = answer.asked[0]
            if len(answer.asked) > 1 or answer.holes or answer.quarantined or self.holes or self.lost:
                ledger, run = ledger.learn(Answer((run,))) if run else ledger, None
                ledger = ledger.learn(answer)
            elif self.knows(asked):
                continue
            elif run and run.source is asked.source and run.span.end == asked.span.start:
                run = run.joined(asked)
            else:
                ledger, run = ledger.learn(Answer((run,))) if run else ledger, asked
        return ledger.learn(Answer((run,))) if run else ledger

    def lose(self, lost: Iterable[tuple[TimeRange, str]]) -> "Ledger":
        """Return the ledger with the reasons why time is not covered, as far as it is not."""
        known, covered = list(self.lost), self.covered()
        for span, reason in lost:
            taken = [*covered, *(one.span for one in known)]
            known += [Lost(part, reason) for part in span.minus(taken)]
        joined = list[Lost]()
        for one in sorted(known, key=lambda one: one.span):
            before = joined[-1] if joined else None
            if before is not None and before.span.end == one.span.start and before.reason == one.reason:
                joined[-1] = Lost(TimeRange(before.span.start, one.span.end), one.reason)
            else:
                joined.append(one)
        return replace(self, lost=tuple(joined))

    def withdraw(self, spans: Sequence[TimeRange]) -> "Ledger":
        """Return the ledger without what streams claimed of these spans: it turned out not to be so."""
        kept: list[Asked] = []
        for asked in self.asked:
            if asked.source is Source.STREAM:
                kept += [replace(asked, span=part) for part in asked.span.minus(spans)]
            else:
                kept.append(asked)
        return replace(self, asked=tuple(kept))

    def streamed(self) -> list[TimeRange]:
        """Return what streams recorded."""
        return union(asked.span for asked in self.asked if asked.source is Source.STREAM)

    def unrecorded(self) -> list[tuple[TimeRange, str]]:
        """Return what lies between recordings and is not covered otherwise, each part with its reason.

        A reason holds until the next one, or until the next recording.
        """
        covered, found = self.covered(), list[tuple[TimeRange, str]]()
        for before, after in pairwise(self.streamed()):
            for gap in TimeRange(before.end, after.start).minus(covered):
                inside = [(part, one.reason) for one in self.lost if (part := one.span.clip(gap))]
                starts = [(gap.start, NOT_RECORDED), *((part.start, reason) for part, reason in inside)]
                starts = [*starts[1:]] if inside and inside[0][0].start == gap.start else starts
                ends = [*(at for at, _ in starts[1:]), gap.end]
                found += [(TimeRange(at, end), why) for (at, why), end in zip(starts, ends, strict=True)]
        return found

    def to_json(self) -> str:
        imported = self.imported or msgspec.UNSET
        accepted = self.accepted or msgspec.UNSET
        replaced = self.replaced or msgspec.UNSET
        held = _Stored(2, self.asked, self.holes, self.quarantined, self.lost, imported, accepted, replaced)
        return msgspec.json.encode(held).decode()

    @classmethod
    def from_json(cls, text: bytes | str) -> "Ledger":
        """Read what ``to_json`` wrote.

        Raises:
            DamagedFile: it is something else, or of a version that is not known here.
        """
        try:
            read = _READ.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError) as e:
            raise DamagedFile(
                f"the ledger cannot be read: {e}", hint="update dccd; or restore the file and try again"
            ) from e
        imported, accepted, replaced = read.imported or (), read.accepted or (), read.replaced or ()
        return cls(read.asked, read.holes, read.quarantined, read.lost, imported, accepted, replaced)


def _common(some: Iterable[TimeRange], others: Sequence[TimeRange]) -> list[TimeRange]:
    return [part for one in some for other in others if (part := one.clip(other))]


def _accepted(hole: Hole, accepted: Accepted) -> Hole | None:
    part = hole.within(accepted.span)
    return part and replace(part, proof=f"{ACCEPTED}{accepted.why}")


def condition(ledger: Ledger | None, span: TimeRange) -> Condition:
    """Say in one word what can be expected of the partition that covers ``span``."""
    if ledger is None:
        return Condition.MISSING
    until = ledger.covered_until(span)
    left_behind = any(one.span.end > until for one in ledger.asked if one.span.clip(span))
    if ledger.gaps() or ledger.quarantined or left_behind:
        return Condition.DEGRADED
    return Condition.AVAILABLE if until == span.end else Condition.PENDING
