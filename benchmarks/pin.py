"""What it costs to pin a thousand partitions: ``dccd pin`` as a process, in a folder."""

import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.inventory import Kind, fill
from benchmarks.measure import Usage, run

_COMMAND: Final = [sys.executable, "-m", "dccd_pipeline", "pin"]
_KINDS: Final = (Kind(1, 1), Kind(2, 500), Kind(1_000, 1))
_WANTED_S: Final = 2.0


def report(folder: Path, repeat: int) -> Iterator[str]:
    """Yield the lines of a table, medians of ``repeat``; the first lake tells what starting takes."""
    yield "| lake | wall s | CPU s | beyond start-up, CPU s | wanted, s | data, MB | more on disk, MB |"
    yield "|---|--:|--:|--:|--:|--:|--:|"
    start = 0.0
    for kind in _KINDS:
        place = folder / f"{kind.datasets}-{kind.days}"
        fill(place, kind)
        taken, data, before = list[Usage](), _data(place), _on_disk(place)
        for number in range(repeat):
            taken.append(_run(place, f"pin-{number}"))
        more = (_on_disk(place) - before) / repeat
        cpu_s, wall_s = median(one.cpu_s for one in taken), median(one.wall_s for one in taken)
        many, start = kind.datasets * kind.days > 1, start or cpu_s
        beyond = f"{cpu_s - start:.2f} | {_WANTED_S}" if many else "|"
        yield f"| {kind.name} | {wall_s:.2f} | {cpu_s:.2f} | {beyond} | {data / 1e6:.1f} | {more / 1e6:.2f} |"


def _run(folder: Path, name: str) -> Usage:
    state = {"DCCD_STATE_DIR": str(folder / "state"), "PYTHONPATH": str(Path(__file__).parent.parent)}
    return run([*_COMMAND, name], state, folder)


def _data(folder: Path) -> int:
    return sum(path.stat().st_size for path in (folder / "data" / "trades").rglob("*.parquet"))


def _on_disk(folder: Path) -> int:
    """Return what all files take, each once however many names it has; folders aside."""
    found = (path.stat() for path in (folder / "data").rglob("*") if path.is_file())
    return sum({one.st_ino: one.st_blocks * 512 for one in found}.values())
