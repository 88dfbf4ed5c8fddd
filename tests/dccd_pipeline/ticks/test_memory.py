"""What fails for one cause is tried at growing distances; another cause, or a success, begins anew."""

import dagster as dg

from dccd_core.domain.timespan import HOUR, MINUTE, Us, parse_time
from dccd_pipeline.tags import TICKS
from dccd_pipeline.ticks.memory import (
    Failing,
    Memory,
    failed_again,
    failing_by_now,
    read_memory,
    said_failing,
    write_memory,
)

NOW = parse_time("2026-11-20T12:00:00")
NAME = "binance/ohlc/BTC-USDT/1m"


def test_the_distances_grow_up_to_an_hour_and_ticks_need_not_be_on_the_second() -> None:
    failing, at, distances = failed_again(None, "it is down", NOW), NOW, list[int]()
    for _ in range(7):
        assert not Memory({NAME: failing}).left(Us(failing.retry_at - 20_000_000))
        failing = failed_again(failing, "it is down", at)
        distances.append((failing.retry_at - at) // MINUTE)
        assert bool(Memory({NAME: failing}).left(Us(at + MINUTE)))
        at = Us(failing.retry_at)
    assert distances == [5, 10, 20, 40, 60, 60, 60]
    assert (failing.since, failing.tries) == (NOW, 8)


def test_a_cause_is_the_same_whatever_the_time_that_it_tells() -> None:
    once = failed_again(None, "nothing since 12:00", NOW)
    assert failed_again(once, "nothing since 12:05", NOW).tries == 2


def test_another_cause_is_tried_at_the_next_tick() -> None:
    failing = failed_again(failed_again(None, "it is down", NOW), "it is down", NOW)
    other = failed_again(failing, "banned", Us(NOW + HOUR))
    assert other == Failing("banned", NOW + HOUR, 1, NOW + HOUR)
    assert Memory({NAME: other}).left(Us(NOW + HOUR)) == {}


def test_what_was_not_tried_fails_as_before_and_what_was_tried_and_did_not_fail_works() -> None:
    before = {name: Failing("it is down", NOW, 2, NOW + HOUR) for name in ("left", "tried", "again")}
    found = failing_by_now(before, {"again": "it is down", "new": "banned"}, {"left", "well"}, NOW)
    assert {name: one.tries for name, one in found.items()} == {"left": 2, "again": 3, "new": 1}


def test_it_is_kept_by_store_and_entry_and_what_cannot_be_read_is_nothing() -> None:
    memory = Memory({NAME: failed_again(None, "it is down", NOW)}, NOW, {NAME: 3})
    with dg.DagsterInstance.ephemeral() as instance:
        write_memory(instance, "one", "bars", memory)
        assert read_memory(instance, "one", "bars") == memory
        assert read_memory(instance, "other", "bars") == read_memory(instance, "one", "books") == Memory()
        instance.daemon_cursor_storage.set_cursor_values({f"{TICKS}one/bars": "{"})
        assert read_memory(instance, "one", "bars") == Memory()


def test_it_is_said_with_cause_and_next_try() -> None:
    failing = failed_again(failed_again(None, "it is down", NOW), "it is down", NOW)
    assert said_failing({NAME: failing}) == [
        f"{NAME}: fails since 2026-11-20T12:00:00Z, 2 times, next try at 2026-11-20T12:05:00Z: it is down"
    ]


def test_what_the_exchange_does_not_know_any_more_waits_too_and_fails_nothing() -> None:
    gone, down = (failed_again(failed_again(None, why, NOW), why, NOW) for why in ("unknown", "it is down"))
    memory = Memory({"b": down}, unknown={"a": gone})
    assert memory.troubled == memory.left(NOW) == {"a": gone, "b": down}
    assert memory.failing == {"b": down}
