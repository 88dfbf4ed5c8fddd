"""What a command costs beyond its work: whole processes against a small lake, nothing asked of anybody."""

import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Final

import polars as pl

from benchmarks.measure import run
from dccd_core import Dataset, Lake
from dccd_core.domain.dataset import partition_span
from dccd_core.domain.timespan import DAY, MINUTE, SECOND, parse_time
from dccd_core.lake.partition.ledger import Asked, Source
from dccd_core.quality.holes import NoCheck
from dccd_core.tables import DataType

_DCCD: Final = [sys.executable, "-m", "dccd_pipeline"]
_CONFIG: Final = """\
store: ./data
collect:
  - {exchange: binance, symbols: [BTC/USDT], data_type: ohlc, span: 1m, start: 2024-01-01, every: 5m}
  - {exchange: kraken, symbols: [BTC/USD], data_type: trades, start: 2024-01-01, every: 1h}
stream:
  - {name: live, exchange: binance, symbols: [BTC/USDT], data_types: [trades]}
"""
_BARS: Final = ("binance", "BTC/USDT", "--data-type", "ohlc", "--span", "1m")
_READ: Final = ("read", *_BARS, "--start", "2024-01-31", "--end", "2024-02-01")
_BACKFILL: Final = ("backfill", *_BARS, "--start", "2024-01-01", "--end", "2024-02-01")
_DAYS: Final = 365
_FIRST: Final = parse_time("2024-01-01")


@dataclass(frozen=True, slots=True)
class Command:
    """A command, and what issue and docs want of it at most, CPU s."""

    name: str
    words: tuple[str, ...]
    wanted_s: float


COMMANDS: Final = (
    Command("dccd --help", ("--help",), 0.15),
    Command("config check", ("config", "check"), 0.7),
    Command("read, a day of 1m bars", _READ, 0.7),
    Command(f"inventory of {_DAYS} partitions", ("inventory",), 0.8),
    Command("backfill, all is there", _BACKFILL, 2.3),
)


def report(folder: Path, repeat: int) -> Iterator[str]:
    """Yield the lines of a table: each command's median of ``repeat``, in turns."""
    (folder / "dccd.yaml").write_text(_CONFIG)
    _fill(folder)
    root, dagster = Path(__file__).parent.parent, folder / ".dagster"
    dagster.mkdir()
    shutil.copy(root / "dagster.yaml", dagster)
    home = {
        "DCCD_STATE_DIR": str(folder / "state"),
        "DAGSTER_HOME": str(dagster),
        "PYTHONPATH": str(root),
    }
    run([*_DCCD, *_BACKFILL], home, folder)  # makes Dagster's databases
    taken: dict[str, list[tuple[float, float]]] = {command.name: [] for command in COMMANDS}
    for _ in range(repeat):
        for command in COMMANDS:
            used = run([*_DCCD, *command.words], home, folder)
            taken[command.name].append((used.cpu_s, used.wall_s))
    yield "| command | CPU s | wall s | wanted, CPU s |"
    yield "|---|--:|--:|--:|"
    for command in COMMANDS:
        cpu_s, wall_s = (median(each) for each in zip(*taken[command.name], strict=True))
        yield f"| {command.name} | {cpu_s:.2f} | {wall_s:.2f} | {command.wanted_s} |"


def _fill(folder: Path) -> None:
    """Store a month of bars, and a year of days of a few trades each."""
    lake = Lake(folder / "data")
    bars = Dataset.parse("binance/ohlc/BTC-USDT/1m")
    month = partition_span(bars.grain, "2024-01")
    names = ("open", "high", "low", "close", "volume")
    prices: Mapping[str, object] = dict.fromkeys(names, 1.0)
    _store(lake, bars, "2024-01", rows_of(DataType.OHLC, range(month.start, month.end, MINUTE), prices))
    trades = Dataset.parse("kraken/trades/BTC-USD")
    for day in range(_DAYS - 1):
        start = _FIRST + day * DAY
        values = {"price": 1.0, "amount": 1.0, "side": "buy", "trade_id": range(day * 100, day * 100 + 100)}
        rows = rows_of(DataType.TRADES, range(start, start + 100 * SECOND, SECOND), values)
        _store(lake, trades, datetime.fromtimestamp(start // SECOND, UTC).date().isoformat(), rows)


def rows_of(data_type: DataType, times: range, values: Mapping[str, object]) -> pl.DataFrame:
    """Return rows of ``data_type``: of each value as many as there are times; what is not given is null."""
    named = {"ts": times, **values}
    schema = data_type.table.schema
    frame = pl.DataFrame({name: named.get(name) for name in schema})
    return frame.select(pl.col(name).cast(kind) for name, kind in schema.items())


def _store(lake: Lake, dataset: Dataset, key: str, rows: pl.DataFrame) -> None:
    window = partition_span(dataset.grain, key)
    with lake.draft(dataset, key) as draft:
        draft.append(rows)
        draft.commit([Asked(window, Source.REST, window.end, 1, rows.height)], NoCheck)
