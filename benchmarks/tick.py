"""What a tick costs: the process of its run, as a schedule starts it, in a lake that holds a month."""

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

import dagster as dg

from benchmarks.measure import Usage, run
from benchmarks.start import rows_of
from dccd_core import Dataset
from dccd_core.domain.dataset import partition_key, partition_span
from dccd_core.domain.timespan import DAY, MINUTE, TimeRange, Us, moment
from dccd_core.lake.layout import data_path, owner
from dccd_core.lake.partition.ledger import Asked, Ledger, Source
from dccd_core.lake.partition.parquet import Writer
from dccd_core.lake.store.folder import Folder
from dccd_core.lake.store.identity import ensure_identity
from dccd_core.net.clock import SystemClock
from dccd_core.tables import DataType
from dccd_core.testing.sandbox.process import RunningSandbox, running_sandbox
from dccd_pipeline.dagster_compat import SCHEDULE_NAME_TAG

SIZES: Final = (20, 200, 1_000)
_SEVEN: Final = 7
"""So many entries of a seventh of the datasets each, too: of exchanges there are seven."""
_TICKS: Final = 5
_EVERY: Final = 5 * MINUTE
_JOB: Final = [sys.executable, "-m", "dagster", "job", "execute", "-m", "dccd_pipeline.definitions"]
_WANTED: Final = {"tick": (15.0, 30.0, 1.0), "tick that folds": (150.0, 1_500.0, 10.0)}
"""Of 1,000 datasets: CPU s, MB written, MB of Dagster storage."""


@dataclass(frozen=True, slots=True)
class _Cost:
    """What one tick took: a process for each entry, what Dagster's folder grew by, and how many events."""

    usages: Sequence[Usage]
    grown: int
    events: int

    def sum(self, what: str) -> float:
        return sum(getattr(one, what) for one in self.usages)


def report(folder: Path, _repeat: int) -> Iterator[str]:
    """Yield the lines of a table: medians of ticks that append, then one that folds all of it."""
    yield "| datasets | entries | | CPU s | wall s | MB written | MB of Dagster storage | events | wanted |"
    yield "|--:|--:|---|--:|--:|--:|--:|--:|---|"
    for size, entries in (*((size, 1) for size in SIZES), (SIZES[-1], _SEVEN)):
        symbols = [f"S{n:04d}/USDT" for n in range(size)]
        with running_sandbox(symbols=tuple(symbols)) as sandbox:
            place = folder / f"{size}-{entries}"
            until = _lake(place, symbols, sandbox, entries)
            costs = [_tick(place, sandbox, Us(until + n * _EVERY), entries) for n in range(1, _TICKS + 1)]
            _write_config(place, symbols, sandbox, entries, fold_every=0)
            folding = _tick(place, sandbox, Us(until + (_TICKS + 1) * _EVERY), entries)
        yield _line(size, entries, "tick", costs[1:])  # the first one shows the whole table
        yield _line(size, entries, "tick that folds", [folding])


def _line(size: int, entries: int, name: str, costs: list[_Cost]) -> str:
    cpu_s, wall_s = (median(one.sum(what) for one in costs) for what in ("cpu_s", "wall_s"))
    written, grown = median(one.sum("written") for one in costs), median(one.grown for one in costs)
    bound = size == SIZES[-1] and entries == 1
    wanted = ", ".join(f"{number:g}" for number in _WANTED[name]) if bound else ""
    figures = f"{cpu_s:.2f} | {wall_s:.2f} | {written / 1e6:.1f} | {grown / 1e6:.2f}"
    events = median(one.events for one in costs)
    return f"| {size:,} | {entries} | {name} | {figures} | {events:g} | {wanted} |"


def _lake(place: Path, symbols: list[str], sandbox: RunningSandbox, entries: int) -> Us:
    """Make a lake with a month of each symbol, up to an hour ago; return up to when."""
    place.mkdir()
    dagster = place / ".dagster"
    dagster.mkdir()
    shutil.copy(Path(__file__).parent.parent / "dagster.yaml", dagster)
    _write_config(place, symbols, sandbox, entries)
    ensure_identity(Folder(place / "data"))
    now = SystemClock().now()
    until = Us((now - (_TICKS + 4) * _EVERY) // MINUTE * MINUTE)
    for symbol in symbols:
        dataset = Dataset.parse(f"binance/ohlc/{symbol.replace('/', '-')}/1m")
        for key in sorted({partition_key(dataset.grain, at) for at in (_month_before(until), until)}):
            _partition(place / "data", dataset, key, until)
    return until


def _month_before(at: Us) -> Us:
    return Us(at - 25 * DAY)


def _partition(store: Path, dataset: Dataset, key: str, until: Us) -> None:
    whole = partition_span(dataset.grain, key)
    asked = TimeRange(whole.start, min(whole.end, until))
    names = ("open", "high", "low", "close", "volume", "quote_volume", "trades")
    prices: dict[str, object] = dict.fromkeys(names, 1.0)
    times = range(asked.start, asked.end, MINUTE)
    path = store / data_path(dataset, key)
    path.parent.mkdir(parents=True)
    with path.open("w+b") as file, Writer(file, DataType.OHLC, owner(dataset, key)) as writer:
        writer.write(rows_of(DataType.OHLC, times, prices))
        writer.seal(Ledger().add(Asked(asked, Source.REST, asked.end, 1, len(times))))


def _write_config(
    place: Path, symbols: list[str], sandbox: RunningSandbox, entries: int, fold_every: int | str = "auto"
) -> None:
    collect = [
        {
            "name": _name(n),
            "exchange": "binance",
            "symbols": symbols[n::entries],
            "data_type": "ohlc",
            "span": "1m",
            "start": f"{_first_day()}",
            "every": "5m",
            "fold_every": fold_every,
        }
        for n in range(entries)
    ]
    reach = {"binance": {"rest_url": sandbox.rest_url("binance"), "budget": 1.0}}
    (place / "dccd.yaml").write_text(json.dumps({"store": "./data", "exchanges": reach, "collect": collect}))


def _name(entry: int) -> str:
    return f"many_{entry}"


def _first_day() -> str:
    return f"{moment(_month_before(SystemClock().now())):%Y-%m}-01"


def _tick(place: Path, sandbox: RunningSandbox, at: Us, entries: int) -> _Cost:
    """Run a tick of each entry at a moment of the exchange's, one after the other."""
    sandbox.clock(at)
    home = place / ".dagster"
    environment = {
        "DCCD_STATE_DIR": str(place / "state"),
        "DAGSTER_HOME": str(home),
        "PYTHONPATH": str(Path(__file__).parent.parent),
    }
    before, usages = _size(home), list[Usage]()
    for name in map(_name, range(entries)):
        tags = json.dumps({SCHEDULE_NAME_TAG: f"{name}_schedule"})
        usages.append(run([*_JOB, "-j", f"{name}_tick", "--tags", tags], environment, place))
    with dg.DagsterInstance.from_config(str(home)) as instance:
        records = instance.get_run_records(limit=entries)
        events = sum(len(instance.all_logs(record.dagster_run.run_id)) for record in records)
    return _Cost(usages, _size(home) - before, events)


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
