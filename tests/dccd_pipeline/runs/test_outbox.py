"""What an address does not take waits for it, is tried again ever later, and holds back no other."""

from collections.abc import Iterator

import dagster as dg
import pytest

from dccd_core.domain.timespan import HOUR, MINUTE, Us, parse_time
from dccd_pipeline.config.alerts import Alerts
from dccd_pipeline.runs.outbox import Outbox, in_one, refusing_lines
from dccd_pipeline.tags import WAITING
from tests.dccd_pipeline.hooks import Hook, hook

NOW = parse_time("2026-02-01")


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


@pytest.fixture
def taking() -> Iterator[Hook]:
    with hook() as one:
        yield one


def at(minutes: int) -> Us:
    return Us(NOW + minutes * MINUTE)


def test_what_was_taken_waits_for_nobody(instance: dg.DagsterInstance, taking: Hook) -> None:
    alerts = Alerts(to=(taking.url,))
    assert Outbox(instance, alerts).tell(["it failed"], NOW) == []
    assert Outbox(instance, alerts).tell([], at(1)) == []
    assert taking.texts == ["it failed"]
    assert refusing_lines(alerts, instance) == []


def test_with_nothing_to_tell_nothing_is_written(instance: dg.DagsterInstance) -> None:
    assert Outbox(instance, Alerts(to=("http://127.0.0.1:9/",))).tell([], NOW) == []
    assert instance.daemon_cursor_storage.get_cursor_values({WAITING}) == {}


def test_who_refuses_is_named_and_tried_again_ever_later(instance: dg.DagsterInstance, taking: Hook) -> None:
    with hook(*[500] * 8) as refusing:
        alerts = Alerts(to=(refusing.url, taking.url))
        refused = Outbox(instance, alerts).tell(["it failed"], NOW)
        assert refused == [
            "alerts.to[0] (http) takes no alerts since 2026-02-01T00:00:00Z: HTTP 500; 1 alert waits, "
            "next try at 2026-02-01T00:01:00Z -> `dccd alerts test`"
        ]
        tries = list[int]()
        for minute in range(1, 260):
            before = len(refusing.tried)
            refused = Outbox(instance, alerts).tell([], at(minute))  # another process each time
            tries += [minute] if len(refusing.tried) > before else []
            assert len(refused) == (minute in (1, 3, 7, 15, 31, 63, 123))
        assert tries == [1, 3, 7, 15, 31, 63, 123, 183]
        assert refusing.texts == ["it failed"]
        assert taking.texts == ["it failed"]
        assert refusing_lines(alerts, instance) == []


def test_what_came_meanwhile_comes_in_one_post_and_nothing_is_lost(instance: dg.DagsterInstance) -> None:
    with hook(500) as refusing:
        alerts = Alerts(webhook_url=refusing.url)
        for minute, text in enumerate(["one", "two", "three"]):
            Outbox(instance, alerts).tell([text], Us(NOW + minute))
        assert refusing.tried == ["one"]
        (line,) = refusing_lines(alerts, instance)
        assert "3 alerts wait" in line
        assert Outbox(instance, alerts).tell([], at(1)) == []
        assert refusing.texts == ["3 alerts, not taken since 2026-02-01T00:00:00Z:\n\none\n\ntwo\n\nthree"]


def test_of_very_many_the_oldest_are_left_out_and_that_is_said(instance: dg.DagsterInstance) -> None:
    with hook(500) as refusing:
        alerts = Alerts(webhook_url=refusing.url)
        for n in range(60):
            Outbox(instance, alerts).tell([f"alert {n}"], Us(NOW + n))
        assert "50 alerts wait, 10 older ones are left out" in refusing_lines(alerts, instance)[0]
        Outbox(instance, alerts).tell([], at(1))
        head, *texts = refusing.texts[0].split("\n\n")
        assert head == "50 alerts, not taken since 2026-02-01T00:00:00Z (10 older ones are left out):"
        assert texts == [f"alert {n}" for n in range(10, 60)]


def test_what_waits_for_an_address_that_left_the_configuration_is_nobody_s(
    instance: dg.DagsterInstance, taking: Hook
) -> None:
    Outbox(instance, Alerts(to=("http://127.0.0.1:9/",))).tell(["it failed"], NOW)
    assert Outbox(instance, Alerts(to=(taking.url,))).tell([], at(1)) == []
    assert taking.tried == []


def test_the_storage_holds_no_secret(instance: dg.DagsterInstance) -> None:
    Outbox(instance, Alerts(to=("http://u:tok3n@127.0.0.1:9/tok3n",))).tell(["it failed"], NOW)
    kept = instance.daemon_cursor_storage.get_cursor_values({WAITING})[WAITING]
    assert "it failed" in kept
    assert "tok3n" not in kept


def test_what_was_kept_and_cannot_be_read_is_forgotten(instance: dg.DagsterInstance, taking: Hook) -> None:
    instance.daemon_cursor_storage.set_cursor_values({WAITING: "not what we wrote"})
    Outbox(instance, Alerts(to=(taking.url,))).tell(["it failed"], NOW)
    assert taking.texts == ["it failed"]


def test_who_refuses_for_hours_is_tried_hourly(instance: dg.DagsterInstance) -> None:
    alerts = Alerts(to=("http://127.0.0.1:9/",))
    times = list[int]()
    now = NOW
    for _ in range(10):
        Outbox(instance, alerts).tell(["x"], now)
        (line,) = refusing_lines(alerts, instance)
        then = parse_time(line.partition("next try at ")[2].partition(" ")[0])
        times.append((then - now) // MINUTE)
        now = then
    assert times == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]
    assert times[-1] * MINUTE == HOUR


def test_what_waits_since_a_clock_was_ahead_is_sent(instance: dg.DagsterInstance) -> None:
    with hook(500) as refusing:
        alerts = Alerts(to=(refusing.url,))
        assert Outbox(instance, alerts).tell(["it failed"], at(1_000_000))
        assert Outbox(instance, alerts).tell([], NOW) == []
        assert refusing.texts == ["it failed"]


def test_many_lines_are_one_text() -> None:
    assert list(in_one([])) == []
    (text,) = in_one([f"line {n}" for n in range(25)])
    assert text.splitlines()[19:] == ["line 19", "... and 5 more: see `dccd status`"]
