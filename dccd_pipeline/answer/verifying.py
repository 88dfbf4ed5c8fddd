"""A whole lake read again: several partitions at once, in rounds that go on where they were stopped.

Belongs here: which partitions, what was read already. Does not: what is wrong with one (fetch/verify.py).
"""

import hashlib
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.places import state_dir
from dccd_core.domain.timespan import DAY, Us
from dccd_core.fetch.verify import Verified, verify
from dccd_core.lake.lake import LakeStore

_AT_ONCE: Final = 4
_FRESH: Final = DAY
"""A round that was stopped goes on for so long; then it begins anew."""
_KEPT_EVERY: Final = 20

Part = tuple[Dataset, str]


class Round(msgspec.Struct):
    """A round under way. ``begun``: us. ``done``: what was read again and is right, by name."""

    begun: int
    done: set[str] = set()


_ROUND: Final = msgspec.json.Decoder(Round)


@dataclass(slots=True)
class Rounds:
    """Where the rounds of a store are noted, on this machine."""

    file: Path

    @classmethod
    def of(cls, lake: LakeStore) -> "Rounds":
        return cls(state_dir() / "verified" / f"{lake.identity() or 'nothing'}.json")

    def going(self, now: Us) -> Round:
        """Return the round that was stopped lately, or a new one."""
        try:
            found = _ROUND.decode(self.file.read_bytes())
        except (OSError, msgspec.DecodeError):
            return Round(now)
        return found if now - found.begun < _FRESH else Round(now)

    def keep(self, one: Round) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        draft = self.file.with_suffix(".draft")
        draft.write_bytes(msgspec.json.encode(one))
        draft.replace(self.file)

    def end(self) -> None:
        self.file.unlink(missing_ok=True)


def parts_of(lake: LakeStore, datasets: Sequence[Dataset]) -> list[Part]:
    """Return the partitions that there are of some datasets."""
    return [(dataset, key) for dataset in datasets for key in lake.keys(dataset)]


def sample(parts: Sequence[Part], share: float, day: int) -> list[Part]:
    """Return about such a share of the partitions, at least one: others each day, the same all day long."""
    marks = [hashlib.sha256(f"{day}/{dataset}/{key}".encode()).digest() for dataset, key in parts]
    limit = round(share * 2**32)
    chosen = [one for one, mark in zip(parts, marks, strict=True) if int.from_bytes(mark[:4], "big") < limit]
    return chosen or list(parts[:1])


def read_again(
    lake: LakeStore, parts: Sequence[Part], rounds: Rounds, now: Us, tell: Callable[[Part], object]
) -> Generator[Verified]:
    """Yield what became of each partition that is not done in this round, as they come.

    What is right is noted, so that a round that is stopped goes on from there.
    """
    going = rounds.going(now)
    left = [part for part in parts if _name(part) not in going.done]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        under_way = {pool.submit(verify, lake, *part): part for part in left}
        try:
            for count, done in enumerate(as_completed(under_way), start=1):
                part, result = under_way[done], done.result()
                tell(part)
                if result is None:
                    continue
                if not result.harmed:
                    going.done.add(_name(part))
                if count % _KEPT_EVERY == 0:
                    rounds.keep(going)
                yield result
        except BaseException:
            for one in under_way:
                one.cancel()
            rounds.keep(going)
            raise
    rounds.end()


def _name(part: Part) -> str:
    dataset, key = part
    return f"{dataset}/{key}"
