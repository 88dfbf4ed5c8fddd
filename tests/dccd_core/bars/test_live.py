"""A live bar is stored when it is final, and not before."""

from collections.abc import Sequence

import polars as pl

from dccd_core.adapter.frames import TaggedRows, live_bars, live_trades
from dccd_core.bars.live import BuiltBars, FinalBars
from dccd_core.domain.timespan import MINUTE, SECOND, ZERO, Us

SETTLE = Us(5 * SECOND)


class Bar:
    open = high = low = 1.0

    def __init__(self, close: float) -> None:
        self.close = close


def pushed(*rows: tuple[str, int, float, bool | None]) -> pl.DataFrame:
    """Return bars as they come: topic, minute of its open, close, flag."""
    came = TaggedRows[Bar]()
    for topic, _, close, _ in rows:
        came.add(topic, Us(0), Bar(close))
    frame = live_bars(
        came,
        [flag for _, _, _, flag in rows],
        ts=pl.Series([minute * MINUTE for _, minute, _, _ in rows]),
        volume=[1.0] * len(rows),
    )
    assert frame is not None
    return frame


def closes(bars: pl.DataFrame | None) -> list[tuple[str, float]]:
    return [] if bars is None else list(bars.select("topic", "close").iter_rows())


def test_flagged_bars_are_final_when_the_venue_says_so() -> None:
    bars = FinalBars(MINUTE, SETTLE)
    final = bars.add(pushed(("a", 0, 1.0, False), ("a", 0, 2.0, True), ("b", 0, 3.0, False)))
    assert closes(final) == [("a", 2.0)]
    assert "closed" not in final.columns
    assert (
        closes(bars.settled(dict.fromkeys("ab", Us(10 * MINUTE)))) == []
    )  # a running bar never becomes final by itself


def test_unflagged_bars_wait_for_their_own_topic_to_pass_their_end() -> None:
    bars = FinalBars(MINUTE, SETTLE)
    assert closes(bars.add(pushed(("a", 0, 1.0, None), ("b", 0, 9.0, None)))) == []
    assert closes(bars.settled({"a": Us(MINUTE + SETTLE - 1)})) == []
    bars.add(pushed(("a", 1, 5.0, None), ("a", 0, 2.0, None)))  # the one before is corrected
    assert closes(bars.settled({"a": Us(MINUTE + SETTLE)})) == [("a", 2.0)]
    assert closes(bars.settled({"a": Us(MINUTE + SETTLE)})) == []
    assert closes(bars.settled({"a": Us(2 * MINUTE + SETTLE)})) == [("a", 5.0)]
    assert closes(bars.settled({"b": Us(MINUTE + SETTLE)})) == [("b", 9.0)]


def test_bars_of_one_topic_are_forgotten_without_the_others() -> None:
    bars = FinalBars(MINUTE, SETTLE)
    bars.add(pushed(("a", 0, 1.0, None), ("a", 1, 2.0, None), ("b", 0, 9.0, None)))
    bars.drop("a", before=Us(MINUTE))
    late = dict.fromkeys("ab", Us(5 * MINUTE))
    assert (held := bars.of("a")) is not None
    assert held["close"].cast(pl.Float64).to_list() == [2.0]
    assert closes(bars.settled(late)) == [("a", 2.0), ("b", 9.0)]


def test_a_version_that_comes_late_of_a_bar_that_is_known_is_none() -> None:
    """Kraken 96 of the attack: REST had shown the bar, and what lagged by ten seconds took its place."""
    bars = FinalBars(MINUTE, SETTLE)
    late = dict.fromkeys("ab", Us(5 * MINUTE))
    bars.add(pushed(("a", 0, 1.0, None), ("b", 0, 8.0, None)))
    bars.know("a", Us(MINUTE))
    bars.know("a", ZERO)  # an answer that is older
    bars.add(pushed(("a", 0, 2.0, None), ("a", 1, 3.0, None), ("b", 0, 9.0, None)))
    assert closes(bars.settled(late)) == [("a", 3.0), ("b", 9.0)]


def trades(*rows: tuple[int, int, float]) -> pl.DataFrame:
    """Return trades as they come: id, second, price."""
    came = TaggedRows[int]()
    for number, _, _ in rows:
        came.add("a", Us(number), number)
    frame = live_trades(
        came,
        ts=pl.Series([second * SECOND for _, second, _ in rows]),
        price=[price for _, _, price in rows],
        amount=[0.1] * len(rows),
        trade_id=came.rows,
    )
    assert frame is not None
    return frame


def values(bars: pl.DataFrame | None, names: Sequence[str]) -> list[tuple[object, ...]]:
    return [] if bars is None else list(bars.select(pl.col("ts").cast(pl.Int64), *names).iter_rows())


def test_bars_are_built_from_all_trades_of_their_time() -> None:
    bars = BuiltBars(MINUTE, SETTLE, Us(1))
    bars.add(trades((0, 59, 7.0), (1, 60, 1.0), (2, 61, 3.0), (3, 119, 2.0), (4, 120, 9.0)))
    assert bars.settled(Us(2 * MINUTE + SETTLE - 1)) is None
    bars.add(trades((3, 119, 2.0)))  # told again
    built = bars.settled(Us(2 * MINUTE + SETTLE))
    names = ["open", "high", "low", "close", "volume", "quote_volume", "trades", "received", "topic"]
    assert values(built, names) == [(MINUTE, 1.0, 3.0, 1.0, 2.0, 0.3, None, None, 3, "a")]
    assert bars.settled(Us(2 * MINUTE + SETTLE)) is None
    assert values(bars.settled(Us(3 * MINUTE + SETTLE)), ["close"]) == [(2 * MINUTE, 9.0)]


def test_trades_of_one_moment_count_in_the_order_of_their_ids() -> None:
    bars = BuiltBars(MINUTE, SETTLE, ZERO)
    bars.add(trades((10, 5, 10.0), (9, 5, 9.0), (11, 5, 11.0), (8, 4, 8.0)))
    assert values(bars.settled(Us(5 * MINUTE)), ["open", "close"]) == [(0, 8.0, 11.0)]


def test_a_bar_that_began_before_the_recording_is_not_built() -> None:
    bars = BuiltBars(MINUTE, SETTLE, Us(30 * SECOND))
    bars.add(trades((1, 40, 1.0), (2, 70, 2.0)))
    assert bars.since == MINUTE
    assert values(bars.settled(Us(5 * MINUTE)), ["close"]) == [(MINUTE, 2.0)]


def test_minutes_without_trades_have_no_bar() -> None:
    bars = BuiltBars(MINUTE, SETTLE, ZERO)
    bars.add(trades((1, 10, 1.0), (2, 200, 2.0)))
    assert values(bars.settled(Us(10 * MINUTE)), ["close"]) == [(0, 1.0), (3 * MINUTE, 2.0)]
