"""What is proven of a dataset, and what is not."""

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import DAY, HOUR, TimeRange, Us, parse_time
from dccd_core.lake.partition.ledger import Asked, Hole, Ledger, Lost, Source
from dccd_core.lake.partition.parquet import State
from dccd_core.quality.coverage import (
    IMPORTED,
    NEVER_ASKED,
    UNEXPLAINED,
    Gap,
    coverage,
    daily_gap_rates,
    gap_rate,
    gaps,
    promises,
    proven_until,
    wanted_time,
)

TRADES = Dataset.parse("okx/trades/BTC-USDT")
BOOK = Dataset.parse("okx/orderbook/BTC-USDT")
START = parse_time("2024-01-31")
NOW = parse_time("2024-03-01")


def hours(first: int, last: int) -> TimeRange:
    return TimeRange(Us(START + first * HOUR), Us(START + last * HOUR))


def state(*asked: TimeRange, source: Source = Source.REST, ledger: Ledger | None = None) -> State:
    ledger = ledger or Ledger()
    for span in asked:
        ledger = ledger.add(Asked(span, source, NOW, 1, 1))
    return State(path="", rows=1, first=None, last=None, bytes=1, content_hash="", ledger=ledger, owner="")


def test_all_that_was_asked_for_without_the_holes_in_it_is_proven() -> None:
    ledger = Ledger(holes=(Hole(hours(2, 3), 7), Hole(hours(4, 5), 7, proof="nothing was traded")))
    states = {"2024-01-31": state(hours(0, 12), ledger=ledger)}
    wanted = wanted_time(TRADES, states, NOW)
    assert wanted == TimeRange(START, Us(START + DAY))
    assert coverage(states, wanted) == 11 / 24
    assert gaps(TRADES, states, wanted) == [
        Gap(hours(2, 3), 7, UNEXPLAINED),
        Gap(hours(12, 24), None, NEVER_ASKED),
    ]


def test_a_partition_between_others_that_is_absent_is_not_proven() -> None:
    states = {"2024-01-31": state(hours(0, 24)), "2024-02-02": state(hours(48, 72))}
    wanted = wanted_time(TRADES, states, NOW)
    assert coverage(states, wanted) == 48 / 72
    assert gaps(TRADES, states, wanted) == [Gap(hours(24, 48), None, NEVER_ASKED)]


def test_what_is_still_to_come_is_not_wanted() -> None:
    states = {"2024-01-31": state(hours(0, 6))}
    assert wanted_time(TRADES, states, hours(6, 6).start) == hours(0, 6)


def test_of_a_stream_it_is_wanted_from_its_first_moment_on() -> None:
    ledger = Ledger(lost=(Lost(hours(8, 9), "connection lost"),))
    states = {"2024-01-31": state(hours(6, 8), hours(10, 24), source=Source.STREAM, ledger=ledger)}
    wanted = wanted_time(TRADES, states, NOW)
    assert wanted == hours(6, 24)
    assert gaps(TRADES, states, wanted) == [
        Gap(hours(8, 9), None, "connection lost"),
        Gap(hours(9, 10), None, NEVER_ASKED),
    ]


def test_pictures_promise_no_moment_unless_a_stream_took_them() -> None:
    asked, streamed = (
        {"2024-01-31": state(hours(0, 1))},
        {"2024-01-31": state(hours(0, 1), source=Source.STREAM)},
    )
    assert not promises(BOOK, asked)
    assert promises(BOOK, streamed)
    assert gaps(BOOK, asked, hours(0, 24)) == []


def test_the_newest_proof_ends_where_a_gap_begins_that_nobody_explained() -> None:
    explained, open_end = Hole(hours(8, 9), 7, proof="nothing was traded"), Hole(hours(8, 9), 7)
    first, second = "2024-01-31", "2024-02-01"
    assert proven_until({}) is None
    assert proven_until({first: state()}) is None
    assert proven_until({first: state(hours(0, 9), ledger=Ledger(holes=(explained,)))}) == hours(9, 9).start
    assert proven_until({first: state(hours(0, 9), ledger=Ledger(holes=(open_end,)))}) == hours(8, 8).start
    all_gap = Ledger(holes=(Hole(hours(24, 25), 9),))
    both = {first: state(hours(0, 24)), second: state(hours(24, 25), ledger=all_gap)}
    assert proven_until(both) == hours(24, 24).start
    assert proven_until({first: state(hours(0, 3)), second: state(hours(30, 31))}) == hours(31, 31).start


def test_what_was_imported_is_not_proven_and_says_so() -> None:
    states = {"2024-01-31": state(hours(0, 6), ledger=Ledger().take_over([hours(6, 12)]))}
    wanted = wanted_time(TRADES, states, NOW)
    assert coverage(states, wanted) == 6 / 24
    assert gaps(TRADES, states, wanted) == [
        Gap(hours(6, 12), None, IMPORTED),
        Gap(hours(12, 24), None, NEVER_ASKED),
    ]


def test_the_gap_rate_of_each_day_is_what_of_it_is_not_proven_in_millionths() -> None:
    ledger = Ledger(holes=(Hole(hours(2, 5), 7), Hole(hours(30, 31), 7, proof="nothing was traded")))
    states = {"2024-01-31": state(hours(0, 24), ledger=ledger), "2024-02-01": state(hours(24, 36))}
    wanted = hours(0, 60)
    days = daily_gap_rates(TRADES, states, wanted)
    assert days == {START: 125_000.0, Us(START + DAY): 500_000.0}, "the third day is not over"
    assert gap_rate(TRADES, states, wanted) == round((3 + 24) / 60 * 1e6, 3)
    accepted = [hours(36, 48), hours(40, 50)]
    assert daily_gap_rates(TRADES, states, wanted, accepted) == {START: 125_000.0, Us(START + DAY): 0.0}


def test_only_the_newest_days_and_only_what_is_wanted_of_them_have_a_gap_rate() -> None:
    states = {"2024-01-31": state(hours(6, 24))}
    assert daily_gap_rates(TRADES, states, hours(6, 25)) == {START: 0.0}
    assert len(daily_gap_rates(TRADES, states, hours(-24 * 30, 24))) == 7
    assert gap_rate(TRADES, states, hours(6, 6)) is None
    assert gap_rate(BOOK, {"2024-01-31": state(hours(0, 24))}, hours(0, 24)) is None
