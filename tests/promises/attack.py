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

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import DccdError
from dccd_core.domain.timespan import MINUTE, SECOND, TimeRange, Us
from dccd_core.exchanges import NAMES, get
from dccd_core.fetch.venue import Venue
from dccd_core.lake.lake import LakeStore, State
from dccd_core.net.virtual import VirtualClock, VirtualLoop, run_virtually
from dccd_core.stream.api import RecordStream, StreamHealth, StreamPlan
from dccd_core.stream.capture import captured
from dccd_core.stream.fold import fill_windows, fold_all
from dccd_core.stream.mortal import MortalLake
from dccd_core.stream.replay import Part, parts
from dccd_core.stream.run import run_stream
from dccd_core.tables import DataType
from dccd_core.testing.sandbox.inside import Inside
from dccd_core.testing.sandbox.options import Options
from dccd_core.testing.sandbox.server import Sandbox
from tests.promises.trouble import DEPTH, Trouble, trouble
from tests.promises.truths import Claim, Wrong, claim, shown, wrongs

OPEN: Final = [name for name in NAMES if get(name).live]
LENGTH: Final = Us(4 * MINUTE)
_LONG: Final = Us(10 * MINUTE)
_SETTLE_S: Final = 30.0
_TORN: Final = b"\xff\xff\xff\xff\x10\x02"
"""Half a message, as a crash leaves it at the end of a segment."""
_UNIQUE: Final = re.compile(r"-[0-9a-f]{32}(?=\.)")


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
    struck: dict[str, int]
    digest: str
    recorded: dict[str, dict[str, Part]]
    """What the lake held of each dataset when the recorder had ended, before anybody else filled it."""

    @property
    def exceptions(self) -> list[str]:
        """Where the product's word is not kept: claims that are not so, and time of which nothing is said."""
        silent = [
            f"{dataset}: nobody says what became of {shown(span)}"
            for dataset, one in self.claims.items()
            for span in one.silent
        ]
        return [*(str(one) for one in self.wrongs), *silent]

    def share(self, data_type: DataType) -> float:
        """Return how much of the time is proven."""
        ones = [one for dataset, one in self.claims.items() if dataset.data_type is data_type]
        whole = TimeRange(self.trouble.start, self.trouble.end)
        proven = sum(part.length for one in ones for span in one.proven if (part := span.clip(whole)))
        return proven / (whole.length * len(ones)) if ones else 1.0

    def __str__(self) -> str:
        return "\n".join([str(self.trouble), f"  struck: {self.struck}", *self.exceptions])


def attack(exchange: str, seed: int, folder: Path, length: Us = LENGTH) -> Round:
    """RecordStream one round into a lake in ``folder``, and hold it against the truth."""
    return attacked(trouble(exchange, seed, length), folder)


def attacked(made: Trouble, folder: Path, captures: Path | None = None) -> Round:
    """RecordStream a round; ``captures``: keep a capture of each life of the recorder in there, in order."""
    random.seed(0)  # the recorder's own jitter, as in a replay
    return run_virtually(lambda loop: _Attack(made, folder, captures, loop).run())


def tear(segments: Sequence[Path]) -> None:
    """Leave half a message at the ends of what was being written."""
    for path in segments:
        with suppress(FileNotFoundError), path.open("ab") as file:
            file.write(_TORN)


class _Attack:
    def __init__(self, made: Trouble, folder: Path, captures: Path | None, loop: VirtualLoop) -> None:
        self._made, self._folder, self._captures, self._loop = made, folder, captures, loop
        self._lives = 0
        self._chance = random.Random(f"{made.exchange} {made.seed} on the way")
        options = Options(
            trades_per_day=made.density, stream_faults=made.faults, seed=made.seed, symbols=list(made.density)
        )
        self._box = Sandbox(options, lambda: made.start + loop.passed, made.tick_s)
        self._clock = VirtualClock(loop, made.start)
        self._inside = Inside(self._box, self._clock, lambda: self._chance.uniform(*made.delays_s))
        self._log = Log(self._clock, folder)
        self._recorded = dict[str, dict[str, Part]]()
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

    def _s(self, at: Us) -> float:
        return max(0, at - self._made.start) / SECOND

    async def _record_until(self, end: Us, *, kill: bool) -> None:
        """RecordStream; what ends early is begun again, as by the sensor in production."""
        while (left_s := self._s(end) - self._loop.time()) > 0:
            lake, stop = MortalLake(self._folder), asyncio.Event()
            recording = asyncio.create_task(self._recording(lake, stop))
            await asyncio.wait([recording], timeout=left_s)
            if not recording.done():
                if kill:
                    living = lake.kill()
                    if self._chance.random() < 0.3:
                        tear(living)
                    recording.cancel()
                stop.set()
                await asyncio.gather(recording, return_exceptions=True)
            else:
                await self._clock.sleep(5)
            if error := None if recording.cancelled() else recording.exception():
                if not isinstance(error, DccdError):
                    raise error
                self._log.note(f"the stream ended: {error}", wrong=True)

    async def _recording(self, lake: LakeStore, stop: asyncio.Event) -> None:
        record: RecordStream = run_stream
        if self._captures is not None:
            self._lives += 1
            record = captured(run_stream, self._captures / f"{self._lives:03d}")
        connect = self._inside.connect(self._made.exchange)
        plans = asyncio.Queue[StreamPlan]()
        await record(self._plan, self._venue(), connect, lake, stop, self._log, plans=plans)

    def _venue(self) -> Venue:
        exchange = get(self._made.exchange)
        return Venue(exchange, self._inside.transport(exchange), self._clock)

    async def _settle(self) -> None:
        """Fold what was recorded, and ask for what was missed, once the venue is done with it."""
        venue, lake = self._venue(), LakeStore(self._folder)
        await fold_all(venue, lake, self._made.kinds, self._log)
        self._recorded = {str(one): parts(lake, one) for one in self._made.datasets}
        await self._clock.sleep(_SETTLE_S)
        if self._made.mended:
            self._clock.step(self._made.start + self._loop.passed - self._clock.now())
        await fill_windows(venue, lake, self._made.datasets, self._log)

    def _judged(self) -> Round:
        lake, market, made = LakeStore(self._folder), self._box.market, self._made
        wrong = [one for dataset in made.datasets for one in wrongs(lake, market, dataset, DEPTH)]
        struck = dict[str, int]()
        for one in self._box.connections.tally.strikes:
            struck[one.kind] = struck.get(one.kind, 0) + 1
        claims = {dataset: claim(lake, dataset) for dataset in made.datasets}
        digest = self._digest(lake)
        return Round(made, self._log.notes, claims, wrong, struck, digest, self._recorded)

    def _digest(self, lake: LakeStore) -> str:
        """Return a hash of everything that came of it, to tell whether two runs were the same."""
        made = hashlib.sha256("\n".join(self._log.notes).encode())
        for dataset in self._made.datasets:
            made.update(lake.scan(dataset).collect().write_csv().encode())
            for key, state in lake.states(dataset).items():
                made.update(f"{key} {state.ledger.to_json()}".encode())
        return made.hexdigest()


def round_of(exchange: str, seed: int) -> tuple[str, dict[DataType, float]]:
    """Return what went wrong in a round, in words, and how much of the time is proven.

    Every twentieth takes ten minutes.
    """
    with tempfile.TemporaryDirectory() as folder:
        one = attack(exchange, seed, Path(folder), LENGTH if seed % 20 else _LONG)
    return str(one) if one.exceptions else "", {kind: one.share(kind) for kind in DataType}


def main(exchange: str, seeds: Sequence[int], *, verbose: bool = True) -> list[Round]:
    rounds = list[Round]()
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            began = time.monotonic()
            one = attack(exchange, seed, Path(folder), LENGTH if seed % 20 else _LONG)
            rounds.append(one)
            shares = " ".join(f"{kind.value} {one.share(kind):.1%}" for kind in DataType)
            _say(
                f"{exchange} {seed}: {len(one.exceptions)} exceptions, {shares}, "
                f"{time.monotonic() - began:.1f} s, {one.digest[:12]}"
            )
            if one.exceptions or verbose:
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
