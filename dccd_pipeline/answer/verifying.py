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
from dccd_core.lake.layout import data_path, dataset_folder

_AT_ONCE: Final = 4
_FRESH: Final = DAY
"""A round that was stopped goes on for so long; then it begins anew."""
_KEPT_EVERY: Final = 20

Part = tuple[Dataset, str]


class Round(msgspec.Struct):
    """A round under way. ``begun``: us. ``done``: the files that are right, as they were when read."""

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
        return found if 0 <= now - found.begun < _FRESH else Round(now)  # a clock may have been ahead

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


def files_of(lake: LakeStore, parts: Sequence[Part]) -> dict[Part, str]:
    """Return what tells the file of each partition, as it is now, from any other."""
    folders = [dataset_folder(dataset) for dataset in dict.fromkeys(dataset for dataset, _ in parts)]
    marks = {path: mark for folder in folders for path, mark in lake.store.marks(folder).items()}
    return {part: f"{path} {marks.get(path, '')}" for part in parts if (path := data_path(*part))}


def read_again(
    lake: LakeStore, parts: Sequence[Part], rounds: Rounds, now: Us, tell: Callable[[Part], object]
) -> Generator[Verified]:
    """Yield what became of each partition that is not done in this round, as they come.

    What is right is noted, so that a round that is stopped goes on from there; a file that has changed since
    is read again.
    """
    going, files = rounds.going(now), files_of(lake, parts)
    left = [part for part in parts if files[part] not in going.done]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        under_way = {pool.submit(verify, lake, *part): part for part in left}
        try:
            for count, done in enumerate(as_completed(under_way), start=1):
                part, result = under_way[done], done.result()
                tell(part)
                if result is None:
                    continue
                if not result.harmed:
                    going.done.add(files[part])
                if count % _KEPT_EVERY == 0:
                    rounds.keep(going)
                yield result
        except BaseException:
            for one in under_way:
                one.cancel()
            rounds.keep(going)
            raise
    going.done.difference_update(files.values())
    if going.done:  # of a round through more than these
        rounds.keep(going)
    else:
        rounds.end()
