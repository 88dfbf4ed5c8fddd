"""When the trades of one topic are complete: by their ids, or by the beats that the venue promises. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from dccd_core.adapter.live import Channel, Word
from dccd_core.domain.timespan import SECOND, ZERO, Us, iso
from dccd_core.stream import tables
from dccd_core.stream.claim import ANEW, LATENESS, Claim, Moment
from dccd_core.stream.silence import Pace

_PATIENCE: Final = Us(5 * SECOND)
"""How much later than another of its topic a trade may come before it counts as missing."""
_BEATS: Final = 4
"""So many beats of a topic may be late."""
_ASKED: Final = "it was silent, and nobody was asked about the last of it"
_COUNTED_ANEW: Final = "the venue began to count its trades anew"
Int64s = NDArray[np.int64]


class TopicSummary(NamedTuple):
    """What came of one topic in sum: how many rows there were, and between which venue times.

    ``ids`` are the first and the last id and how many there are, where all of them are numbers.
    ``received``: when the last one came; ``price``: of the last one.
    """

    height: int
    first: Us
    last: Us
    ids: tuple[int, int, int] | None = None
    received: Us = ZERO
    price: float | None = None


def summarize(rows: pl.DataFrame, price: str = "price", *, numbered: bool = True) -> dict[str, TopicSummary]:
    """Say of each topic what came of it.

    Args:
        rows: trades, or what else has times, with ``topic`` and ``received``.
        price: the column that is shown to people.
        numbered: whether ids are of interest: they are numbers written as text.
    """
    ts = pl.col("ts").to_physical()
    shown = pl.col(price).last().cast(pl.Float64)
    said = [pl.len(), ts.min().alias("first"), ts.max().alias("last"), pl.col("received").max(), shown]
    numbered = numbered and "trade_id" in rows.columns
    if numbered:
        rows = rows.with_columns(number=pl.col("trade_id").cast(pl.Int64, strict=False))
    if (name := tables.alone(rows)) is not None:  # as in a flood
        count, first, last, received, shown = rows.select(*said).row(0)
        ids = _ids(rows["number"]) if numbered else None
        return {name: TopicSummary(count, first, last, ids, received, shown)}
    number, found = pl.col("number"), dict[str, TopicSummary]()
    low, high = number.min().alias("low"), number.max().alias("high")
    ids = [low, high, number.n_unique(), number.null_count().alias("none")] if numbered else []
    for name, count, first, last, received, shown, *numbers in rows.group_by("topic").agg(*said, *ids).rows():
        known = tuple(numbers[:3]) if numbers and not numbers[3] else None
        found[name] = TopicSummary(count, first, last, known, received, shown)
    return found


def _ids(numbers: pl.Series) -> tuple[int, int, int] | None:
    if numbers.null_count():
        return None
    low, high = _whole(numbers.min()), _whole(numbers.max())
    in_order = high - low + 1 == len(numbers) and bool((numbers.diff().slice(1) == 1).all())
    return low, high, len(numbers) if in_order else numbers.n_unique()


def _whole(value: object) -> int:
    assert isinstance(value, int)
    return value


@dataclass(slots=True)
class Stretch:
    """Consecutive ids that all came, with the times of the first and the last.

    ``seen``: when the first of it came, on our steady clock.
    """

    first: int
    last: int
    start: Us
    end: Us
    seen: Us = field(default=ZERO, compare=False)


class IdRun:
    """The ids that came without one missing; and those after a missing one, which may still come."""

    def __init__(self) -> None:
        self.whole: Stretch | None = None
        self.waiting_since: Us | None = None
        """Since when the next id is known to be missing, on our steady clock."""
        self._ahead: list[Stretch] = []
        self._known = -1
        """The last id that the venue is known to have given, ..."""
        self._known_since = ZERO
        """... and since when."""

    def begin(self, last: int, at: Us) -> None:
        """Begin after a trade that is known of, whether or not it came."""
        self.whole = Stretch(last, last, at, at)
        self._known = last

    def add(self, stretches: Sequence[Stretch], now: Us) -> None:
        whole, first = self.whole, stretches[0]
        if whole and not self._ahead and len(stretches) == 1 and whole.first <= first.first <= whole.last + 1:
            if first.last > whole.last:  # as nearly always
                self.whole = Stretch(whole.first, first.last, whole.start, first.end)
                self._know(first.last, now)
            self._wait()
            return
        before = self.whole.last if self.whole else None
        known = [self.whole] if self.whole else []
        merged: list[Stretch] = []
        came = [replace(one, seen=now) for one in stretches]
        for one in sorted([*known, *self._ahead, *came], key=lambda each: each.first):
            if merged and one.first <= merged[-1].last + 1:
                seen = min(merged[-1].seen, one.seen)
                if one.last > merged[-1].last:
                    merged[-1] = Stretch(merged[-1].first, one.last, merged[-1].start, one.end, seen)
                else:
                    merged[-1].seen = seen
            else:
                merged.append(one)
        whole = [one for one in merged if before is None or one.last >= before]
        self.whole, self._ahead = whole[0], whole[1:]
        self._know(whole[-1].last, now)
        self._wait()

    def know(self, last: int, now: Us) -> bool:
        """Take note that there was a trade of this id; return whether all until it came."""
        self._know(last, now)
        self._wait()
        return self.waiting_since is None

    def missing(self) -> tuple[int, int]:
        """Return the first and the last id of the first gap."""
        assert self.whole is not None
        return self.whole.last + 1, (self._ahead[0].first - 1 if self._ahead else self._known)

    def skip(self) -> Us | None:
        """Go on after the first gap; return the time of the first trade there, None when none came."""
        self.waiting_since = None
        if not self._ahead:
            self.whole = None
            return None
        self.whole = self._ahead.pop(0)
        self._wait()
        return self.whole.start

    def _know(self, last: int, now: Us) -> None:
        if last > self._known:
            self._known, self._known_since = last, now

    def _wait(self) -> None:
        """Note since when the next id is missing: what comes after it shows that, the first time it does."""
        assert self.whole is not None
        missing = self.whole.last < self._known
        seen = min((one.seen for one in self._ahead), default=self._known_since)
        self.waiting_since = seen if missing else None


def stretches(rows: pl.DataFrame) -> list[Stretch]:
    """Return the consecutive ids of one topic's rows."""
    ids: Int64s = rows["trade_id"].cast(pl.Int64).to_numpy()
    times: Int64s = rows["ts"].to_physical().to_numpy()
    ids, places = np.unique(ids, return_index=True)
    times = times[places]
    cuts = np.flatnonzero(np.diff(ids) > 1) + 1
    parts = zip(np.split(ids, cuts), np.split(times, cuts), strict=True)
    return [Stretch(int(n[0]), int(n[-1]), Us(int(t[0])), Us(int(t[-1]))) for n, t in parts]


class TradeTopic:
    """One topic of trades on one connection, which ids or beats prove. ``PagedTopic`` is for all others.

    Args:
        channel: how the venue proves them.
        now: our steady clock.
    """

    def __init__(self, channel: Channel, now: Us) -> None:
        assert channel.consecutive or channel.beats, "nothing counts its trades"
        self.claim = Claim()
        self.pace = Pace(now)
        self._beats = channel.beats
        self._ids = IdRun() if channel.consecutive else None
        self._numbered = channel.consecutive
        self._accepted: Us | None = None
        self._last: Us | None = None
        """The venue time of its newest trade, or of a proof that there was none."""
        self._lost_until = ZERO
        """What was lost at a time that nobody knows was of before this venue time."""

    @property
    def accepted(self) -> bool:
        return self._accepted is not None

    def accept(self, moment: Moment) -> None:
        """Note that the venue agreed to send it, perhaps anew: what came between is not known."""
        self.claim.end(ANEW)
        self._accepted, self._last = moment.venue, None
        self._lost_until = ZERO
        self._ids = IdRun() if self._numbered else None
        self.pace.beat(moment.steady)
        self.pace.lag = ZERO

    def take(
        self, summary: TopicSummary, rows: Callable[[], pl.DataFrame], moment: Moment, *, spoilt: bool = False
    ) -> None:
        """Take trades as they came.

        Args:
            summary: what they are.
            rows: gives them.
            moment: now.
            spoilt: something that nobody understood came with them, which may have been one of them.
        """
        self.pace.count(moment.steady, summary.height)
        if self._accepted is None:
            return
        if self._last is not None:  # a subscription begins with old ones
            self.pace.lag = Us(max(0, moment.venue - summary.last))
        if spoilt and not self._numbered:
            self._last = max(summary.last, self._last or summary.last)
            return
        if self._ids and summary.ids is None:
            self.claim.end("trades came without ids")
            self._ids = IdRun()
        elif self._ids:
            self._take_ids(self._ids, summary, rows, moment)
        else:
            self._take_times(summary, rows)

    def word(self, word: Word, moment: Moment) -> None:
        """Take note of what the venue says of the topic as a whole."""
        self.pace.beat(moment.steady)
        if self._accepted is None:
            return
        whole = True
        if self._ids and word.last_id is not None:
            if self._ids.whole is None:
                self._ids.begin(word.last_id, word.at)
            else:
                whole = self._ids.know(word.last_id, moment.steady)
        elif self._ids:
            return
        elif self._last is not None and word.at - self._last > self._allowed:
            self.claim.end(f"nothing came for {(word.at - self._last) // SECOND} s, not even a heartbeat")
        self._begin(word.at, word.last_id if self._ids else None)
        self.claim.last_id = self._ids.whole.last if self._ids and self._ids.whole else None
        if whole:
            self.claim.reach(Us(word.at - LATENESS))
            self._last = max(word.at, self._last or word.at)

    def end(self, reason: str) -> None:
        """Note that nothing more will come of it."""
        self._accepted = self._last = None
        self.claim.end(reason)

    def spoil(self, reason: str) -> None:
        """Take note that one of its messages may have been lost: ids would show that."""
        if not self._numbered:
            self.claim.end(reason)

    def lose_until(self, at: Us) -> None:
        """Take note that what was lost was of some time before ``at``; earlier trades may still come."""
        if not self._numbered:
            self._lost_until = max(at, self._last or ZERO)

    def look(self, moment: Moment) -> str | None:
        """Give up what is missing for long; say why the topic is to be subscribed to anew, if it is."""
        ids = self._ids
        while ids and ids.waiting_since is not None and moment.steady - ids.waiting_since >= _PATIENCE:
            first, last = ids.missing()
            self.claim.end(f"trades {first} to {last} did not come")
            if (at := ids.skip()) is None:
                return f"trades {first} to {last} did not come, and none after them"
            assert ids.whole is not None
            self.claim.begin(Us(at + 1), ids.whole.first - 1)
            self._reach_ids(ids)
        if self._beats and self._accepted and moment.steady - self.pace.heard > self._patience():
            quiet = (moment.steady - self.pace.heard) // SECOND
            return f"nothing came of it for {quiet} s, not even a heartbeat"
        return None

    def question(self, moment: Moment) -> Us | None:
        """Say from when on it is to be asked whether something was traded, if its silence needs a proof."""
        if self._accepted is None or self._beats or not self.pace.due(moment.steady):
            return None
        return Us(self._accepted + LATENESS) if self._last is None else self._last

    def answer(self, rows: pl.DataFrame, until: Us, moment: Moment) -> str | None:
        """Take the answer: what was traded until then; say why it is to be subscribed to anew, if it is."""
        since = self._accepted if self._last is None else self._last
        if since is None:
            return None
        times = rows["ts"].to_physical()
        fresh = rows.filter(times > since + (LATENESS if self._last is None else 0))
        if self._ids and self._ids.whole and self._ids.whole.last >= 0:
            fresh = rows.filter(pl.col("trade_id").cast(pl.Int64) > self._ids.whole.last)
        if fresh.height:
            first = Us(int(fresh["ts"].to_physical()[0]))
            return f"it was silent, although something was traded at {iso(first)}"
        if until <= since:
            return None  # it was heard of meanwhile
        self.claim.begin(Us(since + LATENESS))
        self.claim.reach(until)
        self._last = max(until, self._last or until)
        self.pace.beat(moment.steady)
        return None

    @property
    def _allowed(self) -> Us:
        """For how long its silence swallows nothing: a beat that is later was lost."""
        assert self._beats is not None
        return Us(self._beats + _PATIENCE)

    def _patience(self) -> Us:
        assert self._beats is not None
        return Us(_BEATS * self._beats + _PATIENCE)

    def _take_ids(
        self, ids: IdRun, summary: TopicSummary, rows: Callable[[], pl.DataFrame], moment: Moment
    ) -> None:
        assert summary.ids is not None
        low, high, count = summary.ids
        if ids.whole is not None and high <= ids.whole.last and summary.first > ids.whole.end + LATENESS:
            self.claim.end(_COUNTED_ANEW)
            ids = self._ids = IdRun()
        if high - low + 1 == count and (ids.whole is None or low <= ids.whole.last + 1):
            found = [Stretch(low, high, summary.first, summary.last)]
        else:
            found = stretches(rows())
        if ids.whole is None:
            self.claim.end(_ASKED)
            # of the first moment's trades some may have been missed
            self.claim.begin(Us(found[0].start + 1), found[0].first - 1)
        ids.add(found, moment.steady)
        self._reach_ids(ids)

    def _reach_ids(self, ids: IdRun) -> None:
        assert ids.whole is not None
        self.claim.reach(Us(ids.whole.end - LATENESS))
        self.claim.last_id = ids.whole.last
        self._last = max(ids.whole.end, self._last or ids.whole.end)

    def _take_times(self, summary: TopicSummary, rows: Callable[[], pl.DataFrame]) -> None:
        """Believe what came, but for what a silence that is too long to be one may have swallowed."""
        before = self._last
        if before is not None and summary.last - min(before, summary.first) > self._allowed:
            self._end_at_silences(before, rows())
        self._begin(summary.first)
        self._last = max(summary.last, before or summary.last)
        self.claim.reach(Us(self._last - LATENESS))

    def _end_at_silences(self, before: Us, rows: pl.DataFrame) -> None:
        times = np.sort(np.append(rows["ts"].to_physical().to_numpy(), before))
        for place in np.flatnonzero(np.diff(times) > self._allowed):
            self.claim.reach(Us(int(times[place]) - LATENESS))
            self.claim.end(f"nothing came for {int(times[place + 1] - times[place]) // SECOND} s")
            self._begin(Us(int(times[place + 1])))

    def _begin(self, after: Us, last_id: int | None = None) -> None:
        """Begin after a trade that came, as of its moment's some may have been missed, or after a word."""
        self.claim.begin(max(Us(after + 1), self._lost_until), last_id)
