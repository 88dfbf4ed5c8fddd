"""What all processes of a machine have spent at one exchange, and what that allows now.

1. A request weighs on a limit from its booking until one period after the venue counted it. That moment is
   not known, but lies before the answer: so a slow or uneven network, or a connection that has to be made
   first, never squeezes two periods' worth into one of the venue's windows. What the fastest answer took
   is taken off again, but for a 100th of the period: the next request is on its way about as long. In the
   first seconds that is not yet known. What comes very late is taken for a slow answer instead.
2. What is in flight stands in table ``flying``; what was answered moves to ``answered``, which keeps a
   running total, so that the weight of any period is the difference of two rows.
3. When the venue tells its own count, then that and what is in flight may not pass the limit either: other
   programs may share the address. The count belongs to one window of the venue's clock and ends with it.
4. Who has to wait stands in ``line``, and who comes later leaves that much weight alone: a heavy request is
   not starved by light ones of other processes. Who died there loses the place by time.
5. All times are wall clock. When it is stepped back, all that was written moves back with it: nobody waits
   longer than without the step. When it is stepped forward, windows and breaker end early, and at most one
   more period's worth is spent; the venue's next count corrects even that.
"""

from dataclasses import dataclass
from pathlib import Path
from sqlite3 import Connection
from typing import Any, Final

from dccd_core.adapter.contract import Limit
from dccd_core.domain.errors import ConfigError
from dccd_core.domain.timespan import MILLISECOND, SECOND, Us
from dccd_core.net.clock import Clock
from dccd_core.net.ratelimit.sqlitefile import SqliteFile

_LATENESS: Final = 25
_LATE: Final = 5 * SECOND
"""How late an answer may at least be before it counts as slow: a lost packet takes seconds to repeat."""
_DOUBT: Final = 100
_LEARNING: Final = 4 * SECOND
"""How long the fastest answer is not yet believed: all that came may have had to connect first."""
_RECHECK: Final = 50 * MILLISECOND
"""How soon to look again when an answer on its way decides, as nobody knows when it comes."""
_GRACE: Final = SECOND
"""How late one may come for one's turn before the place in the line is lost."""
_STEP: Final = 100 * MILLISECOND
"""A row so far in the future says that the clock was stepped back; keys may be a little ahead of it."""
_LONG_AGO: Final = -(2**62)

_VERSION: Final = 0x64636303
_SCHEMA: Final = f"""
CREATE TABLE flying (at INTEGER PRIMARY KEY, weight INTEGER NOT NULL);
CREATE TABLE answered (at INTEGER PRIMARY KEY, total INTEGER NOT NULL);
CREATE TABLE line (at INTEGER PRIMARY KEY, weight INTEGER NOT NULL, until INTEGER NOT NULL);
CREATE TABLE venue (
  used INTEGER NOT NULL, window INTEGER NOT NULL, ahead_low INTEGER NOT NULL, ahead_high INTEGER NOT NULL
);
CREATE TABLE breaker (until INTEGER NOT NULL, reason TEXT NOT NULL);
CREATE TABLE way (fastest INTEGER NOT NULL, believed INTEGER NOT NULL);
INSERT INTO answered VALUES ({_LONG_AGO}, 0);
INSERT INTO venue VALUES (0, {_LONG_AGO}, {_LONG_AGO}, {-_LONG_AGO});
INSERT INTO breaker VALUES ({_LONG_AGO}, '');
INSERT INTO way VALUES ({-_LONG_AGO}, {-_LONG_AGO})
"""  # noqa: S608 - only our own number is put in
_MOVE_BACK: Final = (
    "UPDATE answered SET at = at - ?",
    "UPDATE flying SET at = at - ?",
    "UPDATE venue SET ahead_low = ahead_low + ?1, ahead_high = ahead_high + ?1",
    "UPDATE breaker SET until = until - ?",
    "UPDATE way SET believed = believed - ?",
)


@dataclass(frozen=True, slots=True)
class Cap:
    """At most ``amount`` of weight in any ``period``."""

    amount: int
    period: Us

    @classmethod
    def of(cls, limit: Limit, share: float) -> "Cap":
        """Take a share of a limit; where that is no whole number, round up and stretch the period instead.

        >>> Cap.of(Limit(6_000, Us(60)), 0.95), Cap.of(Limit(1, Us(950)), 0.95)
        (Cap(amount=5700, period=60), Cap(amount=1, period=1000))
        """
        if not 0 < share <= 1:
            raise ConfigError(
                f"{share} is no share of a budget", hint="it is above 0 and at most 1, like 0.9"
            )
        whole = 1_000_000
        fair = max(1, round(share * whole)) * limit.amount
        amount = -(-fair // whole)
        return cls(amount, Us(limit.period * amount * whole // fair))

    @property
    def lateness(self) -> int:
        return max(self.period // _LATENESS, _LATE)

    def leaves_after(self, fastest: int) -> int:
        """Return how long after its answer a request stops to weigh."""
        return self.period - max(0, min(fastest, self.lateness) - self.period // _DOUBT)


@dataclass(frozen=True, slots=True)
class Booking:
    """Weight that may be sent now; ``at`` also names it."""

    at: Us
    weight: int


@dataclass(frozen=True, slots=True)
class Queued:
    """Not yet: look again at ``ready``. ``place`` is where one stands in the line."""

    ready: Us
    place: int


@dataclass(frozen=True, slots=True)
class BreakerOpen:
    """The breaker is open until then."""

    until: Us
    reason: str


class SharedWindow:
    """Every method is one short transaction (docs/decisions/0003 has its cost)."""

    def __init__(self, path: Path, limits: tuple[Limit, ...], share: float, clock: Clock) -> None:
        self.caps: Final = tuple(Cap.of(limit, share) for limit in limits)
        self._venue_period = limits[0].period
        self._longest = max(cap.period + cap.lateness for cap in self.caps)
        self._lateness = min(cap.lateness for cap in self.caps)
        self._clock = clock
        self._file = SqliteFile(path, _SCHEMA, _VERSION)

    def close(self) -> None:
        self._file.close()

    def book(self, weight: int, place: int | None = None) -> Booking | Queued | BreakerOpen:
        """Book ``weight`` if it is allowed now; else take, or keep, a place in the line."""
        return self._file.transact(lambda db: self._book(db, weight, place))

    def breaker(self) -> BreakerOpen | None:
        """Return until when the breaker is open, if it is."""
        now = self._clock.now()
        until, reason = self._file.transact(lambda db: _one(db, "SELECT until, reason FROM breaker"))
        return BreakerOpen(until, reason) if now < until else None

    def leave(self, place: int) -> None:
        """Give up a place in the line."""
        self._file.transact(lambda db: db.execute("DELETE FROM line WHERE at = ?", (place,)))

    def settle(self, booking: Booking, used: int | None, at: Us) -> None:
        """Note that a booking was answered at venue time ``at``, and the venue's count if it told one."""
        self._file.transact(lambda db: self._settle(db, booking, used, at))

    def trip(self, until: Us, reason: str) -> bool:
        """Open the breaker, or keep it open longer; say whether that changed anything."""
        update = "UPDATE breaker SET until = ?1, reason = ?2 WHERE until < ?1"
        return self._file.transact(lambda db: db.execute(update, (until, reason)).rowcount) == 1

    def _book(self, db: Connection, weight: int, place: int | None) -> Booking | Queued | BreakerOpen:
        now = self._now(db)
        until, reason = _one(db, "SELECT until, reason FROM breaker")
        if now < until:
            return BreakerOpen(until, reason)
        ahead, checked = _ahead(db, now, place)
        fastest, believed = _one(db, "SELECT fastest, believed FROM way")
        known = fastest if now >= believed else 0
        ready = max(
            self._venue_ready(db, now, ahead + weight),
            *(_cap_ready(db, cap, known, now, ahead + weight) for cap in self.caps),
        )
        if ready > now:
            return _queue_up(db, now, weight, place, min(ready, checked))
        if place is not None:
            db.execute("DELETE FROM line WHERE at = ?", (place,))
        at = _free_key(db, "SELECT max(at) FROM flying", now)
        db.execute("INSERT INTO flying VALUES (?, ?)", (at, weight))
        return Booking(at, weight)

    def _venue_ready(self, db: Connection, now: Us, weight: int) -> Us:
        """Return when the venue's own count allows ``weight``: ``now``, soon, or when its window is over."""
        cap = self.caps[0]
        used, window, low = _one(db, "SELECT used, window, ahead_low FROM venue")
        ends = Us((window + 1) * self._venue_period - low)
        if now >= ends or used + _in_flight(db, cap, now) + weight <= cap.amount:
            return now
        return min(ends, Us(now + _RECHECK)) if used + weight <= cap.amount else ends

    def _settle(self, db: Connection, booking: Booking, used: int | None, at: Us) -> None:
        now = self._now(db)
        if db.execute("DELETE FROM flying WHERE at = ?", (booking.at,)).rowcount:
            last, total = _one(db, "SELECT at, total FROM answered ORDER BY at DESC LIMIT 1")
            counted = max(last + 1, min(now, booking.at + self._lateness))
            db.execute("INSERT INTO answered VALUES (?, ?)", (counted, total + booking.weight))
            took = max(0, now - booking.at)
            learn = "UPDATE way SET fastest = min(fastest, ?), believed = min(believed, ?)"
            db.execute(learn, (took, now + _LEARNING))
            _forget(db, now - self._longest)
        if used is None:
            db.execute("UPDATE venue SET used = used + ?", (booking.weight,))
        else:
            self._note_count(db, now, booking, used, at)

    def _note_count(self, db: Connection, now: Us, booking: Booking, used: int, at: Us) -> None:
        """Note the venue's count, if it is sure to which of its windows that belongs.

        The answer was dated, in whole seconds, between booking and now. So every answer says how far the
        venue's clock may be ahead of ours, and together they say it ever better; when they contradict each
        other, a clock was stepped and the newest is believed. Within a window counts only grow, so the
        highest is the latest. What is answered without a sure count is added to the one before.
        """
        known_used, known_window, known_low, known_high = _one(db, "SELECT * FROM venue")
        low, high = at - now, at + SECOND - booking.at
        agree = low <= known_high and known_low <= high
        if agree:
            low, high = max(low, known_low), min(high, known_high)
        window = at // self._venue_period
        if (booking.at + low) // self._venue_period != window or (agree and window < known_window):
            used, window = known_used + booking.weight, known_window
        elif agree and window == known_window:
            used = max(used, known_used)
        db.execute(
            "UPDATE venue SET used = ?, window = ?, ahead_low = ?, ahead_high = ?", (used, window, low, high)
        )

    def _now(self, db: Connection) -> Us:
        """Ask the clock; if it was stepped back, move all that was written back with it."""
        now = self._clock.now()
        (newest,) = _one(
            db, "SELECT max((SELECT max(at) FROM answered), coalesce((SELECT max(at) FROM flying), 0))"
        )
        step = newest - now
        if step > _STEP:
            for update in _MOVE_BACK:
                db.execute(update, (step,))
            db.execute("DELETE FROM line")
        return now


def _cap_ready(db: Connection, cap: Cap, fastest: int, now: Us, weight: int) -> Us:
    """Return when ``cap`` allows ``weight``, as far as is known now; ``now`` if it does."""
    since = now - cap.leaves_after(fastest)
    (total,) = _one(db, "SELECT total FROM answered ORDER BY at DESC LIMIT 1")
    (gone,) = _one(db, "SELECT total FROM answered WHERE at <= ? ORDER BY at DESC LIMIT 1", since)
    excess = total - gone + _in_flight(db, cap, now) + weight - cap.amount
    if excess <= 0:
        return now
    leaving = "SELECT min(at) FROM answered WHERE at > ? AND total >= ?"
    (leaves,) = _one(db, leaving, since, min(total, gone + excess))
    if leaves is not None:
        return Us(leaves + cap.leaves_after(fastest))
    (oldest,) = _one(db, "SELECT coalesce(min(at), 0) FROM flying WHERE at > ?", now - cap.period)
    return Us(max(now + _RECHECK, oldest + cap.period))


def _in_flight(db: Connection, cap: Cap, now: Us) -> int:
    since = now - cap.period - cap.lateness
    (weight,) = _one(db, "SELECT coalesce(sum(weight), 0) FROM flying WHERE at > ?", since)
    return weight


def _ahead(db: Connection, now: Us, place: int | None) -> tuple[int, Us]:
    """Return the weight of those before us in the line, and when the first of them may lose the place."""
    before = -_LONG_AGO if place is None else place
    query = "SELECT coalesce(sum(weight), 0), coalesce(min(until), ?3) FROM line WHERE at < ?1 AND until > ?2"
    weight, until = _one(db, query, before, now, -_LONG_AGO)
    return weight, until


def _queue_up(db: Connection, now: Us, weight: int, place: int | None, ready: Us) -> Queued:
    db.execute("DELETE FROM line WHERE until <= ?", (now,))
    place = _free_key(db, "SELECT max(at) FROM line", now) if place is None else place
    db.execute("INSERT OR REPLACE INTO line VALUES (?, ?, ?)", (place, weight, ready + _GRACE))
    return Queued(ready, place)


def _forget(db: Connection, before: int) -> None:
    """Delete what weighs no more; the newest such answer stays as the zero of the running total."""
    db.execute("DELETE FROM answered WHERE at < (SELECT max(at) FROM answered WHERE at <= ?)", (before,))
    db.execute("DELETE FROM flying WHERE at <= ?", (before,))


def _free_key(db: Connection, newest: str, now: Us) -> Us:
    """Return now, or the first moment after the newest key."""
    (key,) = _one(db, newest)
    return now if key is None else max(now, Us(key + 1))


def _one(db: Connection, query: str, *values: object) -> tuple[Any, ...]:
    row = db.execute(query, values).fetchone()
    assert row is not None
    return row
