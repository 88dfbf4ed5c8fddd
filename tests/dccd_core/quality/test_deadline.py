"""Until when what is missing can be had, by ledgers and by how far back a venue answers."""

from collections.abc import Mapping

import pytest

from dccd_core.adapter.contract import FULL, NOW, Reach
from dccd_core.domain.dataset import Dataset, partition_span
from dccd_core.domain.timespan import DAY, HOUR, MINUTE, SECOND, TimeRange, Us, parse_time
from dccd_core.lake.partition.ledger import Accepted, Asked, Hole, Ledger, Lost, Source
from dccd_core.lake.partition.parquet import State
from dccd_core.quality.coverage import NEVER_ASKED, UNEXPLAINED, Gap
from dccd_core.quality.deadline import Deadline, Safety, deadline, said_length
from dccd_core.quality.reach import shown_for

BARS = Dataset.parse("kraken/ohlc/BTC-USD/1m")
TRADES = Dataset.parse("okx/trades/BTC-USDT")
DAY_START = parse_time("2026-03-02")
NOON = Us(DAY_START + 12 * HOUR)
BAR_REACH = Reach(rows=720)
DAY_REACH = Reach(period=DAY)
NEWEST = Reach(rows=60)


def hours(first: float, last: float) -> TimeRange:
    return TimeRange(Us(DAY_START + round(first * HOUR)), Us(DAY_START + round(last * HOUR)))


def held(*asked: TimeRange, rows: int = 0, ledger: Ledger | None = None) -> dict[str, State]:
    """Return the states of partitions, by month or day: of one."""
    ledger = ledger or Ledger()
    for span in asked:
        ledger = ledger.add(Asked(span, Source.REST, span.end, 1, rows))
    return {"2026-03": State("", rows, None, None, 1, "", ledger)}


def bars(states: Mapping[str, State], now: Us, *accepted: Accepted) -> Deadline:
    """Judge bars that are wanted from midnight on, and are final at once."""
    found = deadline(BARS, states, BAR_REACH, TimeRange(DAY_START, now), now, accepted)
    assert found
    return found


def test_what_is_always_there_has_no_deadline() -> None:
    wanted = hours(0, 12)
    assert deadline(TRADES, {}, FULL, wanted, NOON) is None
    assert deadline(TRADES, {}, NOW, wanted, NOON) is None, "pictures of the present are no past"


def test_what_is_up_to_date_is_safe_for_as_long_as_it_is_shown() -> None:
    now = bars(held(hours(0, 12)), NOON)
    assert now.safety is Safety.SAFE
    assert not now.due
    assert now.at == NOON + 720 * MINUTE
    assert str(now) == "safe until 2026-03-03T00:00:00Z"


@pytest.mark.parametrize(("hour", "risky"), [(20.9, False), (21, True), (23.9, True)])
def test_with_a_quarter_of_the_time_left_it_is_at_risk(hour: float, *, risky: bool) -> None:
    states = held(hours(0, 12))
    assert bars(states, hours(0, hour).end).safety is (Safety.AT_RISK if risky else Safety.SAFE)


def test_a_risk_says_what_until_when_and_how_long_that_is() -> None:
    said = str(bars(held(hours(0, 12)), hours(0, 22).end))
    expected = "at risk: what came from 2026-03-02T12:00:00Z on can be had until 2026-03-03T00:00:00Z only"
    assert said == f"{expected}, 2 h from now"


def test_the_first_minute_is_lost_when_the_venue_shows_it_no_more() -> None:
    states = held(hours(0, 12))
    before = bars(states, Us(hours(0, 24).end - SECOND))
    assert before.lost == ()
    assert before.at_risk
    after = bars(states, hours(0, 24).end)
    minute = TimeRange(NOON, Us(NOON + MINUTE))
    assert after.lost == (Gap(minute, None, NEVER_ASKED),)
    assert after.safety is Safety.LOST
    assert after.since == minute.end
    assert after.at_risk, "the next one follows"


def test_what_is_lost_is_named_with_when_and_why_and_stays_lost() -> None:
    states = held(hours(0, 12), hours(15, 40))
    now = bars(states, hours(0, 40).end)
    assert now.safety is Safety.LOST
    assert not now.at_risk
    assert str(now) == (
        "lost: 2026-03-02T12:00:00Z to 2026-03-02T15:00:00Z (3 h), gone between 2026-03-03T00:00:00Z and "
        "2026-03-03T03:00:00Z: never asked for"
    )


def test_what_is_being_lost_says_so() -> None:
    now = bars(held(hours(0, 12)), hours(0, 26).end)
    assert str(now) == (
        "lost: 2026-03-02T12:00:00Z to 2026-03-02T14:01:00Z (2 h 1 min), more of it from "
        "2026-03-03T00:00:00Z on: never asked for; at risk: what came from 2026-03-02T14:01:00Z on can be "
        "had until 2026-03-03T02:01:00Z only, 1 min from now"
    )


def test_a_gap_that_nobody_can_explain_perishes_too() -> None:
    ledger = Ledger(holes=(Hole(hours(3, 4), 60),))
    states = held(hours(0, 12), ledger=ledger)
    now = bars(states, hours(0, 13).end)
    assert (now.since, now.at) == (hours(3, 3).start, hours(3, 15).end)
    assert now.safety is Safety.AT_RISK
    later = bars(held(hours(0, 20), ledger=ledger), hours(0, 20).end)
    assert later.lost == (Gap(hours(3, 4), 60, UNEXPLAINED),)


def test_a_reason_that_is_known_is_told() -> None:
    ledger = Ledger(lost=(Lost(hours(2, 3), "connection lost"),))
    now = bars(held(hours(0, 2), hours(3, 20), ledger=ledger), hours(0, 20).end)
    assert [(gap.span, gap.why) for gap in now.lost] == [(hours(2, 3), "connection lost")]


def test_a_loss_that_somebody_accepts_is_none_any_more() -> None:
    states = held(hours(0, 12), hours(15, 40))
    half = bars(states, hours(0, 40).end, Accepted(hours(12, 14), "the disk was full"))
    assert [gap.span for gap in half.lost] == [hours(14, 15)]
    assert bars(states, hours(0, 40).end, Accepted(hours(12, 15), "the disk was full")).safety is Safety.SAFE


def test_what_came_before_anybody_collected_is_not_lost() -> None:
    assert bars(held(hours(28, 40)), hours(0, 40).end).safety is Safety.SAFE


def test_what_can_still_be_had_is_due_whether_later_time_is_there_or_not() -> None:
    now = bars(held(hours(38, 40)), hours(0, 40).end)
    assert now.since == hours(0, 28).end + MINUTE
    assert now.at_risk


def test_where_nothing_is_collected_yet_the_oldest_is_lost_at_each_moment() -> None:
    now = bars({}, hours(0, 40).end)
    assert now.lost == ()
    assert now.safety is Safety.AT_RISK
    assert now.at == hours(0, 40).end + MINUTE
    young = bars({}, hours(0, 1).end)
    assert young.at == DAY_START + 720 * MINUTE, "it begins with the time that is wanted"
    assert young.safety is Safety.SAFE


def test_what_is_over_and_all_there_has_no_deadline_any_more() -> None:
    wanted = hours(0, 12)
    found = deadline(BARS, held(wanted), BAR_REACH, wanted, hours(0, 30).end, over=True)
    assert found
    assert (found.safety, found.at) == (Safety.SAFE, None)
    assert str(found) == "safe"
    open_end = deadline(BARS, held(hours(0, 11)), BAR_REACH, wanted, hours(0, 22).end, over=True)
    assert open_end
    assert open_end.safety is Safety.AT_RISK


def test_a_period_is_to_the_microsecond() -> None:
    states = held(hours(0, 12))
    wanted = hours(0, 35)
    found = deadline(TRADES, states, DAY_REACH, wanted, hours(0, 36).end)
    assert found
    assert found.lost == ()
    assert found.at == hours(0, 36).end
    later = deadline(TRADES, states, DAY_REACH, wanted, Us(hours(0, 36).end + 1))
    assert later
    assert [gap.span for gap in later.lost] == [TimeRange(NOON, Us(NOON + 1))]


def test_a_number_of_trades_is_shown_for_as_long_as_the_busiest_day_says() -> None:
    slow = held(hours(0, 10), rows=600)["2026-03"]
    fast = held(hours(0, 10), rows=6_000)["2026-03"]
    assert shown_for(NEWEST, None, {"a": slow}) == HOUR
    assert shown_for(NEWEST, None, {"a": slow, "b": fast, "c": slow}) == HOUR // 10
    assert shown_for(NEWEST, None, {}) is None
    quiet = held(hours(0, 10))["2026-03"]
    assert shown_for(NEWEST, None, {"a": quiet}) == 600 * HOUR, "sixty rows last long where none come"


def test_what_a_stream_brought_and_nobody_folded_says_nothing_of_how_fast_rows_come() -> None:
    ledger = Ledger().add(Asked(hours(0, 1), Source.STREAM, Us(0), 0, 0))
    states = {"2026-03-02": State("", 0, None, None, 0, "", ledger)}
    assert shown_for(NEWEST, None, states) is None
    wanted = hours(0, 1)
    found = deadline(TRADES, states, NEWEST, wanted, hours(0, 1).end)
    assert found
    assert found.safety is Safety.SAFE, "all of it is proven"


def test_before_as_many_rows_as_are_shown_all_is_lost_whatever_the_estimate_says() -> None:
    """The venue was away for an hour, and then showed its last sixty rows, of half an hour."""
    states = held(hours(0, 10), rows=100) | {"2026-04": held(hours(11.5, 12), rows=60)["2026-03"]}
    found = deadline(TRADES, states, NEWEST, hours(0, 12), hours(0, 12).end)
    assert found
    assert [gap.span for gap in found.lost] == [hours(10, 11.5)]
    fewer = held(hours(0, 10), rows=100) | {"2026-04": held(hours(11.9, 12), rows=1)["2026-03"]}
    known = deadline(TRADES, fewer, NEWEST, hours(0, 12), hours(0, 12).end)
    assert known
    assert known.lost == ()


def test_an_estimate_says_about() -> None:
    states = held(hours(0, 10), rows=600)
    found = deadline(TRADES, states, NEWEST, hours(0, 10.9), hours(0, 10.9).end)
    assert found
    assert not found.exact
    assert str(found) == (
        "at risk: what came from 2026-03-02T10:00:00Z on can be had until about 2026-03-02T11:00:00Z only, "
        "6 min from now"
    )


def test_an_estimate_is_at_risk_early_because_rows_may_come_much_faster() -> None:
    states = held(hours(0, 10), rows=600)
    for hour, safety in ((10.2, Safety.SAFE), (10.3, Safety.AT_RISK)):
        found = deadline(TRADES, states, NEWEST, hours(0, hour), hours(0, hour).end)
        assert found
        assert found.safety is safety


def test_of_what_nothing_is_known_nobody_can_say_how_long() -> None:
    found = deadline(TRADES, {}, NEWEST, hours(0, 10), hours(0, 10).end)
    assert found
    assert str(found) == "at risk: nothing is collected yet, and only the newest rows are ever shown"


def test_each_partition_has_a_deadline_of_its_own() -> None:
    found = deadline(TRADES, held(hours(0, 12)), DAY_REACH, hours(0, 30), hours(0, 30).end)
    assert found
    first, second = (partition_span(TRADES.grain, key) for key in ("2026-03-02", "2026-03-03"))
    assert found.within(first) == NOON + DAY
    assert found.within(second) == second.start + DAY


def test_many_losses_are_counted() -> None:
    states = held(*(hours(n, n + 0.5) for n in range(8)))
    now = bars(states, hours(0, 60).end)
    assert len(now.lost) == 8
    assert "5 more parts are lost" in str(now)


@pytest.mark.parametrize(
    ("length", "said"),
    [(0, "0 s"), (SECOND, "1 s"), (90 * SECOND, "1 min 30 s"), (25 * HOUR, "1 d 1 h"), (DAY + MINUTE, "1 d")],
)
def test_lengths_are_said_in_two_units(length: Us, said: str) -> None:
    assert said_length(length) == said
