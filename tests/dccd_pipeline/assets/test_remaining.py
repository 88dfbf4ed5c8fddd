from dccd_core.domain.dataset import partition_span
from dccd_core.domain.timespan import DAY, HOUR, MINUTE, SECOND, TimeRange, Us, parse_time
from dccd_pipeline.assets.remaining import Remaining, Report, Together, due_in
from tests.dccd_pipeline.held import HOURS, MINUTES, state

JANUARY, FEBRUARY = (partition_span(MINUTES.grain, key) for key in ("2024-01", "2024-02"))


def test_what_is_due_is_what_the_ledger_does_not_hold_of_what_is_wanted() -> None:
    now, half = parse_time("2024-02-11"), Us(JANUARY.start + 10 * DAY)
    held = state(MINUTES, "2024-01", until=half)
    assert due_in(MINUTES, "2024-01", held, now, None) == [TimeRange(half, JANUARY.end)]
    assert due_in(MINUTES, "2024-02", None, now, None) == [TimeRange(FEBRUARY.start, now)]
    assert due_in(MINUTES, "2024-01", None, now, FEBRUARY) == []
    part = TimeRange(Us(half - DAY), Us(half + DAY))
    assert due_in(MINUTES, "2024-01", held, now, part) == [TimeRange(half, part.end)]
    assert due_in(HOURS, "2025", None, now, None) == []


def test_percent_and_the_time_left_follow_the_pages_of_all_partitions() -> None:
    remaining = Remaining({(MINUTES, "2024-01"): [JANUARY], (MINUTES, "2024-02"): [FEBRUARY]}, Us(0))
    assert (remaining.share, remaining.left(MINUTE)) == (0, None)
    remaining.page(MINUTES, "2024-02", 1_000, Us(FEBRUARY.start + 15 * DAY))
    assert remaining.share == 15 / 60
    assert remaining.left(MINUTE) == 3 * MINUTE
    assert remaining.said(MINUTE) == "25% done, 1,000 rows, 16 rows/s, about 3 min left"
    remaining.finish((MINUTES, "2024-01"))
    remaining.page(MINUTES, "2024-02", 500, FEBRUARY.end)
    assert remaining.share == 1
    assert remaining.said(Us(3 * HOUR)) == "100% done, 1,500 rows, 0 rows/s"
    assert remaining.job == (MINUTES, "2024-02")


def test_where_nothing_was_due_all_is_done() -> None:
    remaining = Remaining({}, Us(0))
    remaining.page(MINUTES, "2024-01", 7, JANUARY.end)
    assert remaining.said(Us(7 * SECOND)) == "100% done, 7 rows, 1 rows/s"


def test_runs_of_several_processes_are_one_whole_once_all_have_told() -> None:
    both = Together({}, Us(0), told=dict.fromkeys(("binance", "kraken")))
    both.hear("binance", Report(100, 50, 7, "binance/ohlc/BTC-USDT/1m 2024-01"))
    assert (both.share, both.rows) == (0.0, 7)
    both.hear("kraken", Report(300, 0, 0, ""))
    assert both.share == 0.125
    both.hear("kraken", Report(300, 300, 5, "kraken/trades/BTC-USD 2024-01-01"))
    assert (both.share, both.rows) == (0.875, 12)
    both.hear("binance", Report(100, 100, 9, ""))
    assert (both.share, both.short(Us(10 * SECOND))[0]) == (1.0, "100%")
