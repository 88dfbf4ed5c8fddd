"""Trades that nothing counts: claimed as far as pages of the venue's newest ones show that all came. Pure.

No ids follow one another there and no heartbeat promises anything, so what a topic brought proves nothing of
what it did not. A page of the newest trades shows both. Where pages do not reach back to one another, or
nobody answers, only the topic's own messages are left: they prove what lies between two of them that are not
further apart than a silence may be.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from dccd_core.adapter.live import Channel, Word
from dccd_core.domain.timespan import MINUTE, SECOND, ZERO, TimeRange, Us, iso
from dccd_core.stream.claim import ANEW, LATENESS, Claim, Moment
from dccd_core.stream.silence import Pace
from dccd_core.stream.trades import TopicSummary

_LONGEST: Final = Us(30 * SECOND)
"""No silence is longer without a page being asked for."""
_SHORT: Final = Us(4 * SECOND)
"""A page that shows no more time, of what is final, does not reach back to the one before."""
_FAR: Final = Us(2 * MINUTE)
"""A page that reaches back so far will show what came last of a connection that has ended."""
_WAIT: Final = Us(2 * MINUTE)
"""What no page has shown after so long is left to the topic's own messages."""
_OFTEN: Final = Us(2 * SECOND)
_SELDOM: Final = Us(30 * SECOND)
_LATE: Final = Us(10 * SECOND)
"""How long after its time a trade has come, unless it was lost."""
_LAGS: Final = Us(5 * SECOND)
"""What comes so late comes regularly late."""
_KEPT: Final = 2_000
"""So many of the newest trades are kept to be compared: no venue shows more on a page."""
_FRAMES: Final = 50
_LOST: Final = "trades of a page of the venue did not come"


@dataclass(slots=True)
class Doubt:
    """Something may be missing in ``[start, end)``, by own messages; ``end`` None: nobody knows."""

    start: Us
    end: Us | None
    reason: str


class PagedTopic:
    """One topic of trades on one connection that nothing counts.

    Args:
        channel: how the venue sends them.
        now: our steady clock.
    """

    def __init__(self, channel: Channel, now: Us) -> None:
        del channel
        self.claim = Claim()
        self.pace = Pace(now, _LONGEST)
        self._accepted: Us | None = None
        self._last: Us | None = None
        """The venue time of its newest trade that came."""
        self._proven = ZERO
        """Up to when a page has shown that nothing is missing."""
        self._lost_until = ZERO
        """What was lost at a time that nobody knows was of before this venue time."""
        self._earlier: list[TimeRange] = []
        """What was claimed before the present claim, as far as pages are compared with what came."""
        self._doubts: list[Doubt] = []
        """Of the time that no page has shown yet, in order."""
        self._ours, self._kept = deque[pl.DataFrame](), 0
        """The newest trades that came, and how many."""
        self._kept_since = ZERO
        """No trade that came is older than this and forgotten."""
        self._reach: Us | None = None
        """How much time the last page showed."""
        self._next = ZERO
        """When the next page may be asked for, on our steady clock."""
        self._wait = _OFTEN

    @property
    def accepted(self) -> bool:
        return self._accepted is not None

    @property
    def known_until(self) -> Us | None:
        """Up to when it came, as far as own messages show, whatever pages do; None: nothing is claimed."""
        if self.claim.reached is None or self._last is None:
            return self.claim.reached
        return max(self.claim.reached, Us(self._last - LATENESS))

    def accept(self, moment: Moment) -> None:
        """Note that the venue agreed to send it, perhaps anew: what came between is not known."""
        self.end(ANEW)
        self._accepted, self._last, self._lost_until = moment.venue, None, ZERO
        self._kept_since = self._proven = ZERO
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
        allowed = self.pace.allowed  # by what was known before: a silence does not explain itself
        self.pace.count(moment.steady, summary.height)
        if self._accepted is None:
            return
        if self._last is not None:  # a subscription begins with old ones
            self.pace.lag = Us(max(0, moment.venue - summary.last))
        came = rows()
        self._keep(came)
        if not spoilt:
            self._follow(summary, came, allowed)
        self._last = max(summary.last, self._last or summary.last)

    def word(self, word: Word, moment: Moment) -> None:
        """Take note of what the venue says of the topic as a whole: that it is alive."""
        del word
        self.pace.beat(moment.steady)

    def end(self, reason: str) -> None:
        """Note that nothing more will come of it.

        What no page has shown is left to the page that will be asked for, if that may reach back so far.
        """
        if self._last is not None and (self._reach is None or self._reach < _FAR):
            self._believe(Us(self._last - LATENESS))
        self._accepted = self._last = None
        self._earlier.clear()
        self._doubts.clear()
        self._ours.clear()
        self._kept = 0
        self.claim.end(reason)

    def spoil(self, reason: str) -> None:
        """Take note that one of its messages may have been lost."""
        self.doubt(Us((self._last or ZERO) - LATENESS), reason)

    def doubt(self, since: Us, reason: str) -> None:
        """Take note that something may have been lost since then: a page will show it."""
        if self.claim.reached is not None:
            self._add(Doubt(max(since, self.claim.reached), None, reason))
            self._next = ZERO

    def lose_until(self, at: Us) -> None:
        """Take note that what was lost was of some time before ``at``; earlier trades may still come."""
        self._lost_until = max(at, self._last or ZERO)

    def look(self, moment: Moment) -> str | None:
        """Believe what came where no page will show it."""
        if self._accepted is not None and self._last is not None:
            short = self._reach is not None and self._reach < _SHORT
            oldest = moment.venue if short else Us(moment.venue - _WAIT)
            until = min(oldest, Us(self._last - LATENESS))
            if self.claim.reached is None or until > self.claim.reached:
                self._believe(until)
        return None

    def question(self, moment: Moment) -> Us | None:
        """Say since when a page is to show what was traded, if one is due."""
        if self._accepted is None or moment.steady < self._next:
            return None
        since = self._since()
        came = self._last is not None and self._last >= since
        return since if came or self._doubts or self.pace.due(moment.steady) else None

    def ask(self, steady: Us) -> None:
        """Note that a page is being asked for: the next one is if nobody answers, ever later."""
        self.pace.ask(steady)
        self._next = Us(steady + self._wait)
        self._wait = Us(min(_SELDOM, 2 * self._wait))

    def answer(self, rows: pl.DataFrame, span: TimeRange, moment: Moment) -> str | None:
        """Take a page: what was traded in ``span``; say why it is to be subscribed to anew, if it is."""
        if self._accepted is None:
            return None
        self._reach, self._wait = span.length, _OFTEN
        self._next = Us(moment.steady + max(_OFTEN, min(_SELDOM, span.length // 2)))
        shown = self._missing(rows, max(span.start, self._kept_since, self.claim.began or self._since()))
        self._withdraw_earlier(rows, span)
        self._withdraw(shown.filter(_at < (self.claim.reached or ZERO)), rows)
        if self._lags(span.start, moment):
            return None
        start = max(span.start, self._since(), self._kept_since)
        missing = shown.filter(_at >= start)
        last = self._since() if self._last is None else self._last
        after = missing.filter(_at >= last)
        until = min(span.end, last) if after.height else span.end
        if self.claim.reached is not None and start > self.claim.reached:
            self._bridge(rows.filter(_at >= start), missing, start)
        if start < until:
            self._prove(TimeRange(start, until), missing.filter(_at < until))
        shown_anew = [doubt for doubt in self._doubts if doubt.reason == _LOST and doubt.start >= start]
        self._doubts = [doubt for doubt in self._doubts if doubt not in shown_anew]
        if not after.height:
            self.pace.beat(moment.steady)
            return None
        self._add(_gone(after))  # or on its way: the next page will show
        if moment.steady - self.pace.heard > _LATE and moment.venue - (first := _first(after)) > _LATE:
            return f"it was silent, although something was traded at {iso(first)}"
        return None

    def _lags(self, start: Us, moment: Moment) -> bool:
        """Whether a page that begins at ``start`` shows nothing but what is on its way to us."""
        last = self._last
        if last is None or last >= start - 1 or self.pace.lag < _LAGS:
            return False
        return moment.venue - last <= self.pace.lag + _LATE

    def _since(self) -> Us:
        """Return up to when all is settled."""
        if self.claim.reached is not None:
            return self.claim.reached
        return max(Us((self._accepted or ZERO) + LATENESS), self._lost_until, self._proven)

    def _keep(self, rows: pl.DataFrame) -> None:
        self._ours.append(rows.select("ts", "trade_id").tail(_KEPT))
        if rows.height > _KEPT:
            self._forget(rows.head(-_KEPT))
        self._kept += self._ours[-1].height
        while self._kept - self._ours[0].height >= _KEPT:
            self._kept -= self._ours[0].height
            self._forget(self._ours.popleft())
        if len(self._ours) > _FRAMES:
            self._ours = deque([pl.concat(self._ours)])

    def _forget(self, rows: pl.DataFrame) -> None:
        if (newest := _last(rows)) is not None:
            self._kept_since = max(self._kept_since, Us(newest + 1))

    def _follow(self, summary: TopicSummary, came: pl.DataFrame, allowed: Us) -> None:
        """Doubt the silences before and between what came that are too long; close what was left open."""
        begins = max(Us(summary.first + 1), self._lost_until)
        for doubt in self._doubts:
            doubt.end = max(begins, doubt.start) if doubt.end is None else doubt.end
        if self.claim.reached is None:  # what is in doubt is not claimed, so it is none
            self.claim.begin(max([begins, self._proven, *(doubt.end or ZERO for doubt in self._doubts)]))
            self._doubts.clear()
            return
        before = max(self._last or ZERO, self._proven)
        if before and summary.last - min(before, summary.first) > allowed:
            times = np.sort(np.append(came["ts"].to_physical().to_numpy(), before))
            for place in np.flatnonzero(np.diff(times) > allowed):
                self._add(_silence(Us(int(times[place])), Us(int(times[place + 1]) + 1)))

    def _add(self, doubt: Doubt) -> None:
        self._doubts = sorted([*self._doubts, doubt], key=lambda one: one.start)

    def _bridge(self, rows: pl.DataFrame, missing: pl.DataFrame, start: Us) -> None:
        """Believe own messages up to where a page begins, unless what it shows first is missing already.

        Args:
            rows: of the page, from ``start`` on.
            missing: those that did not come.
            start: where it begins.
        """
        lost = missing.height and _first(missing) == _first(rows)
        if lost or (self._last or ZERO) < start - 1:  # a page begins right after a trade that it shows
            self._add(Doubt(Us(self._known_before(start) - LATENESS), start, _LOST))
        self._believe(start)

    def _known_before(self, at: Us) -> Us:
        """Return when the last trade before ``at`` happened that came, or up to when a page showed all."""
        came = (last for each in self._ours if (last := _last(each.filter(_at < at))) is not None)
        return max([*came, self._proven])

    def _withdraw(self, gone: pl.DataFrame, page: pl.DataFrame) -> None:
        """Take back what own messages seemed to prove: these trades of a page did not come.

        Where its very first ones did not, others before it may not have come either.
        """
        if gone.height and (reached := self.claim.reached) is not None:
            since = _first(gone)
            if since == _first(page):
                since = max(Us(self._known_before(since) - LATENESS), self._proven)
            since = max(since, self.claim.began or ZERO)
            self._note_earlier(since)
            self.claim.end(_LOST, since)
            self.claim.begin(reached)

    def _withdraw_earlier(self, page: pl.DataFrame, shown: TimeRange) -> None:
        """Take back what earlier claims said of the time of trades of a page that did not come."""
        left = list[TimeRange]()
        for claimed in self._earlier:
            part = claimed.clip(TimeRange(max(shown.start, self._kept_since), shown.end))
            gone = self._missing(page.filter(_at < claimed.end), part.start) if part else None
            if gone is None or not gone.height:
                left.append(claimed)
                continue
            self.claim.withdraw(_LOST, _first(gone), claimed.end)
            if claimed.start < _first(gone):
                left.append(TimeRange(claimed.start, _first(gone)))
        self._earlier = left

    def _note_earlier(self, until: Us) -> None:
        """Keep in mind that it is claimed up to ``until``: the claim ends."""
        self._earlier = [span for span in self._earlier if span.end > self._kept_since]
        if self.claim.began is not None and self.claim.began < until:
            self._earlier.append(TimeRange(self.claim.began, until))

    def _missing(self, rows: pl.DataFrame, start: Us) -> pl.DataFrame:
        """Return the trades of a page from ``start`` on that did not come."""
        shown = rows.filter(_at >= start)
        if not self._ours or not shown.height:
            return shown
        return shown.join(pl.concat(self._ours).select("trade_id"), on="trade_id", how="anti")

    def _prove(self, span: TimeRange, gone: pl.DataFrame) -> None:
        """Take note that all of a span came, but for what a page shows to be gone."""
        self._doubts = [left for doubt in self._doubts if (left := self._after(doubt, span))]
        if self.claim.reached is None:
            self.claim.begin(span.start)
        if gone.height:
            self._add(_gone(gone))
        self._believe(span.end)
        self._proven = max(self._proven, span.end)

    def _after(self, doubt: Doubt, span: TimeRange) -> Doubt | None:
        """Return what is left of a doubt when a page has shown a span; what was before is settled."""
        end = self._lost_until if doubt.end is None else doubt.end
        if doubt.start >= span.end:
            return doubt
        return Doubt(span.end, doubt.end, doubt.reason) if end > span.end else None

    def _believe(self, until: Us) -> None:
        """Let the claim go on to ``until``, but for what is in doubt."""
        while self._doubts and self._doubts[0].start < until:
            doubt = self._doubts[0]
            self.claim.reach(doubt.start)
            self._note_earlier(self.claim.reached or doubt.start)
            self.claim.end(doubt.reason)
            if doubt.end is None or doubt.end > until:
                return
            self._doubts.pop(0)
            ended = self.claim.ended.at if self.claim.ended else ZERO
            self.claim.begin(max(doubt.end, ended))
        self.claim.reach(until)


_at = pl.col("ts").to_physical()


def _first(rows: pl.DataFrame) -> Us:
    first = rows["ts"].to_physical().min()
    assert isinstance(first, int)
    return Us(first)


def _silence(since: Us, until: Us) -> Doubt:
    return Doubt(Us(since - LATENESS), until, f"nothing came for {(until - since) // SECOND} s")


def _last(rows: pl.DataFrame) -> Us | None:
    last = rows["ts"].to_physical().max()
    return Us(last) if isinstance(last, int) else None


def _gone(rows: pl.DataFrame) -> Doubt:
    first = _first(rows)
    return Doubt(first, Us((_last(rows) or first) + 1), _LOST)
