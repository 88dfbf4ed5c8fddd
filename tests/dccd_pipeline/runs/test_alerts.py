"""What is told of failures: each cause once an hour, and when all is well again; the storage remembers."""

from collections.abc import Iterator

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dccd_core.domain.timespan import HOUR, MINUTE, SECOND, Us, parse_time
from dccd_pipeline.runs.alerts import AGAIN_AFTER, Alarm, cause_of
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


def test_a_clock_that_was_ahead_silences_nothing(instance: dg.DagsterInstance) -> None:
    """What was told in 2036, by a machine that had no time yet, was told for ten years."""
    assert told(Alarm(instance), DOWN, NOW + 87_600 * HOUR)
    assert told(Alarm(instance), DOWN, NOW)
    assert not told(Alarm(instance), DOWN, NOW + MINUTE)
    lasting = Alarm(instance, "disks")
    assert lasting.look({"disk": "full"}, Us(NOW + 87_600 * HOUR)) == ["full"]
    assert lasting.look({"disk": "full"}, NOW) == ["full"]


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


def looked(
    alarm: Alarm, minutes: int, wrong: dict[str, str | None], over: dict[str, str] | None = None
) -> list[str]:
    lines = alarm.look(wrong, Us(NOW + minutes * MINUTE), over)
    alarm.keep()
    return lines


def test_what_is_wrong_for_a_while_is_told_once_hourly_and_when_it_is_over(
    instance: dg.DagsterInstance,
) -> None:
    said = [
        (minute, line)
        for minute in range(0, 200, 5)
        for line in looked(
            Alarm(instance, "disks"), minute, {"disk": f"{minute} free" if minute < 150 else ""}
        )
    ]
    assert said == [
        (0, "0 free"),
        (60, "60 free"),
        (120, "120 free"),
        (150, "disk: well again after 2 h 30 min (it was told 3 times)"),
    ]


def test_of_what_is_wrong_for_a_while_other_words_are_no_other_cause(instance: dg.DagsterInstance) -> None:
    assert looked(Alarm(instance), 0, {"a": "HTTP 503"}) == ["HTTP 503"]
    assert looked(Alarm(instance), 5, {"a": "no connection"}) == []


def test_two_that_are_wrong_for_a_while_do_not_disturb_each_other(instance: dg.DagsterInstance) -> None:
    assert looked(Alarm(instance), 0, {"a": "A", "b": ""}) == ["A"]
    assert looked(Alarm(instance), 30, {"a": "A", "b": "B"}) == ["B"]
    assert looked(Alarm(instance), 60, {"a": "A", "b": "B"}) == ["A"]
    assert looked(Alarm(instance), 90, {"a": "", "b": "B"}) == [
        "a: well again after 1 h 30 min (it was told 2 times)",
        "B",
    ]
    assert looked(Alarm(instance), 95, {"a": "A", "b": "B"}) == ["A"], "after it was well it is news again"


def test_what_nobody_knows_and_what_is_not_looked_at_any_more_is_not_called_well(
    instance: dg.DagsterInstance,
) -> None:
    assert looked(Alarm(instance), 0, {"a": "A", "b": "B"}) == ["A", "B"]
    assert looked(Alarm(instance), 5, {"a": None}) == []
    assert looked(Alarm(instance), 10, {"a": "A", "b": ""}) == [], "of b it is forgotten that it was told"
    assert looked(Alarm(instance), 15, {"a": ""}, {"a": "a is here"}) == ["a is here (it was told once)"]


def test_what_has_not_changed_is_not_written(instance: dg.DagsterInstance) -> None:
    looked(Alarm(instance, "disks"), 0, {"disk": ""})
    key = f"{ALERTS}/disks"
    assert instance.daemon_cursor_storage.get_cursor_values({key}) == {}
    looked(Alarm(instance, "disks"), 5, {"disk": "full"})
    looked(Alarm(instance, "disks"), 10, {"disk": ""})
    assert instance.daemon_cursor_storage.get_cursor_values({key}) == {key: "{}"}
    assert AGAIN_AFTER == HOUR
