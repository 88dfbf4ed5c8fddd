"""Work that ends when it is told to, whoever tells it."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator

import dagster as dg
import pytest

from dccd_pipeline.runs import stops
from dccd_pipeline.runs.stops import (
    Stopped,
    ended_status,
    ends_as_canceled,
    mark_canceling,
    run_stoppable,
)

S = dg.DagsterRunStatus


@dg.job
def collecting() -> None: ...


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stops, "LOOK_EVERY_S", 0)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def begun(instance: dg.DagsterInstance, status: S = S.STARTED) -> str:
    return instance.create_run_for_job(collecting, status=status).run_id


def status_of(instance: dg.DagsterInstance, run_id: str) -> S:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


class Work:
    """Waits to be ended, and puts away what it has; ``done`` in the end."""

    def __init__(self) -> None:
        self.done: list[str] = []

    async def until_told(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(5):
                await asyncio.sleep(0)
            self.done.append("put away")


def test_work_that_nobody_stops_is_done(instance: dg.DagsterInstance) -> None:
    done: list[int] = []

    async def work() -> None:
        done.append(1)

    run_stoppable(work(), instance, begun(instance))
    assert done == [1]


@pytest.fixture
def handled() -> Iterator[Callable[[int, object], None]]:
    """Handlers of signals as Dagster has them."""

    def handler(_: int, __: object) -> None: ...

    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    yield handler
    for number, one in before.items():
        signal.signal(number, one)


@pytest.mark.parametrize(
    "numbers", [(signal.SIGINT, signal.SIGTERM), (signal.SIGTERM, signal.SIGINT)], ids=["INT", "TERM"]
)
def test_a_signal_ends_it_after_it_has_put_away_what_it_has(
    instance: dg.DagsterInstance, handled: object, numbers: tuple[signal.Signals, signal.Signals]
) -> None:
    work = Work()

    async def struck() -> None:
        for number in numbers:  # the second must not break off what the first began
            os.kill(os.getpid(), number)
            await asyncio.sleep(0)
        await work.until_told()

    with pytest.raises(Stopped, match=f"told to end .{numbers[0].name}"):
        run_stoppable(struck(), instance, begun(instance))
    assert work.done == ["put away"]
    assert [signal.getsignal(number) for number in numbers] == [handled, handled]


@pytest.mark.parametrize(
    ("status", "said"), [(S.CANCELING, "its run is canceling"), (S.FAILURE, "its run is failure")]
)
def test_a_run_that_was_ended_elsewhere_is_ended_here(
    instance: dg.DagsterInstance, status: S, said: str
) -> None:
    work = Work()
    with pytest.raises(Stopped, match=said):
        run_stoppable(work.until_told(), instance, begun(instance, status))
    assert work.done == ["put away"]


def test_so_is_one_that_was_deleted(instance: dg.DagsterInstance) -> None:
    work, run_id = Work(), begun(instance)
    instance.delete_run(run_id)
    with pytest.raises(Stopped, match="its run was deleted"):
        run_stoppable(work.until_told(), instance, run_id)
    assert ended_status(instance, run_id, interrupted=False) is S.CANCELED


def test_a_storage_that_does_not_answer_stops_nothing(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []
    looked, done = asyncio.Event(), list[int]()

    def broken(run_id: str) -> None:
        looks.append(run_id)
        raise OSError("database is locked")

    async def work() -> None:
        loop = asyncio.get_running_loop()
        while len(looks) < 3:
            loop.call_later(0.001, looked.set)
            await looked.wait()
            looked.clear()
        done.append(1)

    run_id = begun(instance)
    monkeypatch.setattr(instance, "get_run_by_id", broken)
    run_stoppable(work(), instance, run_id)
    assert done == [1]
    assert set(looks) == {run_id}


def test_an_error_of_the_work_is_its_own(instance: dg.DagsterInstance) -> None:
    async def broken() -> None:
        raise ValueError("unforeseen")

    async def cancelled() -> None:
        raise asyncio.CancelledError

    with pytest.raises(ValueError, match="unforeseen"):
        run_stoppable(broken(), instance, begun(instance))
    with pytest.raises(asyncio.CancelledError):  # nobody told it to end: it is a defect
        run_stoppable(cancelled(), instance, begun(instance))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Stopped("its run is canceling"), "stopped: its run is canceling"),
        (dg.DagsterExecutionInterruptedError(), "stopped: its process was told to end"),
        (KeyboardInterrupt(), "stopped: its process was told to end"),
    ],
)
def test_whoever_told_it_the_run_ends_as_canceled(
    instance: dg.DagsterInstance, error: BaseException, said: str
) -> None:
    run_id = begun(instance)
    with pytest.raises(dg.DagsterExecutionInterruptedError), ends_as_canceled(instance, run_id):
        raise error
    assert status_of(instance, run_id) is S.CANCELING
    assert said in [entry.message for entry in instance.all_logs(run_id)]


def test_an_error_within_passes_through(instance: dg.DagsterInstance) -> None:
    run_id = begun(instance)
    with pytest.raises(ValueError, match="unforeseen"), ends_as_canceled(instance, run_id):
        raise ValueError("unforeseen")
    assert status_of(instance, run_id) is S.STARTED


@pytest.mark.parametrize("status", [S.SUCCESS, S.FAILURE, S.CANCELED, S.CANCELING])
def test_what_has_ended_is_not_said_to_be_ending(instance: dg.DagsterInstance, status: S) -> None:
    run_id = begun(instance, status)
    mark_canceling(instance, run_id, "because")
    assert status_of(instance, run_id) is status


@pytest.mark.parametrize(
    ("status", "interrupted", "ended"),
    [
        (S.STARTED, True, S.CANCELED),
        (S.CANCELING, True, S.CANCELED),
        (S.SUCCESS, True, S.SUCCESS),
        (S.FAILURE, True, S.FAILURE),
        (S.SUCCESS, False, S.SUCCESS),
        (S.STARTED, False, S.STARTED),
    ],
)
def test_how_a_run_ended_is_what_its_record_says_unless_it_was_interrupted(
    instance: dg.DagsterInstance, *, status: S, interrupted: bool, ended: S
) -> None:
    run_id = begun(instance, status)
    assert ended_status(instance, run_id, interrupted=interrupted) is ended
    assert status_of(instance, run_id) is ended
