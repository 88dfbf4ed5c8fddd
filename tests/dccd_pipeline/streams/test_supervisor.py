"""Every branch of what the supervisor decides, with a time that is handed in."""

import dagster as dg
import msgspec
from hypothesis import given
from hypothesis import strategies as st

from dccd_core.domain.timespan import HOUR, MINUTE, SECOND, Us
from dccd_pipeline.streams.heartbeat import Beat
from dccd_pipeline.streams.supervisor import (
    GETTING_READY,
    STALE,
    Action,
    Change,
    Memory,
    Seen,
    Sight,
    Start,
    Stop,
    remembered,
    supervise,
    wait_after,
)
from dccd_pipeline.tags import STOPPED, STREAM

S = dg.DagsterRunStatus
NOW = Us(1_000 * HOUR)
BEGAN = Us(NOW - HOUR)


def awake() -> Memory:
    """Return the memory of a supervisor that looked ten seconds ago, and for long before."""
    return Memory(looked=NOW - 10 * SECOND, awake=NOW - HOUR)


def seen(status: dg.DagsterRunStatus, run: str = "run", name: str = "majors", **known: object) -> Seen:
    tags = {STREAM: name, **{key: str(value) for key, value in known.items() if key == STOPPED}}
    started = None if status in (S.QUEUED, S.NOT_STARTED, S.STARTING) else BEGAN
    facts = {"created": BEGAN, "started": started, **known}
    facts.pop(STOPPED, None)
    return msgspec.convert({"id": run, "status": status.value, "tags": tags, **facts}, Seen)


def beat(
    at: int = NOW - 5 * SECOND, run: str = "run", entry: str = "digest", started: int | None = 1
) -> Beat:
    return Beat(run_id=run, entry=entry, at=at, pid=1, host="here", started=started)


def decided(
    *active: Seen,
    latest: Seen | None = None,
    beats: Beat | None = None,
    memory: Memory | None = None,
    now: Us = NOW,
    wanted: str = "digest",
) -> tuple[list[Action], list[str]]:
    found = {"majors": latest} if latest else {}
    given = {"majors": beats} if beats else {}
    return supervise(Sight(now, {"majors": wanted}, active, found, given), memory or awake())


def test_what_was_never_there_is_started() -> None:
    assert decided() == ([Start("majors", "first start", "")], [])


def test_what_records_goes_on() -> None:
    assert decided(seen(S.STARTED), beats=beat()) == ([], [])


def test_what_waits_for_its_turn_is_waited_for() -> None:
    for status in (S.QUEUED, S.NOT_STARTED, S.STARTING):
        assert decided(seen(status)) == ([], [f"majors: run run is {status.value.lower()}"])
    assert decided(seen(S.CANCELING)) == ([], ["majors: run run is ending"])


def test_what_left_the_configuration_is_stopped_once() -> None:
    gone = "it is not in dccd.yaml any more"
    others = [seen(status, status.value, "gone") for status in (S.QUEUED, S.STARTED, S.CANCELING)]
    actions, _ = decided(seen(S.STARTED), *others, beats=beat())
    assert actions == [Stop("QUEUED", gone), Stop("STARTED", gone)]


def test_streams_that_ran_are_looked_for_even_when_they_left() -> None:
    memory = awake()
    decided(seen(S.STARTED, name="gone"), memory=memory)
    assert memory.names == ["gone", "majors"]
    decided(memory=memory)
    assert memory.names == ["majors"]


def test_of_two_runs_the_one_that_began_is_kept() -> None:
    first, second = seen(S.STARTED), seen(S.QUEUED, "second", created=NOW - MINUTE)
    why = "run run records it already"
    assert decided(second, first, beats=beat()) == ([Stop("second", why)], [])
    younger = seen(S.STARTED, "second", created=NOW - MINUTE)
    assert decided(younger, first, beats=beat()) == ([Stop("second", why)], [])


def test_a_run_waits_for_one_that_ends() -> None:
    ending, next_one = seen(S.CANCELING), seen(S.QUEUED, "next", created=NOW - MINUTE)
    assert decided(ending, next_one) == ([], ["majors: run next is queued"])


def test_without_a_heartbeat_for_long_a_run_is_lost() -> None:
    at = Us(NOW - STALE)
    assert decided(seen(S.STARTED), beats=beat(at)) == ([], [])
    actions, _ = decided(seen(S.STARTED), beats=beat(Us(at - SECOND)))
    assert actions == [Stop("run", "stale: no heartbeat for 76 s", lost=True)]


def test_the_heartbeat_of_another_run_says_nothing() -> None:
    (stop,), _ = decided(seen(S.STARTED), beats=beat(run="before"))
    assert isinstance(stop, Stop)
    assert stop.lost
    young = seen(S.STARTED, started=NOW - 10 * SECOND)
    assert decided(young, beats=beat(NOW - HOUR, run="before")) == ([], [])


def test_after_a_pause_of_its_own_the_supervisor_gives_streams_time() -> None:
    memory = Memory(looked=NOW - 5 * MINUTE, awake=NOW - HOUR)
    late = beat(NOW - 5 * MINUTE)
    assert decided(seen(S.STARTED), beats=late, memory=memory) == ([], [])
    for wait in range(10, 70, 10):
        assert decided(seen(S.STARTED), beats=late, memory=memory, now=Us(NOW + wait * SECOND)) == ([], [])
    (stop,), _ = decided(seen(S.STARTED), beats=late, memory=memory, now=Us(NOW + 80 * SECOND))
    assert isinstance(stop, Stop)
    assert stop.lost


def test_getting_ready_may_take_long_but_not_for_ever() -> None:
    preparing = beat(started=None)
    began = Us(NOW - GETTING_READY)
    assert decided(seen(S.STARTED, started=began), beats=preparing) == ([], [])
    actions, _ = decided(seen(S.STARTED, started=began - SECOND), beats=preparing)
    assert actions == [Stop("run", "stale: not ready to record after 15 minutes", lost=True)]


def test_other_settings_are_another_run() -> None:
    assert decided(seen(S.STARTED), beats=beat(entry="old")) == (
        [Stop("run", "its settings in dccd.yaml changed")],
        [],
    )


def test_other_datasets_are_a_change_of_the_same_run() -> None:
    changed = decided(seen(S.STARTED), beats=beat(entry="fixed.old"), wanted="fixed.new")
    assert changed == ([Change("majors", "run")], [])
    other = decided(seen(S.STARTED), beats=beat(entry="fixed.old"), wanted="other.old")
    assert other == ([Stop("run", "its settings in dccd.yaml changed")], [])
    assert decided(seen(S.STARTED), beats=beat(entry="fixed.old"), wanted="fixed.old") == ([], [])


def test_what_a_user_stopped_stays_stopped() -> None:
    actions, notes = decided(latest=seen(S.CANCELED))
    assert actions == []
    assert notes == ["majors: a user stopped it (run run): dccd stream resume majors lets it go on"]


def test_what_we_stopped_starts_again_with_our_reason() -> None:
    stopped = seen(S.CANCELED, **{STOPPED: "run its settings in dccd.yaml changed"})
    assert decided(latest=stopped) == ([Start("majors", "its settings in dccd.yaml changed", "run")], [])


def test_the_reason_of_a_run_that_was_launched_again_is_not_its_own() -> None:
    again = seen(S.CANCELED, "again", **{STOPPED: "run its settings in dccd.yaml changed"})
    assert decided(latest=again)[0] == []


def test_a_failure_is_followed_by_a_start_with_its_reason() -> None:
    failed = seen(S.FAILURE, failure="its process died: by signal 9", ended=NOW - MINUTE)
    assert decided(latest=failed) == ([Start("majors", "its process died: by signal 9", "run")], [])
    ended = seen(S.SUCCESS, ended=NOW - MINUTE)
    assert decided(latest=ended)[0] == [Start("majors", "its run run ended by itself", "run")]


def test_what_was_lost_is_started_with_that_reason_however_it_ended() -> None:
    for status in (S.CANCELED, S.FAILURE):
        lost = seen(status, ended=NOW - MINUTE, failure="x", **{STOPPED: "run stale: no heartbeat for 76 s"})
        assert decided(latest=lost)[0] == [Start("majors", "stale: no heartbeat for 76 s", "run")]


def test_failures_in_a_row_wait_longer_and_each_counts_once() -> None:
    memory, now, waits = awake(), NOW, list[int]()
    for n in range(9):
        failed = seen(S.FAILURE, f"run {n}", failure="why", ended=now)
        begun = now
        while not (actions := decided(latest=failed, memory=memory, now=now)[0]):
            now = Us(now + SECOND)
        assert actions == [Start("majors", "why", f"run {n}")]
        waits.append((now - begun) // SECOND)
    assert waits == [5, 10, 20, 40, 80, 160, 320, 600, 600]


def test_a_wait_says_how_long_and_why() -> None:
    failed = seen(S.FAILURE, failure="why", ended=NOW)
    assert decided(latest=failed) == ([], ["majors: failure 1 (why): next try in 5 s"])


def test_failures_are_forgotten_when_it_was_well_for_a_while() -> None:
    memory = awake()
    decided(latest=seen(S.FAILURE, ended=NOW), memory=memory)
    assert memory.troubles["majors"].failures == 1
    decided(seen(S.STARTED, started=NOW - 10 * MINUTE), beats=beat(), memory=memory)
    assert memory.troubles["majors"].failures == 1
    decided(seen(S.STARTED, started=NOW - 11 * MINUTE), beats=beat(), memory=memory)
    assert memory.troubles == {}


def test_the_memory_of_what_left_the_configuration_goes_too() -> None:
    memory = awake()
    decided(latest=seen(S.FAILURE, ended=NOW), memory=memory)
    supervise(Sight(NOW, {}, [], {}, {}), memory)
    assert memory.troubles == {}


def test_the_memory_travels_in_the_cursor() -> None:
    memory = awake()
    decided(latest=seen(S.FAILURE, ended=NOW), memory=memory)
    assert remembered(msgspec.json.encode(memory).decode()) == memory
    assert remembered(None) == Memory()


@given(st.integers(1, 10_000))
def test_waits_grow_up_to_ten_minutes(failures: int) -> None:
    assert 5 * SECOND <= wait_after(failures) <= wait_after(failures + 1) <= 10 * MINUTE
