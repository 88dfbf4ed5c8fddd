"""How far a run is, in its log: now and then a line, so that one sees it, and that it lives.

Belongs here: when a line is written. Does not: what is in it (remaining.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Event
from typing import Final

import dagster as dg

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import MINUTE, TimeRange, Us, iso
from dccd_core.fetch.fill import Halted
from dccd_core.fetch.fill import Progress as PageProgress
from dccd_core.net.clock import Clock, SystemClock
from dccd_pipeline.assets.remaining import Job, Remaining

_A_WORD_EVERY: Final = MINUTE
"""So that one sees how far it is; a run that is silent for long is taken for dead (silent.py)."""


@dataclass(slots=True)
class RunLog:
    """The log of a run under way. ``halt``: once it is set, the next page ends what a thread is at."""

    log: dg.DagsterLogManager
    progress: PageProgress
    clock: Clock = field(default_factory=SystemClock)
    halt: Event = field(default_factory=Event)
    _remaining: Remaining = field(init=False)
    _said: Us = field(init=False)

    def __post_init__(self) -> None:
        self.begin({})

    def begin(self, due: Mapping[Job, list[TimeRange]]) -> None:
        """Begin to count how much of what is ``due`` is done."""
        self._said = self.clock.steady()
        self._remaining = Remaining(due, self._said)

    def page(self, dataset: Dataset, key: str, rows: int, until: Us) -> None:
        """A partition went on.

        Raises:
            Halted: it is to stop.
        """
        if self.halt.is_set():
            raise Halted("stopped while bars were built")  # a thread hears of it only here
        self.progress(dataset, key, rows, until)
        self._remaining.page(dataset, key, rows, until)
        now = self.clock.steady()
        if now - self._said >= _A_WORD_EVERY:
            self._said = now
            self.log.info("%s; %s %s: up to %s", self._remaining.said(now), dataset, key, iso(until))

    def finish(self, job: Job) -> None:
        self._remaining.finish(job)
