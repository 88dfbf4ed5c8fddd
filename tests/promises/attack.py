"""``python -m tests.promises.attack VENUE SEED...``: record through random trouble, compare with the truth.

All of it happens in this process on a virtual clock, so a seed gives the same every time, and a simulated
minute takes half a second.
"""

import asyncio
import hashlib
import random
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import polars as pl

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.datatype import DataType
from dccd_core.domain.errors import DccdError
from dccd_core.domain.timespan import MINUTE, SECOND, Ns, TimeSpan
from dccd_core.exchanges import NAMES, get
from dccd_core.fetch.venue import Venue
from dccd_core.lake.coverage import Notes
from dccd_core.lake.lake import Lake, State
from dccd_core.lake.segments import SegmentWriter
from dccd_core.net.virtual import VirtualClock, VirtualLoop, run_virtually
from dccd_core.stream.fold import fill_windows, fold_all
from dccd_core.stream.plan import StreamHealth, StreamPlan
from dccd_core.stream.run import run_stream
from dccd_core.testing.sandbox.inside import Inside
from dccd_core.testing.sandbox.options import Options
from dccd_core.testing.sandbox.server import Sandbox
from tests.promises.trouble import DEPTH, Trouble, trouble
from tests.promises.truths import Claim, Wrong, claim, shown, wrongs

OPEN: Final = [name for name in NAMES if get(name).live]
LENGTH: Final = Ns(4 * MINUTE)
SHORT: Final = ("bybit",)
"""Of the past only the last trades can be had: what was missed for longer stays missing."""
TELLS_WHAT_IS_LOST: Final = False
"""Whether ledgers of trades and bars name what they do not cover."""
_SETTLE_S: Final = 30.0
_TORN: Final = b"\xff\xff\xff\xff\x10\x02"
"""Half a message, as a crash leaves it at the end of a segment."""
_UNIQUE: Final = re.compile(r"-[0-9a-f]{32}(?=\.)")


class MortalLake(Lake):
    """A lake whose writer can be killed: it writes nothing any more, and closes nothing in good order."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._dead = False
        self._writers = list[SegmentWriter]()

    def segment(self, exchange: str, data_type: DataType, span: Ns | None, at: Ns) -> SegmentWriter:
        if self._dead:
            return _DeadWriter()
        writer = super().segment(exchange, data_type, span, at)
        self._writers.append(writer)
        return writer

    def quarantine(self, dataset: Dataset, key: str, rows: pl.DataFrame) -> int:
        return 0 if self._dead else super().quarantine(dataset, key, rows)

    def kill(self, *, torn: bool) -> None:
        self._dead = True
        for writer in self._writers:
            living = not writer._file.closed  # pyright: ignore[reportPrivateUsage] -- what a kill does
            writer._file.close()  # pyright: ignore[reportPrivateUsage]
            writer.append = _DeadWriter().append  # its tasks may still be at it
            if living and torn:
                with suppress(FileNotFoundError), Path(writer.path).open("ab") as file:
                    file.write(_TORN)


class _DeadWriter(SegmentWriter):
    def __init__(self) -> None:
        self.bytes = self.rows = 0
        self.path = ""

    def append(self, rows: pl.DataFrame, notes: Notes) -> None: ...

    def close(self) -> None: ...


@dataclass
class Log:
    """A listener that remembers what was said, and when; without names that differ every time."""

    clock: VirtualClock
    folder: Path
    notes: list[str] = field(default_factory=list[str])
    health: StreamHealth | None = None

    def beat(self, health: StreamHealth) -> None:
        self.health = health

    def folded(self, dataset: Dataset, key: str, state: State, rows: int) -> None: ...

    def note(self, text: str, *, wrong: bool) -> None:
        plain = _UNIQUE.sub("", text.replace(str(self.folder), "LAKE"))
        self.notes.append(f"{self.clock.steady() / SECOND:8.3f} {'!' if wrong else ' '} {plain}")


@dataclass
class Round:
    """What came of it."""

    trouble: Trouble
    notes: list[str]
    claims: dict[Dataset, Claim]
    wrongs: list[Wrong]
    defects: list[str]
    struck: dict[str, int]
    digest: str

    @property
    def exceptions(self) -> list[str]:
        """Where the product's word is not kept: claims that are not so, and time of which nothing is said."""
        silent = [
            f"{dataset}: nobody says what became of {shown(span)}"
            for dataset, one in self.claims.items()
            for span in one.silent
            if dataset.data_type is not DataType.TRADES or dataset.exchange not in SHORT or TELLS_WHAT_IS_LOST
        ]
        return [*self.defects, *(str(one) for one in self.wrongs), *silent]

    def share(self, data_type: DataType) -> float:
        """Return how much of the time is proven."""
        ones = [one for dataset, one in self.claims.items() if dataset.data_type is data_type]
        whole = TimeSpan(self.trouble.start, self.trouble.end)
        proven = sum(part.length for one in ones for span in one.proven if (part := span.clip(whole)))
        return proven / (whole.length * len(ones)) if ones else 1.0

    def __str__(self) -> str:
        return "\n".join([str(self.trouble), f"  struck: {self.struck}", *self.exceptions])


def attack(exchange: str, seed: int, folder: Path, length: Ns = LENGTH) -> Round:
    """Record one round into a lake in ``folder``, and hold it against the truth."""
    return attacked(trouble(exchange, seed, length), folder)


def attacked(made: Trouble, folder: Path) -> Round:
    random.seed(f"{made.exchange} {made.seed}")  # the recorder's own jitter
    return run_virtually(lambda loop: _Attack(made, folder, loop).run())


class _Attack:
    def __init__(self, made: Trouble, folder: Path, loop: VirtualLoop) -> None:
        self._made, self._folder, self._loop = made, folder, loop
        self._chance = random.Random(f"{made.exchange} {made.seed} on the way")
        options = Options(
            trades_per_day=made.density, stream_faults=made.faults, seed=made.seed, symbols=list(made.density)
        )
        self._box = Sandbox(options, lambda: made.start + loop.passed, made.tick_s)
        self._clock = VirtualClock(loop, made.start)
        self._inside = Inside(self._box, self._clock, lambda: self._chance.uniform(*made.delays_s))
        self._log = Log(self._clock, folder)
        self._defects = list[str]()
        self._plan = StreamPlan("attacked", made.datasets, DEPTH)

    async def run(self) -> Round:
        for at, by in self._made.steps:
            self._loop.call_at(self._s(at), self._clock.step, by)
        for ask in self._made.rest:
            self._loop.call_at(self._s(ask.span.start), self._box.set_faults, ask.faults)
            self._loop.call_at(self._s(ask.span.end), self._box.set_faults, ())
        for killed, after_s in self._made.kills:
            await self._record_until(killed, kill=True)
            await self._clock.sleep(after_s)
        await self._record_until(self._made.end, kill=False)
        await self._settle()
        return self._judged()

    def _s(self, at: Ns) -> float:
        return max(0, at - self._made.start) / SECOND

    async def _record_until(self, end: Ns, *, kill: bool) -> None:
        """Record; what ends early is begun again, as by the sensor in production."""
        while (left_s := self._s(end) - self._loop.time()) > 0:
            lake, stop = MortalLake(self._folder), asyncio.Event()
            recording = asyncio.create_task(self._recording(lake, stop))
            await asyncio.wait([recording], timeout=left_s)
            if not recording.done():
                if kill:
                    lake.kill(torn=self._chance.random() < 0.3)
                    recording.cancel()
                stop.set()
                await asyncio.gather(recording, return_exceptions=True)
            else:
                await self._clock.sleep(5)
            if error := None if recording.cancelled() else recording.exception():
                if not isinstance(error, DccdError):
                    raise error
                self._log.note(f"the stream ended: {error}", wrong=True)

    async def _recording(self, lake: Lake, stop: asyncio.Event) -> None:
        connect = self._inside.connect(self._made.exchange)
        await run_stream(self._plan, self._venue(), connect, lake, stop, self._log)

    def _venue(self) -> Venue:
        exchange = get(self._made.exchange)
        return Venue(exchange, self._inside.transport(exchange), self._clock)

    async def _settle(self) -> None:
        """Fold what was recorded, and ask for what was missed, once the venue is done with it."""
        await self._clock.sleep(_SETTLE_S)
        if self._made.mended:
            self._clock.step(self._made.start + self._loop.passed - self._clock.now())
        venue, lake = self._venue(), Lake(self._folder)
        await fold_all(venue, lake, self._made.kinds, self._log)
        await fill_windows(venue, lake, self._made.datasets, self._log)

    def _judged(self) -> Round:
        lake, market, made = Lake(self._folder), self._box.market, self._made
        wrong = [one for dataset in made.datasets for one in wrongs(lake, market, dataset, DEPTH)]
        struck = dict[str, int]()
        for one in self._box.connections.tally.strikes:
            struck[one.kind] = struck.get(one.kind, 0) + 1
        claims = {dataset: claim(lake, dataset) for dataset in made.datasets}
        return Round(made, self._log.notes, claims, wrong, self._defects, struck, self._digest(lake))

    def _digest(self, lake: Lake) -> str:
        """Return a hash of everything that came of it, to tell whether two runs were the same."""
        made = hashlib.sha256("\n".join(self._log.notes).encode())
        for dataset in self._made.datasets:
            made.update(lake.scan(dataset).collect().write_csv().encode())
            for key, state in lake.states(dataset).items():
                made.update(f"{key} {state.ledger.to_json()}".encode())
        return made.hexdigest()


def main(exchange: str, seeds: Sequence[int], *, verbose: bool = True) -> list[Round]:
    rounds = list[Round]()
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            began = time.monotonic()
            one = attack(exchange, seed, Path(folder))
            rounds.append(one)
            shares = " ".join(f"{kind.value} {one.share(kind):.1%}" for kind in DataType)
            _say(
                f"{exchange} {seed}: {len(one.exceptions)} exceptions, {shares}, "
                f"{time.monotonic() - began:.1f} s, {one.digest[:12]}"
            )
            if one.exceptions:
                _say(str(one))
            if verbose:
                _say("\n".join(one.notes))
    return rounds


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    first, *numbers = sys.argv[1:]
    given = [int(number) for number in numbers]
    main(first, given, verbose=len(given) == 1)
