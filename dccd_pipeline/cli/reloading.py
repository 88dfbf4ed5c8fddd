"""``dccd up`` takes over a ``dccd.yaml`` that was saved: Dagster loads the code location anew.

Belongs here: noticing, and telling the webserver. Does not: which configuration counts (config/lastgood.py).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Final

import msgspec

from dccd_core.domain.errors import ConfigError
from dccd_core.domain.sizes import counted
from dccd_core.domain.timespan import SECOND, ZERO, Us
from dccd_core.net.clock import Clock, SystemClock
from dccd_pipeline.cli.running import Running, digest_of
from dccd_pipeline.cli.webserver import reload_code, said_next
from dccd_pipeline.config.lastgood import load_lasting
from dccd_pipeline.config.read import config_file
from dccd_pipeline.config.settings import Settings

_EVERY: Final = Us(SECOND)
_AGAIN: Final = Us(10 * SECOND)


@dataclass(slots=True)
class Reloading:
    """Looks at the configuration now and then, and has what runs go by it once it can be used.

    ``keep`` is told whenever what runs, or why it is not what was saved, has changed.
    """

    url: str
    home: Path
    running: Running
    say: Callable[[str], None]
    keep: Callable[[Running], None]
    clock: Clock = field(default_factory=SystemClock)
    load: Callable[[str], str] = reload_code
    next_ticks: Callable[[str, Settings], str] = said_next
    _looked: Us = ZERO
    _seen: str = ""
    _settled: str | None = None
    _retry_at: Us = ZERO
    _under_way: "_Attempt | None" = None

    def __post_init__(self) -> None:
        self._settled = self.running.digest or digest_of(Path(self.running.config))

    def look(self) -> None:
        """Notice a saved file, and do what follows from it. A file that is being written is left alone."""
        now = self.clock.steady()
        if self._under_way and not self._under_way.done(self):
            return
        if now - self._looked < _EVERY:
            return
        self._looked = now
        digest = digest_of(config_file())
        before, self._seen = self._seen, digest
        if digest == before and digest != self._settled and now >= self._retry_at:
            self._heed(digest)

    def _heed(self, digest: str) -> None:
        try:
            loaded = load_lasting(self.home)
        except ConfigError as e:
            self._pass_over(digest, str(e))
            return
        if loaded.mistake:
            self._pass_over(digest, loaded.mistake)
        elif digest == self.running.digest:
            self._settled = digest
            self._tell(msgspec.structs.replace(self.running, mistake=""))
            self.say(f"{config_file()} is as it was when it was loaded")
        else:
            self._under_way = _Attempt(digest, loaded.settings)
            self._under_way.begin(self)

    def _pass_over(self, digest: str, mistake: str) -> None:
        self._settled = digest
        self._tell(msgspec.structs.replace(self.running, mistake=mistake))
        said = f"{config_file()} was saved, but the last good configuration goes on, because of:"
        self.say("\n".join((said, *mistake.splitlines())))

    def loaded(self, digest: str, settings: Settings, wrong: str, ticks: str) -> None:
        """Note what came of loading; ``ticks``: when they come now."""
        self._under_way = None
        if wrong:
            self._retry_at = Us(self.clock.steady() + _AGAIN)
            self.say(f"{config_file()} was saved, but could not be loaded: {wrong} -> tried again in 10 s")
            return
        self._settled = digest
        file, now = str(config_file().absolute()), self.clock.now()
        self._tell(msgspec.structs.replace(self.running, config=file, digest=digest, loaded=now, mistake=""))
        entries = counted(len(settings.collect), "entry", "entries")
        counts = f"{entries}, {counted(len(settings.stream), 'stream')}"
        self.say(f"{settings.source} was saved and is taken over: {counts}")
        if ticks:
            self.say(ticks)

    def _tell(self, running: Running) -> None:
        self.running = running
        self.keep(running)


@dataclass(slots=True)
class _Attempt:
    """The code is being loaded anew, in a thread: it takes seconds, in which a stop must be heard."""

    digest: str
    settings: Settings
    wrong: str | None = None
    ticks: str = ""

    def begin(self, of: Reloading) -> None:
        def run() -> None:
            wrong = of.load(of.url)
            self.ticks = "" if wrong else of.next_ticks(of.url, self.settings)
            self.wrong = wrong

        Thread(target=run, name="reload", daemon=True).start()

    def done(self, of: Reloading) -> bool:
        if self.wrong is None:
            return False
        of.loaded(self.digest, self.settings, self.wrong, self.ticks)
        return True
