"""``dccd stream`` notices by itself that ``dccd.yaml`` was changed: there is no daemon that would tell it.

Belongs here: from a changed file to an order for this process's run, or to its end. Does not: what a run
makes of an order (streams/job.py).
"""

import logging
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Final

import dagster as dg
import msgspec

from dccd_core.domain.errors import ConfigError
from dccd_pipeline.build import stream_orders
from dccd_pipeline.config.read import EMBEDDED, load_settings
from dccd_pipeline.config.settings import Settings
from dccd_pipeline.streams.heartbeat import Beat, read_beats
from dccd_pipeline.streams.orders import Order, in_place, write_order
from dccd_pipeline.streams.supervisor import CHANGED, GONE
from dccd_pipeline.tags import STOPPED

_LOOK_EVERY_S: Final = 3.0
_LOG: Final = logging.getLogger(__name__)


@dataclass(slots=True)
class ConfigWatch:
    """Looks at the file that ``settings`` are from, for the stream ``name`` that this process records.

    ``say`` is told what came of a change. ``anew``: the settings with which it is to be recorded anew.
    """

    settings: Settings
    name: str
    instance: dg.DagsterInstance
    say: Callable[[str], None]
    anew: Settings | None = None
    _file: Path = field(init=False)
    _known: bytes | None = None
    _wanted: Settings | None = None
    """What is to be done as soon as the run gives a sign of life."""
    _over: Event = field(default_factory=Event)

    def __post_init__(self) -> None:
        self._file = Path(self.settings.source).absolute()
        self._known = self._content()

    @contextmanager
    def looking(self) -> Generator[None]:
        """Look every few seconds, in a thread."""
        if self.settings.source in ("", EMBEDDED):
            yield
            return
        thread = Thread(target=self._look_often, name="config watch", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def look(self) -> None:
        """Notice a changed file, and do what follows from it."""
        content = self._content()
        if content != self._known:
            self._known = content
            self._wanted = self._read()
        if self._wanted and (beat := self._own_beat()):
            self._heed(self._wanted, beat)
            self._wanted = None

    def _look_often(self) -> None:
        while not self._over.wait(_LOOK_EVERY_S):
            try:
                self.look()
            except Exception:  # noqa: BLE001 -- recording goes on, whatever becomes of the file
                _LOG.exception("%s: could not look after %s", self.name, self._file)

    def _content(self) -> bytes | None:
        try:
            return self._file.read_bytes()
        except OSError:
            return None

    def _read(self) -> Settings | None:
        try:
            return load_settings(self._file)
        except ConfigError as e:
            said = f"{self.name}: what is recorded stays as it is: {self.settings.source} was changed, but"
            self.say("\n".join((said, *str(e).splitlines())))
            return None

    def _own_beat(self) -> Beat | None:
        beat = read_beats(self.instance, [self.name]).get(self.name)
        return beat if beat and beat.pid == os.getpid() else None

    def _heed(self, settings: Settings, beat: Beat) -> None:
        order = stream_orders(settings).get(self.name)
        if order is None:
            self._end(beat.run_id, GONE)
        elif order.digest == beat.entry:
            pass
        elif in_place(beat.entry, order.digest):
            self._change(order, beat.run_id)
        else:
            self.anew = settings
            self._end(beat.run_id, CHANGED)

    def _change(self, order: Order, run_id: str) -> None:
        write_order(self.instance, self.name, msgspec.structs.replace(order, run_id=run_id))
        self.say(f"{self.name}: goes on as it is in {self.settings.source} now")

    def _end(self, run_id: str, why: str) -> None:
        """Have the run see that it is to end."""
        run = self.instance.get_run_by_id(run_id)
        if run and not run.is_finished:
            self.say(f"{self.name}: {why}")
            self.instance.add_run_tags(run_id, {STOPPED: f"{run_id} {why}"})
            self.instance.report_run_canceling(run, message=why)
