import numpy as np
import polars as pl
import pytest

from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, HOUR, MINUTE, MONDAY, SECOND, WEEK, TimeRange, Us, parse_time
from dccd_core.testing.sandbox.bars import BarBook, Bars
from dccd_core.testing.sandbox.grid import MONTH, bar_closes, bar_opens
from dccd_core.testing.sandbox.market import Market
from dccd_core.testing.sandbox.tape import Tape

MARKET = Market()
TAPE = MARKET.tape("binance", Symbol.parse("ETH/USDT"))
BOOK = BarBook(TAPE)
NOON = parse_time("2024-06-05T12:00")
NAMES = ["open", "high", "low", "close", "volume", "quote_volume", "trades", "bought", "quote_bought"]


def recomputed(tape: Tape, bar: Us, span: TimeRange) -> pl.DataFrame:
    """Aggregate the trades by other means than the sandbox does."""
    trades = tape.between(span)
    anchor = MONDAY if bar % WEEK == 0 else 0
    price, amount, bought = pl.col("price"), pl.col("amount"), ~pl.col("sold")
    return (
        pl.DataFrame(
            {
                "time": trades.time,
                "price": trades.price,
                "amount": trades.amount,
                "sold": trades.buyer_is_maker,
            }
        )
        .group_by(((pl.col("time") - anchor) // bar * bar + anchor).alias("time"), maintain_order=True)
        .agg(
            open=price.first(),
            high=price.max(),
            low=price.min(),
            close=price.last(),
            volume=amount.sum(),
            quote_volume=(price * amount).sum(),
            trades=pl.len().cast(pl.Int64),
            bought=amount.filter(bought).sum(),
            quote_bought=(price * amount).filter(bought).sum(),
        )
    )


def frame(bars: Bars) -> pl.DataFrame:
    return pl.DataFrame(dict(zip(["time", *NAMES], bars.columns(), strict=True)))


@pytest.mark.parametrize(
    ("bar", "bars"),
    [(SECOND, 900), (MINUTE, 1_000), (3 * MINUTE, 300), (4 * HOUR, 60), (DAY, 40), (3 * DAY, 9), (WEEK, 5)],
)
def test_bars_are_the_sums_of_their_trades(bar: Us, bars: int) -> None:
    opens = bar_opens(bar, NOON, Us(NOON + bars * bar))
    made = frame(BOOK.bars(opens, opens + bar))
    span = TimeRange(Us(int(opens[0])), Us(int(opens[-1]) + bar))
    assert made.filter(pl.col("trades") > 0).equals(recomputed(TAPE, bar, span))
    assert made.height == opens.size


def test_a_calendar_month_is_the_sum_of_its_days() -> None:
    opens = bar_opens(MONTH, parse_time("2024-02-01"), parse_time("2024-03-01"))
    days = bar_opens(DAY, parse_time("2024-02-01"), parse_time("2024-03-01"))
    month, parts = BOOK.bars(opens, bar_closes(MONTH, opens)), BOOK.bars(days, days + DAY)
    assert days.size == 29
    assert month.quote_volume.tolist() == [parts.quote_volume.sum()]
    assert (month.open[0], month.close[0]) == (parts.open[0], parts.close[-1])
    assert (month.high[0], month.low[0]) == (parts.high.max(), parts.low.min())


@pytest.mark.parametrize("bar", [SECOND, MINUTE])
def test_a_quiet_bar_is_flat_at_the_last_price(bar: Us) -> None:
    opens = np.arange(NOON, NOON + 600 * bar, bar)
    bars = BOOK.bars(opens, opens + bar)
    quiet = np.flatnonzero(bars.trades == 0)
    assert quiet.size > 20
    for at in quiet:
        before = TAPE.by_id(TAPE.count_before(Us(int(opens[at]))) - 1, 1).price[0]
        assert bars.open[at] == bars.high[at] == bars.low[at] == bars.close[at] == before
        assert bars.volume[at] == bars.quote_volume[at] == bars.bought[at] == 0


@pytest.mark.parametrize("late", [Us(7 * HOUR + 123_456_789), Us(3 * MINUTE), Us(SECOND // 2)])
def test_a_running_bar_holds_the_trades_so_far(late: Us) -> None:
    opens, now = np.array([NOON - 12 * HOUR, NOON + 12 * HOUR]), NOON + 12 * HOUR + late
    bars = frame(BOOK.bars(opens, np.array([NOON + 12 * HOUR, now])))
    whole = recomputed(TAPE, DAY, TimeRange(Us(NOON - 12 * HOUR), Us(now)))
    assert bars.filter(pl.col("trades") > 0).equals(whole)


def test_bars_may_leave_holes_between_them() -> None:
    opens = np.array([NOON, NOON + MINUTE, NOON + 9 * MINUTE])
    alone = [frame(BOOK.bars(opens[i : i + 1], opens[i : i + 1] + MINUTE)) for i in range(3)]
    assert frame(BOOK.bars(opens, opens + MINUTE)).equals(pl.concat(alone))
