"""Up to where a dataset should be proven by now: by its schedule, its end, and what it is made of."""

from typing import Any

import pytest

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import DAY, HOUR, MINUTE, SECOND, TimeRange, Us, parse_time
from dccd_core.exchanges import get
from dccd_core.lake.partition.ledger import Asked, Hole, Ledger, Lost, Source
from dccd_core.lake.partition.parquet import State
from dccd_pipeline.assets.freshness import Standing, standing, tick_before, wanted_until
from dccd_pipeline.config.collect import Entry
from dccd_pipeline.config.read import settings_of
from tests.dccd_pipeline.held import BOOKS, HOURS, MINUTES, TRADES

NOW = parse_time("2026-11-20T12:07:30")
TICKS = {"exchange": "binance", "symbols": ["BTC/USDT"], "data_type": "trades", "start": "2026-01-01"}
BARS = {**TICKS, "data_type": "ohlc", "span": "1m"}
FIVE = {**BARS, "every": "5m"}


def entries(*collect: dict[str, Any], **more: Any) -> tuple[Entry, ...]:
    return settings_of({"collect": list(collect), **more}).collect


def wanted(dataset: Dataset, *collect: dict[str, Any], now: Us = NOW, **more: Any) -> Us | None:
    return wanted_until(entries(*collect, **more)[-1], dataset, now)


def at(text: str) -> Us:
    return parse_time(text)


def state(*asked: TimeRange, holes: tuple[Hole, ...] = (), lost: tuple[Lost, ...] = ()) -> State:
    told = tuple(Asked(one, Source.REST, one.end, 1, 1) for one in asked)
    return State("", 1, None, None, 1, "", Ledger(told, holes, lost=lost))


@pytest.mark.parametrize(
    ("dataset", "entry", "until"),
    [
        (MINUTES, {**BARS, "every": "5m"}, "2026-11-20T11:57"),
        (MINUTES, BARS, "2026-11-20T10:07"),
        (HOURS, {**BARS, "span": "1h", "every": "5m"}, "2026-11-20T11:00"),
        (TRADES, {**TICKS, "every": "5m"}, "2026-11-20T11:57:25"),
        (BOOKS, {**TICKS, "data_type": "orderbook", "every": "5m"}, "2026-11-20T11:57:25"),
        (TRADES, {**TICKS, "cron": "0 2 * * *"}, "2026-11-19T01:59:55"),
    ],
    ids=str,
)
def test_it_is_what_was_final_two_intervals_ago(dataset: Dataset, entry: dict[str, Any], until: str) -> None:
    assert wanted(dataset, entry) == at(until)


def test_a_bar_that_closed_within_the_delay_is_not_wanted_yet() -> None:
    late = at("2026-11-20T12:10:04")  # ten minutes ago the bar of 11:59 was closed, but not final
    assert wanted(MINUTES, FIVE, now=late) == at("2026-11-20T11:59")
    assert wanted(MINUTES, FIVE, now=Us(late + SECOND)) == at("2026-11-20T12:00")


@pytest.mark.parametrize(
    ("cron", "zone", "before"),
    [
        ("0 2 * * *", "UTC", "2026-11-19T02:00"),
        ("0 2 * * *", "Asia/Tokyo", "2026-11-18T17:00"),
        ("30 6 * * 1-5", "UTC", "2026-11-19T06:30"),
        ("7 12 * * *", "UTC", "2026-11-19T12:07"),
        ("0 0 29 2 *", "UTC", "2020-02-29"),
    ],
)
def test_of_a_cron_it_is_the_last_time_but_one_in_its_zone(cron: str, zone: str, before: str) -> None:
    [entry] = entries({**BARS, "cron": cron}, timezone=zone)
    assert tick_before(entry, NOW) == at(before)


def test_the_zone_is_not_lost_by_what_else_an_entry_is_told() -> None:
    derived = {**BARS, "derive_from": "trades", "cron": "0 2 * * *"}
    told = entries({**TICKS, "cron": "0 1 * * *"}, derived, timezone="Asia/Tokyo")
    assert [entry.zone for entry in told] == ["Asia/Tokyo", "Asia/Tokyo"]
    assert [one.zone for one in told[1].origins.values()] == ["Asia/Tokyo"]


@pytest.mark.parametrize("how", [{"every": "never"}, {"enabled": False}], ids=str)
def test_without_a_schedule_nothing_is_wanted_but_what_lies_before_an_end(how: dict[str, Any]) -> None:
    assert wanted(MINUTES, {**BARS, **how}) is None
    assert wanted(MINUTES, {**BARS, **how, "end": "2026-03-01"}) == at("2026-03-01")
    assert wanted(MINUTES, {**BARS, **how, "end": "2027-03-01"}) is None, "that is still to come"


def test_nothing_is_wanted_after_an_end() -> None:
    assert wanted(MINUTES, {**FIVE, "end": "2026-03-01"}) == at("2026-03-01")
    assert wanted(MINUTES, {**FIVE, "end": "2027-03-01"}) == at("2026-11-20T11:57")
    gone = {"binance": {"symbols": {"BTC/USDT": {"delisted": "2026-02-28"}}}}
    assert wanted(MINUTES, FIVE, exchanges=gone) == at("2026-03-01")
    weeks = Dataset(HOURS.exchange, HOURS.symbol, HOURS.data_type, Us(7 * DAY))
    week = {**FIVE, "span": "1w"}
    assert wanted(weeks, week, exchanges=gone) == at("2026-02-23"), "no week that trading ended in"


def test_of_what_is_shown_at_its_moment_alone_an_end_wants_no_more_than_ticks_bring() -> None:
    """d446da6: a book whose entry had ended was "behind by 3 min" for ever."""
    book = {**TICKS, "data_type": "orderbook", "every": "5m", "end": "2026-11-20"}
    assert wanted(BOOKS, book) == at("2026-11-19T23:50")
    assert wanted(BOOKS, book, now=at("2026-11-19T12:00")) == at("2026-11-19T11:49:55")


def test_of_an_exchange_that_has_closed_all_is_wanted_up_to_then() -> None:
    dataset = Dataset.parse("bitmex/ohlc/BTC-USD_BTC/1h")
    entry = {"exchange": "bitmex", "symbols": ["BTC/USD:BTC"], "data_type": "ohlc", "span": "1h"}
    reach = {"bitmex": {"rest_url": "http://127.0.0.1:9"}}
    assert wanted(dataset, {**entry, "start": "2020-01-01"}, exchanges=reach) == get("bitmex").closed


def test_of_what_is_built_of_others_it_is_what_those_were_by_then() -> None:
    built = {**BARS, "derive_from": "trades", "every": "1h"}
    assert wanted(MINUTES, {**TICKS, "every": "1h"}, built) == at("2026-11-20T08:07")
    assert wanted(MINUTES, {**TICKS, "every": "5m"}, built) == at("2026-11-20T09:57")
    hours = {**BARS, "span": "1h", "derive_from": "1m", "every": "5m"}
    assert wanted(HOURS, FIVE, hours) == at("2026-11-20T11:00")
    ended = {**TICKS, "every": "never", "end": "2026-03-01"}
    assert wanted(MINUTES, ended, built) == at("2026-03-01")


def minutes(first: str, last: str) -> TimeRange:
    return TimeRange(at(f"2026-11-20T{first}"), at(f"2026-11-20T{last}"))


def stood(*asked: TimeRange, **known: Any) -> Standing:
    [entry] = entries(FIVE)
    return standing(entry, MINUTES, {"2026-11": state(*asked, **known)}, NOW)


def test_what_is_proven_so_far_is_up_to_date() -> None:
    until = at("2026-11-20T11:57")
    assert stood(minutes("00:00", "11:57")) == Standing(until, until)
    assert stood(minutes("00:00", "12:07")).since is None


def test_what_is_not_is_behind_since_its_last_proof() -> None:
    found = stood(minutes("00:00", "11:56"))
    assert found.since == found.until == at("2026-11-20T11:56")
    assert found.why == "nobody asked since 2026-11-20T11:56:00Z"


def test_a_gap_at_the_end_proves_nothing_and_its_reason_is_told() -> None:
    gap, late = minutes("11:50", "12:00"), minutes("00:00", "12:00")
    found = stood(late, holes=(Hole(gap, 10),))
    assert (found.since, found.why) == (gap.start, "10 missing, nobody can say why")
    assert stood(late, holes=(Hole(gap, 10, reason="connection lost"),)).why == "connection lost"
    assert stood(late, holes=(Hole(gap, 10, proof="nothing was traded"),)).since is None
    assert stood(minutes("00:00", "11:50"), lost=(Lost(gap, "paused by a user"),)).why == "paused by a user"


def test_an_error_says_more_than_what_was_asked() -> None:
    [entry] = entries(FIVE)
    found = standing(entry, MINUTES, {}, NOW, "HTTP 403: a firewall")
    assert (found.since, found.until, found.why) == (at("2026-01-01"), None, "HTTP 403: a firewall")
    assert standing(entry, MINUTES, {}, NOW).why == "it was never asked for"


def test_nobody_is_behind_before_it_is_wanted() -> None:
    [entry] = entries({**FIVE, "start": "2026-11-21"})
    assert standing(entry, MINUTES, {}, NOW).since is None
    listed = {"binance": {"symbols": {"BTC/USDT": {"listed": "2026-11-21"}}}}
    assert standing(entries(FIVE, exchanges=listed)[0], MINUTES, {}, NOW).since is None


def test_the_distance_is_that_of_the_schedule() -> None:
    for every, length in (("1m", MINUTE), ("1h", HOUR), ("1d", DAY)):
        assert tick_before(entries({**BARS, "every": every})[0], NOW) == NOW - 2 * length
