"""The run of a stream: one op that records until it is told to stop, and then ends in order.

The op is no coroutine: of a signal a coroutine would see nothing but GeneratorExit, with nothing left to
await. So it runs its own event loop, takes the signals there, and lets the recorder drain.

Belongs here: how the run begins and ends. Does not: recording (dccd_core.stream), what is told (report.py).
See https://docs.dagster.io/guides/build/ops
"""

import asyncio
import logging
import signal
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import dagster as dg
from sqlalchemy.exc import SQLAlchemyError

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import DccdError
from dccd_core.stream.api import RecordStream, StreamPlan
from dccd_pipeline.config.collect import Entry
from dccd_pipeline.config.stream import StreamEntry
from dccd_pipeline.dagster_compat import MAX_RETRIES_TAG
from dccd_pipeline.resources import LakeResource, Venues
from dccd_pipeline.runs.patience import line_of, patiently
from dccd_pipeline.runs.signals import old_handlers
from dccd_pipeline.streams.orders import Wishes, in_place, read_wishes
from dccd_pipeline.streams.report import Report
from dccd_pipeline.tags import STOPPED, STREAM

_LOOK_EVERY_S: Final = 3.0
_DRAIN_S: Final = 6.0
_TELL_S: Final = 2.0
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_GOES_ON: Final = (dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED)
_LOG: Final = logging.getLogger(__name__)


def stream_job(
    entry: StreamEntry, digest: str, collected: Mapping[Dataset, Entry] | None = None
) -> dg.JobDefinition:
    """Return the job of ``entry``.

    Args:
        entry: what it records.
        digest: says which version of its settings.
        collected: which entry collects a dataset, too: its checks are told when it is materialised.
    """

    @dg.op(
        name=f"record_{entry.name}",
        description=f"Records {', '.join(map(str, entry.symbols))} until stopped.",
    )
    def record(
        context: dg.OpExecutionContext,
        lake: LakeResource,
        venues: Venues,
        recorder: dg.ResourceParam[RecordStream],
    ) -> None:
        report = Report(context, lake.open(), entry.name, digest, collected=collected or {})
        Recording(context, entry, report).run(venues, recorder)

    @dg.job(
        name=entry.job,
        executor_def=dg.in_process_executor,
        tags={STREAM: entry.name, MAX_RETRIES_TAG: "0"},  # the supervisor starts it again, not Dagster
        description=f"{entry.exchange} {', '.join(entry.data_types)}, live, until it is terminated.",
    )
    def job() -> None:
        record()

    return job


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a look at Dagster's storage showed. ``status``: of the run; None when it was deleted."""

    status: dg.DagsterRunStatus | None
    wishes: Wishes


@dataclass(slots=True)
class Recording:
    """One run, from its first sign of life to the last."""

    context: dg.OpExecutionContext
    entry: StreamEntry
    report: Report
    why: str = ""
    """Why it is to stop."""
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _plans: asyncio.Queue[StreamPlan] = field(default_factory=asyncio.Queue[StreamPlan])
    _plan: StreamPlan | None = None
    """The last one that was given to the recorder."""

    def run(self, venues: Venues, recorder: RecordStream) -> None:
        """Record; return never.

        Raises:
            DagsterExecutionInterruptedError: it was told to stop, and did.
            dg.Failure: it could not go on.
        """
        with old_handlers(), self._plain_failures():
            try:
                asyncio.run(self._record(venues, recorder))
            finally:
                self.report.close(_TELL_S)
        self._mark_as_ours()
        raise dg.DagsterExecutionInterruptedError(f"stopped: {self.why}")

    async def _record(self, venues: Venues, recorder: RecordStream) -> None:
        loop = asyncio.get_running_loop()
        if threading.current_thread() is threading.main_thread():
            for one in _SIGNALS:
                loop.add_signal_handler(one, self._halt, f"its process was told to end ({one.name})")
        plan = await self._first_plan()
        watching = asyncio.create_task(self._watch())
        try:
            with venues.sockets(self.entry.exchange) as connect:
                async with venues.connect(self.entry.exchange) as venue:
                    report = self.report
                    lake, plans = report.lake, self._plans
                    work = recorder(plan, venue, connect, lake, self._stop, report, plans=plans)
                    await self._until_done(asyncio.ensure_future(work))
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        if not self.why:
            raise DccdError("the recorder ended by itself", hint="this is a defect of dccd: please report it")

    async def _until_done(self, work: asyncio.Future[None]) -> None:
        """Wait for the recorder, but once it is to stop, not longer than a terminated run may take."""
        stopped = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait_for(work, _DRAIN_S)
        except TimeoutError:
            said = f"the recorder did not end within {_DRAIN_S:g} s and was cut off"
            self.report.note(said, wrong=True)
        finally:
            stopped.cancel()

    def _halt(self, why: str) -> None:
        if not self.why:
            self.why = why
            self._stop.set()

    async def _first_plan(self) -> StreamPlan:
        """Return what to begin with; a storage that does not answer now says later what is paused."""
        seen = await asyncio.to_thread(self._look)
        self._plan = (seen.wishes if seen else Wishes()).plan(self.entry)
        return self._plan

    async def _watch(self) -> None:
        """Give signs of life, take other wishes, and notice when the run was ended: by the UI, or as lost."""
        while True:
            seen = await asyncio.to_thread(self._look)
            if seen:
                self._heed(seen.wishes)
            if seen and seen.status not in _GOES_ON:
                self._halt(f"its run is {(seen.status or dg.DagsterRunStatus.CANCELED).value.lower()}")
            await asyncio.sleep(_LOOK_EVERY_S)

    def _look(self) -> _Seen | None:
        """Tell and ask Dagster's storage; None when it does not answer, which it will again."""
        instance, run_id = self.context.instance, self.context.run_id
        try:
            self.report.pulse()
            wishes = read_wishes(instance, self.entry.name, run_id)
            run = instance.get_run_by_id(run_id)
        except Exception as e:  # noqa: BLE001 -- recording goes before telling
            self.report.storage_fails(e)
            return None
        self.report.storage_answers()
        return _Seen(run.status if run else None, wishes)

    def _heed(self, wishes: Wishes) -> None:
        """Have the recorder go on as it is wanted now."""
        order = wishes.order
        if order and order.digest != self.report.digest and in_place(self.report.digest, order.digest):
            self.entry, self.report.digest = order.changes(self.entry), order.digest
        plan = wishes.plan(self.entry)
        if self._plan and plan != self._plan:
            self._plan = plan
            self._plans.put_nowait(plan)

    def _mark_as_ours(self) -> None:
        """Say so if only the process was told to stop, not the run: then the stream is to go on later."""
        try:
            patiently(self._mark, _TELL_S)
        except SQLAlchemyError as e:
            _LOG.warning("%s: Dagster's storage does not take why it ended: %s", self.entry.name, line_of(e))

    def _mark(self) -> None:
        instance = self.context.instance
        run = instance.get_run_by_id(self.context.run_id)
        if run and run.status in _GOES_ON:
            instance.add_run_tags(run.run_id, {STOPPED: f"{run.run_id} {self.why}"})
            instance.report_run_canceling(run, message=self.why)

    @contextmanager
    def _plain_failures(self) -> Generator[None]:
        """Let our own errors say their line; any other is a defect."""
        try:
            yield
        except DccdError as e:
            raise dg.Failure(str(e), allow_retries=False) from e
        except Exception as e:
            said = f"a defect of dccd, please report it: {type(e).__name__}: {e}"
            raise dg.Failure(said, allow_retries=False) from e
