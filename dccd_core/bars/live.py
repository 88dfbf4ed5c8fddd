"""Live bars: kept until they are final, whatever the venue says of that; or built from trades. Pure."""

from collections.abc import Mapping
from typing import Final

import polars as pl

from dccd_core.bars.aggregate import Sums
from dccd_core.domain.barspan import bar_open
from dccd_core.domain.timespan import Us
from dccd_core.tables import TIME, DataType

_at = pl.col("ts").cast(pl.Int64)
# Trades may arrive in another order than they happened; ids are numbers where bars are built of them.
_ORDER: Final = (pl.col("ts"), pl.col("trade_id").str.len_bytes(), pl.col("trade_id"))


class FinalBars:
    """Holds the bars of many topics back until they are final.

    A bar that its venue flags as closed is final at once, one that it flags as running is none. Where the
    venue flags nothing, the last version that came is final once its own topic is ``finality_delay`` past
    its end.
    """

    def __init__(self, bar: Us, finality_delay: Us) -> None:
        self._after = Us(bar + finality_delay)
        self._held: list[pl.DataFrame] = []
        self._known: dict[str, Us] = {}
        """Bars of a topic that opened before are known: versions of them that come late are older ones."""

    def add(self, bars: pl.DataFrame) -> pl.DataFrame:
        """Take bars as they came, with ``topic`` and ``closed``; return those that are final by flag."""
        unflagged = bars.filter(pl.col("closed").is_null())
        if self._known and unflagged.height:
            known = pl.col("topic").replace_strict(self._known, default=None, return_dtype=pl.Int64)
            unflagged = unflagged.filter(known.is_null() | (_at >= known))
        if unflagged.height:
            self._held.append(unflagged)
        return bars.filter("closed").drop("closed")

    def settled(self, alive: Mapping[str, Us]) -> pl.DataFrame | None:
        """Return the bars that are final now that each topic has come as far."""
        if not self._held:
            return None
        held = pl.concat(self._held).unique(["topic", "ts"], keep="last", maintain_order=True)
        until = pl.col("topic").replace_strict(alive, default=0, return_dtype=pl.Int64)
        final = _at + self._after <= until
        self._held = [held.filter(~final)]
        return held.filter(final).drop("closed")

    def of(self, topic: str) -> pl.DataFrame | None:
        """Return the bars of one topic that are held back."""
        rows = [each.filter(topic=topic) for each in self._held]
        return pl.concat(rows) if rows else None

    def know(self, topic: str, before: Us) -> None:
        """Hold no bar of a topic that opened earlier, neither what came nor what will: they are known."""
        self._known[topic] = max(before, self._known.get(topic, before))
        self.drop(topic, before)

    def drop(self, topic: str, before: Us | None = None) -> None:
        """Forget the bars of one topic that are held back: those that opened earlier, or all."""
        gone = pl.col("topic") == topic
        gone = gone if before is None else gone & (_at < before)
        self._held = [each.filter(~gone) for each in self._held]


class BuiltBars:
    """Builds bars of one market from its trades, for venues that push none.

    Args:
        bar: the length of a bar.
        finality_delay: how long after its end a bar's last trade may come.
        since: the moment from which on every trade came: earlier bars are left out.
    """

    def __init__(self, bar: Us, finality_delay: Us, since: Us) -> None:
        self._bar, self._finality_delay = bar, finality_delay
        self.since = self.until = bar_open(Us(since + bar - 1), bar)
        """From when to when every bar was built that there is."""
        self.held: list[pl.DataFrame] = []
        """Trades of bars that are not final yet."""

    def add(self, trades: pl.DataFrame) -> None:
        self.held.append(trades)

    def settled(self, at: Us) -> pl.DataFrame | None:
        """Return the bars that are final now that the venue's clock shows ``at``."""
        end = bar_open(Us(at - self._finality_delay), self._bar)
        if end <= self.until:
            return None
        if not self.held:
            self.until = end
            return None
        held = pl.concat(self.held).unique("trade_id", keep="first", maintain_order=True).sort(_ORDER)
        wanted = held.filter(_at >= self.until, _at < end)
        self.held = [held.filter(_at >= end)]
        self.until = end
        if not wanted.height:
            return None
        sums = Sums(self._bar)
        sums.add(wanted.select(DataType.TRADES.table.schema.names()))
        opens = [bar_open(Us(at), self._bar) for at in wanted["ts"].cast(pl.Int64).to_list()]
        came = (
            wanted.with_columns(ts=pl.Series(opens, dtype=pl.Int64).cast(TIME))
            .group_by("ts", maintain_order=True)
            .agg(pl.col("received").max(), pl.col("topic").first())
        )
        bars = sums.bars().join(came, on="ts", how="left", maintain_order="left")
        # the venue's own bars, which fill what was missed, tell neither: the two are to be one table
        bars = bars.with_columns(quote_volume=pl.lit(None, pl.Float64), trades=pl.lit(None, pl.Int64))
        return bars.select(*DataType.OHLC.table.schema.names(), "topic", "received")
