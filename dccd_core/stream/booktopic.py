"""When an order book of one connection is known: by what the venue proves of it. Pure."""

from typing import Final

from dccd_core.adapter.live import BookChange, Word
from dccd_core.domain.timespan import MINUTE, SECOND, Us
from dccd_core.stream.book import Book
from dccd_core.stream.claim import Claim, Moment
from dccd_core.stream.compare import Outcome
from dccd_core.stream.silence import Pace
from dccd_core.stream.snapshots import BookKeeper, BookSnapshot
from dccd_core.stream.wanted import Wanted

COMPARE_EVERY: Final = Us(3 * MINUTE)
"""How often a book is held against what REST says, from what is left of the budget."""
_AGAIN: Final = Us(20 * SECOND)
"""How soon it is compared again when that said nothing, or that it was wrong; then ever later."""
_BEATS: Final = 4
_LATE: Final = Us(5 * SECOND)
"""By how much the beat of a topic may be late."""


class BookTopic:
    """One order book on one connection.

    Args:
        wanted: which.
        now: our steady clock.
    """

    def __init__(self, wanted: Wanted, now: Us) -> None:
        self.claim = Claim()
        self.pace = Pace(now)
        self.keeper = BookKeeper(
            Book(wanted.channel, wanted.topic.depth, wanted.precision), wanted.depth, wanted.every
        )
        self._channel = wanted.channel
        self._accepted = False
        self._numbered = False
        self._doubted = False
        """Whether something that nobody understood came since numbers or checksums last proved it."""
        self._compare_at, self._unsettled = Us(now + COMPARE_EVERY), 0
        """When it is to be compared; how often in a row that did not say that all is well."""

    @property
    def lost(self) -> str | None:
        return self.keeper.book.lost

    @property
    def stands(self) -> bool:
        """Whether changes are seen to go on from what it began with."""
        return self.keeper.book.lost is None and self.keeper.book.joined

    @property
    def numbered(self) -> bool:
        """Whether the venue numbers its changes."""
        return self._numbered

    @property
    def proven(self) -> bool:
        """Whether a message of it that is lost shows by numbers or checksums."""
        return bool(self._channel.start or self._channel.checksum or self._numbered)

    def accept(self, moment: Moment) -> None:
        """Note that the venue agreed to send it, perhaps anew."""
        self._accepted = True
        self.pace.beat(moment.steady)

    def update(self, change: BookChange, received: Us, moment: Moment) -> None:
        """Take a change as it came."""
        self._break_off(moment)
        self.pace.count(moment.steady, 1)
        if change.at is not None:
            self.pace.lag = Us(max(0, moment.venue - change.at))
        if change.last is not None:
            self._numbered = True
            self._doubted = False  # it is lost by this, or nothing was missing
        elif change.whole or change.checksum is not None:
            self._doubted = False
        self.keeper.update(change, received)

    def join(self, start: BookChange, received: Us) -> None:
        """Begin with a snapshot that was asked for."""
        self.keeper.join(start, received)

    def taken(self) -> list[BookSnapshot]:
        """Hand over the pictures there are; the claim is brought up to date with them."""
        snapshots, turns = self.keeper.taken()
        for turn in turns:
            if turn.began:
                self.claim.begin(turn.at)
            elif self.claim.reached is None:
                self.claim.turns.append(turn)  # it had ended, and more of it is withdrawn
            else:
                self.claim.reach(turn.at)
                self.claim.end(turn.reason, turn.since)
        if self.keeper.known_until is not None:
            self.claim.reach(self.keeper.known_until)
        return snapshots

    def word(self, word: Word, moment: Moment) -> None:
        """Take note of what the venue says of the topic as a whole."""
        self._break_off(moment)
        self.pace.beat(moment.steady)
        if self._accepted and self.proven and not self._doubted:
            self.keeper.prove(word.at, moment.venue)

    def spoil(self, reason: str) -> None:
        """Take note that one of its messages may have been lost."""
        self._doubted = True
        if not self.proven:
            self.keeper.lose(reason)
        elif self._summed:
            self.keeper.doubt(reason)

    @property
    def _summed(self) -> bool:
        """Whether only checksums prove it: they prove what is, not what was."""
        return bool(self._channel.checksum) and not self._numbered and not self._channel.start

    def _break_off(self, moment: Moment) -> None:
        """Doubt it if a beat is late, now that it is heard of again: changes may have been lost."""
        beats = self._channel.beats
        if beats is not None and moment.steady - self.pace.heard > beats + _LATE and self._summed:
            self._doubted = True
            self.keeper.doubt(
                f"nothing came for {(moment.steady - self.pace.heard) // SECOND} s, not even a heartbeat"
            )

    def end(self, reason: str) -> None:
        """Note that nothing more will come of it."""
        self._accepted = False
        self.keeper.lose(reason)

    def look(self, moment: Moment) -> str | None:
        """Say why the topic is to be subscribed to anew, if it is."""
        quiet = Us(moment.steady - self.pace.heard)
        if self._channel.beats and self._accepted and quiet > _BEATS * self._channel.beats + 5 * SECOND:
            return f"nothing came of it for {quiet // SECOND} s, not even a heartbeat"
        return None

    def question(self, moment: Moment) -> Us | None:
        """Return None: it is settled by a snapshot, see ``compare_due``."""
        del moment
        return None

    def compare_due(self, moment: Moment) -> bool:
        """Whether it is to be held against what REST says: it is silent, or it has not been for long."""
        due = moment.steady >= self._compare_at or self.pace.due(moment.steady)
        return self._accepted and self.lost is None and due

    def compare(self, moment: Moment) -> bool:
        """Begin to compare it; False when that makes no sense now."""
        self._compare_at = Us(moment.steady + COMPARE_EVERY)
        self.pace.ask(moment.steady)
        return self.keeper.compare_begin() is not None

    def compared(self, outcome: Outcome, moment: Moment) -> None:
        """Note what came of it: what said nothing, or found it wrong, is done again soon, then ever later."""
        self._unsettled = 0 if outcome is Outcome.SAME else self._unsettled + 1
        soon = Us(_AGAIN << min(self._unsettled - 1, 10)) if self._unsettled else COMPARE_EVERY
        self._compare_at = Us(moment.steady + min(soon, COMPARE_EVERY))
