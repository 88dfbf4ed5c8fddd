"""What is told of failures: each cause once an hour, and when all is well again; the storage remembers."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dccd_core.domain.timespan import HOUR, MINUTE, SECOND, Us, parse_time
from dccd_pipeline.config.settings import Alerts
from dccd_pipeline.runs.alerts import AGAIN_AFTER, Alarm, cause_of, post
from dccd_pipeline.tags import ALERTS

NOW = parse_time("2026-02-01")
BANNED, DOWN = "HTTP 418: banned until 7", "it does not answer"


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def told(alarm: Alarm, text: str, now: int, job: str = "majors") -> bool:
    """Fail, and tell it where it is to be told."""
    if due := alarm.failed(job, text, Us(now)):
        alarm.tell(job, text, Us(now))
    return due


@pytest.fixture(scope="module")
def shared() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


@given(st.lists(st.tuples(st.integers(1, 90), st.sampled_from([BANNED, DOWN])), max_size=30))
def test_each_cause_is_told_at_once_and_then_at_most_once_an_hour(
    shared: dg.DagsterInstance, failures: list[tuple[int, str]]
) -> None:
    now, last = int(NOW), dict[str, int]()
    Alarm(shared).well("majors")
    for minutes, text in failures:
        now += minutes * MINUTE
        due = text not in last or now - last[text] >= HOUR
        assert told(Alarm(shared), text, now) == due, "a new process knows what the one before told"
        last[text] = now if due else last[text]


def test_what_was_not_told_for_sure_is_tried_again(instance: dg.DagsterInstance) -> None:
    alarm = Alarm(instance)
    assert alarm.failed("majors", DOWN, NOW)
    assert alarm.failed("majors", DOWN, Us(NOW + SECOND)), "nobody said that it was told"
    assert alarm.told_of("majors") is None
    alarm.tell("majors", DOWN, Us(NOW + SECOND))
    known = Alarm(instance).told_of("majors")
    assert known is not None
    assert (known.since, known.failures) == (NOW, 2)


def test_what_is_well_again_is_said_once_and_only_if_its_failure_was(instance: dg.DagsterInstance) -> None:
    alarm = Alarm(instance)
    alarm.failed("quiet", DOWN, NOW)
    told(alarm, DOWN, NOW)
    assert alarm.well("quiet") is None
    before = alarm.well("majors")
    assert before is not None
    assert before.since == NOW
    assert [alarm.well("majors"), Alarm(instance).well("majors")] == [None, None]
    assert told(Alarm(instance), DOWN, NOW + 1), "after it was well it is news again"


def test_what_is_told_of_one_kind_is_not_told_of_another(instance: dg.DagsterInstance) -> None:
    jobs, streams = Alarm(instance), Alarm(instance, "streams")
    assert told(jobs, DOWN, NOW)
    assert told(streams, DOWN, NOW)
    jobs.well("majors")
    assert not told(Alarm(instance, "streams"), DOWN, NOW + 1)


def test_what_was_kept_and_cannot_be_read_is_forgotten(instance: dg.DagsterInstance) -> None:
    instance.daemon_cursor_storage.set_cursor_values({ALERTS: "not what we wrote"})
    assert told(Alarm(instance), DOWN, NOW)
    assert not told(Alarm(instance), DOWN, NOW + 1)


def test_the_newest_causes_are_remembered_and_no_more_than_fifty(instance: dg.DagsterInstance) -> None:
    alarm = Alarm(instance)
    names = [chr(ord("a") + n // 26) + chr(ord("a") + n % 26) for n in range(51)]
    assert all(told(alarm, name, NOW + n) for n, name in enumerate(names))
    assert told(alarm, names[0], NOW + 60)
    assert not told(alarm, names[50], NOW + 60)


@given(
    st.text(st.characters(exclude_categories=["N"]), max_size=20), st.uuids(), st.integers(0), st.integers(0)
)
def test_ids_numbers_and_times_make_no_other_cause(text: str, run: object, one: int, other: int) -> None:
    first, second = f"{text} {run}: HTTP {one}", f"{text} {run}: HTTP {other}"
    assert cause_of(first) == cause_of(second) == cause_of(f"{text} 00000000-{'1' * 27}: HTTP 7")
    assert cause_of(first) != cause_of(f"{text} {run}: FTP {one}")


def test_a_hook_that_does_not_take_it_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[str, Any]] = []

    def answer(url: str, *, json: Any, timeout: float) -> httpx.Response:
        sent.append((url, json))
        return httpx.Response(500 if len(sent) > 1 else 204, request=httpx.Request("POST", url))

    monkeypatch.setattr(httpx, "post", answer)
    alerts = Alerts(webhook_url="https://example.org/hook", after_failures=3)
    post(alerts, "it failed")
    with pytest.raises(httpx.HTTPError):
        post(alerts, "again")
    assert sent == [
        ("https://example.org/hook", {"text": "it failed"}),
        ("https://example.org/hook", {"text": "again"}),
    ]
    assert AGAIN_AFTER == HOUR
