"""What one connection may say of one dataset: from when to when it is complete, by its own proofs. Pure."""

from dataclasses import dataclass, field
from typing import Final

from dccd_core.domain.timespan import SECOND, Us
from dccd_core.stream.snapshots import Turn

LATENESS: Final = Us(2 * SECOND)
"""How much later than others of its topic a message may come."""
NOT_UNDERSTOOD: Final = "a message could not be understood"
ANEW: Final = "it was subscribed to anew"
PAUSED: Final = "paused by a user"
REMOVED: Final = "taken out of the stream"


@dataclass(frozen=True, slots=True)
class Moment:
    """Now: ``steady`` of our clock that is never stepped, ``venue`` what the venue's clock shows by it."""

    steady: Us
    venue: Us


@dataclass(slots=True)
class Claim:
    """Complete from ``began`` until ``reached``, venue time; both None while it is not.

    ``ended`` says why not; ``turns`` are its beginnings and ends that nobody has taken note of yet.
    ``last_id``: where ids follow one another, the last one that came without one missing before it.
    """

    began: Us | None = None
    reached: Us | None = None
    ended: Turn | None = None
    turns: list[Turn] = field(default_factory=list[Turn])
    last_id: int | None = None

    def begin(self, at: Us, after_id: int | None = None) -> None:
        """Note that from ``at`` on all of it comes; where ids are known, all after ``after_id``."""
        if self.began is None:
            self.began = self.reached = at
            self.ended = None
            self.turns.append(Turn(at, began=True, id=after_id))

    def reach(self, at: Us) -> None:
        """Note that all of it until ``at`` has come."""
        if self.reached is not None:
            self.reached = max(self.reached, at)

    def end(self, reason: str, since: Us | None = None) -> None:
        """Note that from where it had come on rows may be missing; from ``since`` on, if that is earlier."""
        if self.reached is not None:
            self.ended = Turn(self.reached, began=False, reason=reason, since=since, id=self.last_id)
            self.turns.append(self.ended)
            self.began = self.reached = self.last_id = None

    def withdraw(self, reason: str, since: Us, until: Us) -> None:
        """Take back what an earlier claim, ended at ``until``, said from ``since`` on; this one goes on."""
        reached = self.reached
        self.end(reason)
        self.turns.append(Turn(until, began=False, reason=reason, since=since))
        if reached is not None:
            self.begin(reached)

    def taken(self) -> list[Turn]:
        turns, self.turns = self.turns, []
        return turns
