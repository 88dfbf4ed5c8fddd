"""When the bars of one topic are complete: one after another, pushed by the venue or built. Pure."""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import polars as pl

from dccd_core.adapter.live import Channel, Word
from dccd_core.bars.live import BuiltBars
from dccd_core.domain.barspan import bar_open
from dccd_core.domain.timespan import MINUTE, SECOND, ZERO, Us, iso
from dccd_core.stream.claim import ANEW, Claim, Moment
from dccd_core.stream.silence import Pace
from dccd_core.stream.trades import TopicSummary, TradeTopic
from dccd_core.tables import DataType

_PRICES: Final = ("open", "high", "low", "close")
_SILENT: Final = "nothing came of it for longer than its market explains"
_SURE: Final = Us(2 * SECOND)
"""The venue's clock is known to a second or so: a bar is asked for once it is final beyond doubt."""
_LATE: Final = Us(5 * SECOND)
"""By how much the beat of a topic may be late."""
_HUSH: Final = Us(10 * SECOND)
"""Where nothing would show that a message is lost, the last of a bar may be if none comes for so long."""
_AGAIN: Final = Us(5 * SECOND)


class ClosedBar(NamedTuple):
    """A bar that is final: when it opened, and its last price."""

    opened: Us
    close: float


class BarTopic:
    """One topic of bars that a venue pushes, on one connection.

    Args:
        channel: the venue's ways.
        bar: the length of a bar.
        finality_delay: how long after its end a bar may still change.
        now: our steady clock.
    """

    def __init__(self, channel: Channel, bar: Us, finality_delay: Us, now: Us) -> None:
        self.claim = Claim()
        self.pace = Pace(now)
        self.alive: Us | None = None
        """Up to when (venue time) bars that nobody flags cannot change any more, plus ``finality_delay``.

        It is told by the topic alone: by its next bar, as messages come in order, or by the venue's word.
        """
        self._beats = channel.beats
        self._fills_quiet = channel.fills_quiet
        self._bar, self._finality_delay = bar, finality_delay
        self._accepted: Us | None = None
        self._close: float | None = None
        self._asked = False
        """Whether the newest proof is REST's: what came before the next message may have been lost."""
        self._uncounted = False
        """Whether nothing shows that a message is lost: no flag, no number, no heartbeat."""
        self._newest: Us | None = None
        """When the newest bar that came opened."""
        self._came = now
        """When it did, on our steady clock."""
        self._shown_from = ZERO
        """Bars that opened before are what REST says they are: the last of them may have been lost."""
        self._next, self._wait = ZERO, _AGAIN
        """When REST may be asked next, and for how long not again if nobody answers."""

    @property
    def accepted(self) -> bool:
        return self._accepted is not None

    @property
    def beats(self) -> bool:
        """Whether the venue promises to say so often that it is alive."""
        return self._beats is not None

    def accept(self, moment: Moment) -> None:
        """Note that the venue agreed to send it, perhaps anew: what came between is not known."""
        self._end(ANEW)
        self._accepted, self.alive = moment.venue, None
        self._newest, self._shown_from = None, ZERO
        self.pace.beat(moment.steady)

    def take(
        self, summary: TopicSummary, moment: Moment, *, spoilt: bool = False, flagged: bool = True
    ) -> bool:
        """Take note that bars came, final or not; their times are when they opened.

        ``flagged``: the venue says of them whether they are final. Return whether those before them that are
        not final yet may still become so: not when something may have been missed since they came.
        """
        if not flagged and not self._beats:
            self._uncounted = True
            self._take_uncounted(summary, moment, spoilt=spoilt)
            return True
        unbroken = not (self.pace.silent(moment.steady) or spoilt or self._asked)
        self._asked = False
        self.pace.count(moment.steady, summary.height)
        if self._accepted is None:
            return unbroken
        if not unbroken:
            self._end(_SILENT)
        if not spoilt:
            self.claim.begin(summary.first)
            if not self._beats:
                self._live_until(Us(summary.last + self._finality_delay))
        return unbroken

    def finish(self, finals: Sequence[ClosedBar]) -> list[ClosedBar]:
        """Take final bars, in order; return the quiet ones between them that the venue leaves out."""
        quiet: list[ClosedBar] = []
        for opened, close in finals:
            at = self.claim.reached
            if at is None or opened < at:
                continue
            if opened > at and self._fills_quiet and self._close is not None:
                quiet += [ClosedBar(Us(one), self._close) for one in range(at, opened, self._bar)]
            elif opened > at:
                self._end("bars did not come")
                self.claim.begin(opened)
            self.claim.reach(Us(opened + self._bar))
            self._close = close
        return quiet

    def break_off(self, moment: Moment) -> bool:
        """End it if a beat is late, now that it is heard of again: what came before may not be its last."""
        late = self._beats is not None and moment.steady - self.pace.heard > self._beats + _LATE
        if late:
            self._end(_SILENT)
        return late

    def word(self, word: Word, moment: Moment) -> None:
        """Take note of what the venue says of the topic as a whole."""
        self.pace.beat(moment.steady)
        if self._accepted is not None:
            self.claim.begin(bar_open(Us(word.at + self._bar - 1), self._bar))
            self._live_until(word.at)

    def end(self, reason: str) -> None:
        """Note that nothing more will come of it."""
        self._accepted = None
        self._end(reason)

    def spoil(self, reason: str) -> None:
        """Take note that one of its messages may have been lost."""
        if self._uncounted:
            self.doubt(ZERO, reason)
        else:
            self._end(reason)

    def doubt(self, since: Us, reason: str) -> None:
        """Take note that something may have been lost: where nothing would show it, REST is to."""
        del since, reason  # the bar that is running is the only one that it can matter to
        if self._uncounted and self._newest is not None:
            self._shown_from = max(self._shown_from, Us(self._newest + self._bar))

    def look(self, moment: Moment) -> str | None:
        """Say why the topic is to be subscribed to anew, if it is."""
        quiet = Us(moment.steady - self.pace.heard)
        if self._beats and self._accepted and quiet > 4 * self._beats + 5 * SECOND:
            return f"nothing came of it for {quiet // SECOND} s, not even a heartbeat"
        return None

    def question(self, moment: Moment) -> Us | None:
        """Say from which bar on it is to be asked for bars, if its silence needs a proof."""
        if self._accepted is None or self._beats or not self._due(moment.steady):
            return None
        since = self._since()
        return since if moment.venue - self._finality_delay - _SURE >= since + self._bar else None

    def ask(self, steady: Us) -> None:
        """Note that it is asked for: the next time is if nobody answers, ever later."""
        self.pace.ask(steady)
        self._next = Us(steady + self._wait)
        self._wait = Us(min(MINUTE, 2 * self._wait))

    def _due(self, steady: Us) -> bool:
        """Return whether REST is to be asked: it is silent, or may have brought too little before it was."""
        if self.pace.due(steady):
            return True
        if not self._uncounted or steady < self._next:
            return False
        since = self._since()
        hushed = steady - self._came > _HUSH and self._newest is not None and self._newest >= since
        return self._shown_from > since or hushed

    def _since(self) -> Us:
        return self.claim.reached or bar_open(Us((self._accepted or ZERO) + self._bar), self._bar)

    def answer(
        self, rows: pl.DataFrame, held: pl.DataFrame | None, until: Us, moment: Moment
    ) -> tuple[str | None, pl.DataFrame]:
        """Take the answer: the bars that opened before ``until``, all of them final.

        Args:
            rows: those of the venue's history.
            held: those of the topic that came and are not final yet.
            until: no bar before it is missing in ``rows``.
            moment: now.

        Return why the topic is to be subscribed to anew, if it is, and the bars that are proven.
        """
        since = self._since()
        fresh = rows.filter(pl.col("ts").to_physical() >= since)
        traded = fresh.filter(pl.col("volume") > 0)
        if held is not None and traded.height:
            same = ["ts", "close", "volume"]
            traded = traded.join(held.select(same), on=same, how="anti")
        dead = None
        if traded.height:
            first = Us(int(traded["ts"].to_physical()[0]))
            dead = f"it was silent, although something was traded in the bar of {iso(first)}"
            if not self._uncounted:
                return dead, fresh.clear()
            if moment.steady - self._came <= _HUSH or (self._newest or ZERO) > first:
                dead = None  # something was lost, but it is alive
        self.claim.begin(since)
        self.claim.reach(until)
        self._live_until(Us(until + self._finality_delay))
        self._asked, self._wait = True, _AGAIN
        self._close = fresh["close"][-1] if fresh.height else self._close
        if not traded.height:
            self.pace.beat(moment.steady)
        return dead, fresh

    def _take_uncounted(self, summary: TopicSummary, moment: Moment, *, spoilt: bool) -> None:
        """Take bars of which each version tells all of it until then: only the last one is to be there.

        It is when the next bar begins soon after it came; else REST has to show it.
        """
        hushed = moment.steady - self._came > _HUSH
        self.pace.count(moment.steady, summary.height)
        self._came = moment.steady
        if self._accepted is None:
            return
        if self._newest is not None and hushed:
            self._shown_from = max(self._shown_from, summary.last)
        self._newest = max(summary.last, self._newest or summary.last)
        if spoilt:
            self.doubt(ZERO, "")
        self.claim.begin(summary.first)
        if self._shown_from <= (self.claim.reached or ZERO):
            self._live_until(Us(self._newest + self._finality_delay))

    def _end(self, reason: str) -> None:
        self.claim.end(reason)
        self._close = None  # of a bar that others may have followed

    def _live_until(self, at: Us) -> None:
        self.alive = max(at, self.alive or at)


def quiet_bars(topic: str, bars: Sequence[ClosedBar], received: Us) -> pl.DataFrame:
    """Return bars in which nothing was traded, with their ``topic`` and ``received``."""
    height = len(bars)
    columns: dict[str, pl.Series | list[float]] = {
        "ts": pl.Series([one.opened for one in bars], dtype=pl.Int64),
        **{name: [one.close for one in bars] for name in _PRICES},
        "volume": [0.0] * height,
        "quote_volume": [0.0] * height,
        "trades": pl.Series([0] * height, dtype=pl.Int64),
    }
    rows = pl.DataFrame(columns).cast(DataType.OHLC.table.schema)
    return rows.with_columns(topic=pl.lit(topic), received=pl.lit(received, pl.Int64))


class BuiltTopic:
    """Bars that are built from the trades of one topic, where the venue pushes none.

    Args:
        channel: how the venue proves its trades.
        bar: the length of a bar.
        now: our steady clock.
    """

    def __init__(self, channel: Channel, bar: Us, now: Us) -> None:
        self.claim = Claim()
        self._trades = TradeTopic(channel, now)
        self._bar = bar
        self._late: list[pl.DataFrame] = []
        """Bars that were final when it ended, and are not handed over yet."""
        self._built: BuiltBars | None = None
        self._left: list[pl.DataFrame] = []
        """Trades that came while no bars were built, the newest: bars may begin before some of them."""

    @property
    def pace(self) -> Pace:
        return self._trades.pace

    def accept(self, moment: Moment) -> None:
        """Note that the venue agreed to send the trades, perhaps anew."""
        self._trades.accept(moment)

    def word(self, word: Word, moment: Moment) -> None:
        """Take note of what the venue says of the trades as a whole; ``settled`` has what follows from it."""
        self._trades.word(word, moment)

    def end(self, reason: str) -> None:
        """Note that nothing more will come of it."""
        self._trades.end(reason)
        self._late = self.settled()

    def spoil(self, reason: str) -> None:
        """Take note that one of its messages may have been lost."""
        self._trades.spoil(reason)

    def lose_until(self, at: Us) -> None:
        """Take note that what was lost was of some time before ``at``."""
        self._trades.lose_until(at)

    def look(self, moment: Moment) -> str | None:
        """Say why the topic is to be subscribed to anew, if it is."""
        return self._trades.look(moment)

    def question(self, moment: Moment) -> Us | None:
        """Say from when on it is to be asked whether something was traded, if its silence needs a proof."""
        return self._trades.question(moment)

    def answer(self, rows: pl.DataFrame, until: Us, moment: Moment) -> str | None:
        """Take the answer: what was traded until then; say why it is to be subscribed to anew, if it is."""
        return self._trades.answer(rows, until, moment)

    def take(
        self, summary: TopicSummary, rows: Callable[[], pl.DataFrame], moment: Moment, *, spoilt: bool = False
    ) -> list[pl.DataFrame]:
        """Take trades as they came; return the bars that are final by them."""
        if self._built:
            self._built.add(rows())
        else:
            newest = pl.concat([*self._left, rows()])
            self._left = [newest.filter(pl.col("ts").to_physical() > summary.last - self._bar)]
        self._trades.take(summary, rows, moment, spoilt=spoilt)
        return self.settled()

    def settled(self) -> list[pl.DataFrame]:
        """Return the bars that are final by what is known of the trades by now."""
        found, self._late = self._late, []
        for turn in self._trades.claim.taken():
            if turn.began:
                self._built = BuiltBars(self._bar, ZERO, turn.at)
                for trades in self._left:
                    self._built.add(trades)
                self._left = []
            else:
                found += self._until(turn.at)
                self.claim.end(turn.reason)
                self._left = self._built.held if self._built else []
                self._built = None
        reached = self._trades.claim.reached
        return found if reached is None else [*found, *self._until(reached)]

    def _until(self, at: Us) -> list[pl.DataFrame]:
        if self._built is None:
            return []
        bars = self._built.settled(at)
        self.claim.begin(self._built.since)
        self.claim.reach(self._built.until)
        return [] if bars is None else [bars]
