"""What it costs to know all partitions: ``dccd inventory`` as a process, with and without its manifest."""

import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.measure import Usage, run
from benchmarks.start import rows_of
from dccd_core import Dataset
from dccd_core.domain.dataset import partition_span
from dccd_core.domain.timespan import DAY, SECOND, Us, parse_time
from dccd_core.lake.layout import MANIFEST, data_path, owner
from dccd_core.lake.partition.ledger import Asked, Ledger, Source
from dccd_core.lake.partition.parquet import Writer
from dccd_core.lake.store.folder import Folder
from dccd_core.lake.store.identity import ensure_identity
from dccd_core.tables import DataType

_COMMAND: Final = [sys.executable, "-m", "dccd_pipeline", "inventory"]
_FIRST: Final = parse_time("2020-01-01")
_ROWS: Final = 100
_WANTED_S: Final = {"cold": 2.5, "warm": 0.3}


@dataclass(frozen=True, slots=True)
class Kind:
    """A lake of so many datasets with so many days of a few trades each; and how the inventory is printed."""

    datasets: int
    days: int
    options: Sequence[str] = ()

    @property
    def name(self) -> str:
        said = f"{self.datasets:,} x {self.days:,} partitions"
        return f"{said}, {' '.join(self.options)}" if self.options else said


_KINDS: Final = (Kind(20, 500), Kind(1_000, 10), Kind(1_000, 10, ("--json",)))


def report(folder: Path, repeat: int) -> Iterator[str]:
    """Yield the lines of a table, medians of ``repeat``; start-up is that of a lake without datasets."""
    yield "| lake | manifest | CPU s | wall s | beyond start-up, CPU s | wanted, CPU s |"
    yield "|---|---|--:|--:|--:|--:|"
    for kind in _KINDS:
        empty, full = folder / "empty", folder / f"{kind.datasets}"
        fill(empty, Kind(0, 0))
        fill(full, kind)
        start = median(_measured(empty, kind).cpu_s for _ in range(repeat))
        yield f"| none | - | {start:.2f} | | | |"
        for said, wanted_s in _WANTED_S.items():
            taken: list[Usage] = []
            for _ in range(repeat):
                if said == "cold":
                    shutil.rmtree(full / "data" / MANIFEST, ignore_errors=True)
                taken.append(_measured(full, kind))
            cpu_s, wall_s = median(one.cpu_s for one in taken), median(one.wall_s for one in taken)
            yield (
                f"| {kind.name} | {said} | {cpu_s:.2f} | {wall_s:.2f} | {cpu_s - start:.2f}"
                f" | {'' if kind.options else wanted_s} |"
            )


def _measured(folder: Path, kind: Kind) -> Usage:
    state = {"DCCD_STATE_DIR": str(folder / "state"), "PYTHONPATH": str(Path(__file__).parent.parent)}
    return run([*_COMMAND, *kind.options], state, folder)


def fill(folder: Path, kind: Kind) -> None:
    """Make a lake as dccd writes it, without its locks and syncs; one that is there already stays."""
    if folder.exists():
        return
    folder.mkdir()
    (folder / "dccd.yaml").write_text("store: ./data\ncollect: []\n")
    ensure_identity(Folder(folder / "data"))
    for number in range(kind.datasets):
        dataset = Dataset.parse(f"kraken/trades/C{number:04d}-USD")
        for day in range(kind.days):
            start = _FIRST + day * DAY
            _partition(
                folder / "data", dataset, datetime.fromtimestamp(start // SECOND, UTC).date().isoformat()
            )


def _partition(store: Path, dataset: Dataset, key: str) -> None:
    window = partition_span(dataset.grain, key)
    values = {"price": 1.0, "amount": 1.0, "side": "buy", "trade_id": range(_ROWS)}
    times = range(window.start, Us(window.start + _ROWS * SECOND), SECOND)
    path = store / data_path(dataset, key)
    path.parent.mkdir(parents=True)
    with path.open("w+b") as file, Writer(file, DataType.TRADES, owner(dataset, key)) as writer:
        writer.write(rows_of(DataType.TRADES, times, values))
        writer.seal(Ledger().add(Asked(window, Source.REST, window.end, 1, _ROWS)))
