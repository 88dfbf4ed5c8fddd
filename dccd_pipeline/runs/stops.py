"""Work in a run that ends when it is told to: by a signal, or because its run was ended elsewhere.

Dagster would raise in the middle of the event loop, with nothing left to await. So the loop takes the signals
itself, and cancels its work: what that has fetched it stores (dccd_core.fetch.fill).

Belongs here: hearing a stop, and ending the run as stopped. Does not: what is stored on the way out.
"""

import asyncio
import logging
import signal
import threading
from collections.abc import Coroutine, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import dagster as dg

from dccd_pipeline.runs.signals import old_handlers

LOOK_EVERY_S: Final = 3.0
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_GOES_ON: Final = (dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED)
INTERRUPTS: Final = (dg.DagsterExecutionInterruptedError, KeyboardInterrupt)
_LOG: Final = logging.getLogger(__name__)


class Stopped(BaseException):
    """Work was told to end, and did. ``str()`` says by what. Nothing that catches errors takes it for one."""


def run_stoppable(work: Coroutine[object, object, None], instance: dg.DagsterInstance, run_id: str) -> None:
    """Run ``work`` on a loop of its own until it is done, or cancel it when it is to stop.

    Raises:
        Stopped: it was told to.
    """
    task = _Task(instance, run_id)
    with old_handlers():
        asyncio.run(task.run(work))
    if task.why:
        raise Stopped(task.why)


@dataclass(slots=True)
class _Task:
    """Work under way, until it is done or told to stop. ``why``: by what."""

    instance: dg.DagsterInstance
    run_id: str
    why: str = ""

    async def run(self, work: Coroutine[object, object, None]) -> None:
        loop, doing = asyncio.get_running_loop(), asyncio.ensure_future(work)
        if threading.current_thread() is threading.main_thread():
            for one in _SIGNALS:
                loop.add_signal_handler(one, self._halt, doing, f"its process was told to end ({one.name})")
        watching = asyncio.create_task(self._watch(doing))
        try:
            await doing
        except asyncio.CancelledError:
            if not self.why:
                raise
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def _watch(self, doing: asyncio.Future[None]) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            if said := await asyncio.to_thread(_ended_elsewhere, self.instance, self.run_id):
                self._halt(doing, said)

    def _halt(self, doing: asyncio.Future[None], why: str) -> None:
        if not self.why:
            self.why = why
            doing.cancel()


def _ended_elsewhere(instance: dg.DagsterInstance, run_id: str) -> str:
    try:
        run = instance.get_run_by_id(run_id)
    except Exception:  # noqa: BLE001 -- fetching goes before looking
        _LOG.exception("run %s: Dagster's storage does not answer", run_id)
        return ""
    if run is None:
        return "its run was deleted"
    return "" if run.status in _GOES_ON else f"its run is {run.status.value.lower()}"


@contextmanager
def ends_as_canceled(instance: dg.DagsterInstance, run_id: str) -> Generator[None]:
    """Let a run that is told to end in this block end as canceled, whoever told it."""
    try:
        yield
    except (Stopped, *INTERRUPTS) as e:
        mark_canceling(instance, run_id, str(e) or "its process was told to end")
        raise dg.DagsterExecutionInterruptedError(str(e)) from None


def ended_status(instance: dg.DagsterInstance, run_id: str, *, interrupted: bool) -> dg.DagsterRunStatus:
    """Return how a run of this process ended; one that was interrupted anywhere is canceled."""
    run = instance.get_run_by_id(run_id)
    if run is None:
        return dg.DagsterRunStatus.CANCELED
    if interrupted and not run.is_finished:
        instance.report_run_canceled(run, message="stopped: its process was told to end")
        return dg.DagsterRunStatus.CANCELED
    return run.status


def mark_canceling(instance: dg.DagsterInstance, run_id: str, why: str) -> None:
    """Say that a run is being ended: one that is interrupted without a word Dagster takes for failed."""
    run = instance.get_run_by_id(run_id)
    if run and run.status in _GOES_ON:
        instance.report_run_canceling(run, message=f"stopped: {why}")
