"""How fast live data is recorded: ``python -m benchmarks --only stream``.

A flood of Binance trades on one core, whoever records it on another: see ``flood.py`` and ``flooding.py``.
Everything that is measured is a process of its own. What is on disk in the end is counted, id by id.
"""

import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Final

import click
import msgspec
import polars as pl

from benchmarks.cases import Variant, peer
from benchmarks.flood import names
from benchmarks.flooding import flooding
from benchmarks.job import StreamJob, Timing
from benchmarks.measure import Usage, run
from benchmarks.recorder import Lag, Recorded, Sample
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.symbol import Symbol
from dccd_core.lake.lake import LakeStore
from dccd_core.tables import DataType
from dccd_core.testing.sandbox.process import running_sandbox

_ROOT: Final = Path(__file__).parent.parent
_FLOOR: Final = Variant("raw, picows", (sys.executable, "-m", "benchmarks.floor_stream"), {"picows": 1})
_WEBSOCKETS: Final = Variant("raw, websockets", _FLOOR.command, {"picows": 0})
_RECORDER: Final = Variant("dccd", (sys.executable, "-m", "benchmarks.recorder"))
_MANY: Final = 20
_PEER_MESSAGES: Final = 1_000_000
_PEER_STORED: Final = 1_000_000
_PACE: Final = 5_000
_PACED_S: Final = 60
_SYMBOLS: Final = 200
_TRADES_PER_DAY: Final = 86_400
_WIDE_S: Final = 150
_HEAD: Final = "| case | variant | messages | messages/s | CPU µs/message | peak MB | lost | CPU/floor |"
_RULE: Final = "|---|---|--:|--:|--:|--:|--:|--:|"


_NOTHING: Final = Timing(0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Row:
    """One variant of one case; ``said`` instead of figures when there are none."""

    case: str
    variant: str
    took: Timing = _NOTHING
    peak_mb: float = 0
    lost: int | None = None
    said: str = ""

    @property
    def cpu_us(self) -> float:
        return self.took.cpu_s / self.took.messages * 1e6

    @property
    def per_s(self) -> float:
        return self.took.messages / self.took.wall_s


@dataclass(frozen=True, slots=True)
class Case:
    """So many trades of so many symbols; ``stored`` more are in the partition before.

    ``fold``: a third of the way what came is folded into the partition.
    """

    name: str
    symbols: int
    messages: int
    stored: int = 0
    fold: bool = False

    @property
    def listed(self) -> list[str]:
        return [f"{name.removesuffix('USDT')}/USDT" for name in names(self.symbols)]


def report(messages: int, pythons: Sequence[Path], peer_rows: int, books: int) -> None:
    """Measure, and print what came of it."""
    one, many = Case("1 symbol", 1, messages), Case(f"{_MANY} symbols", _MANY, messages)
    cryptofeed = peer(pythons, "cryptofeed", "stream_cryptofeed")
    old = replace(peer(pythons, "dccd", "stream_dccd"), options={"plain": 1})
    fewer = replace(one, messages=min(messages, _PEER_MESSAGES))
    stored = replace(one, name=f"1 symbol, {messages:,} stored, a fold", stored=messages, fold=True)
    less_stored = Case(f"1 symbol, {_PEER_STORED:,} stored", 1, min(peer_rows, 20_000), _PEER_STORED)
    rows = [
        _measured(one, _FLOOR),
        _measured(fewer, _WEBSOCKETS),
        _recorded(one)[0],
        _measured(fewer, cryptofeed),
        _measured(replace(one, messages=min(messages, peer_rows)), old),
        _measured(many, _FLOOR),
        _recorded(many)[0],
        _measured(replace(many, messages=fewer.messages), cryptofeed),
    ]
    row, folded = _recorded(stored)
    rows += [row, _measured(less_stored, old)]
    click.echo(table(rows))
    paced = Case(f"{_PACE:,}/s", 1, _PACE * _PACED_S)
    told = chain(
        _comparisons(rows),
        _fold_lines(folded),
        _paced(paced),
        _paced(replace(paced, name=f"{paced.name}, {messages:,} stored", stored=messages)),
        _paced(replace(paced, name=f"{paced.name}, the same, a fold", stored=messages, fold=True)),
        _wide(books),
    )
    click.echo()
    for line in told:
        click.echo(line)


def _measured(case: Case, variant: Variant) -> Row:
    """Measure what is not dccd; of the floors nothing is counted afterwards."""
    if not variant.command:
        return Row(case.name, variant.name, said="not installed")
    with tempfile.TemporaryDirectory() as folder:
        try:
            used = _run(case, variant, folder)
        except click.ClickException as e:
            return Row(case.name, variant.name, said=f"failed: {e.message}")
        lost = None if variant.command == _FLOOR.command else case.messages + case.stored - _ids(folder)
        took = msgspec.json.decode(used.output.splitlines()[-1], type=Timing)
        return Row(case.name, variant.name, took, used.peak_kb / 1_000, lost)


def _recorded(case: Case, rate: float | None = None) -> tuple[Row, Recorded]:
    options = {"fold_at": case.messages // 3 if case.fold else 0}
    with tempfile.TemporaryDirectory() as folder:
        used = _run(case, replace(_RECORDER, options=options), folder, rate)
        result = msgspec.json.decode(used.output, type=Recorded)
        lost = case.messages + case.stored - sum(_in_lake(Path(folder), name) for name in case.listed)
    return Row(case.name, _RECORDER.name, _timing(result.appends), used.peak_kb / 1_000, lost), result


def _run(case: Case, variant: Variant, folder: str, rate: float | None = None) -> Usage:
    plain = bool(variant.options.get("plain"))
    with (
        running_sandbox(symbols=case.listed) as sandbox,
        flooding(case.messages, case.symbols, rate, plain=plain) as url,
    ):
        return _record(case, variant, folder, (url, sandbox.rest_url("binance")))


def _record(case: Case, variant: Variant, folder: str, urls: tuple[str, str]) -> Usage:
    """Run a variant in a process of its own; ``urls`` are those of the WebSocket and of REST."""
    click.echo(f"{case.name}: {variant.name} ...", err=True)
    job = StreamJob(
        url=urls[0],
        rest_url=urls[1],
        symbols=case.listed,
        messages=case.messages,
        store=folder,
        options={**variant.options, "stored": case.stored},
    )
    state = {"DCCD_STATE_DIR": f"{folder}/state"}
    return run([*variant.command, msgspec.json.encode(job).decode()], state, _ROOT)


def _ids(folder: str) -> int:
    """Count the different trades in a peer's files."""
    rows = pl.scan_parquet(f"{folder}/**/*.parquet")
    names = [name for name in ("symbol", "trade_id", "tid") if name in rows.collect_schema()]
    return int(rows.select(pl.struct(names).n_unique()).collect().item())


def _in_lake(folder: Path, symbol: str) -> int:
    rows = LakeStore(folder).scan(Dataset("binance", Symbol.parse(symbol), DataType.TRADES))
    return int(rows.select(pl.col("trade_id").cast(pl.Int64).n_unique()).collect().item())


def _timing(appends: Sequence[Sample]) -> Timing:
    first, last = appends[0], appends[-1]
    return Timing(last.rows - first.rows, last.at - first.at, last.cpu_s - first.cpu_s)


def _fold_lines(recorded: Recorded) -> Iterator[str]:
    """Say how fast it went while a fold was under way, and how fast otherwise."""
    if recorded.fold is None:
        yield "- no fold was under way: too few messages"
        return
    began, ended = recorded.fold
    during = [one for one in recorded.appends if began <= one.at <= ended]
    others = [one for one in recorded.appends if one.at <= began]
    for when, some in (("before the fold", others), ("while it was under way", during)):
        if len(some) > 1:
            took = _timing(some)
            yield f"- {when}: {took.messages / took.wall_s:,.0f} messages/s for {took.wall_s:.1f} s"
    yield f"- the fold itself took {ended - began:.1f} s"


def _paced(case: Case) -> Iterator[str]:
    """Say how late rows are at a pace that leaves the machine idle."""
    row, result = _recorded(case, _PACE)
    for where, lag in (("the buffer", result.to_buffer), ("disk", result.to_disk)):
        yield f"- {case.name}: from receipt to {where} {_lag(lag)}"
    yield f"- {case.name}: {row.lost} lost, {_memory(result.samples)}, {_share(result.samples):.0%} of a core"


def _lag(lag: Lag | None) -> str:
    if lag is None:
        return "nothing came"
    return f"p50 {lag.median:,.0f} ms, p99 {lag.p99:,.0f} ms, at most {lag.most:,.0f} ms"


def _memory(samples: Sequence[Sample]) -> str:
    """Say what was in use a sixth of the way, half way and in the end."""
    shown = [samples[len(samples) // 6], samples[len(samples) // 2], samples[-1]]
    began = samples[0].at
    return "memory " + ", ".join(f"{one.memory_mb:.0f} MB after {one.at - began:.0f} s" for one in shown)


def _share(samples: Sequence[Sample]) -> float:
    """Return the CPU time per second in the second half."""
    half, last = samples[len(samples) // 2], samples[-1]
    return (last.cpu_s - half.cpu_s) / (last.at - half.at)


def _wide(books: int) -> Iterator[str]:
    """Say what one process takes for many symbols: trades and bars of all, books of so many."""
    case = Case(f"{_SYMBOLS} symbols", _SYMBOLS, 0)
    options = {"seconds": _WIDE_S, "books": books}
    trades = dict.fromkeys(case.listed, _TRADES_PER_DAY)
    with tempfile.TemporaryDirectory() as folder, running_sandbox(trades_per_day=trades) as sandbox:
        urls = sandbox.ws_url("binance"), sandbox.rest_url("binance")
        used = _record(case, replace(_RECORDER, options=options), folder, urls)
    result = msgspec.json.decode(used.output, type=Recorded)
    samples, half = result.samples, result.samples[len(result.samples) // 2]
    rows = (samples[-1].rows - half.rows) / (samples[-1].at - half.at)
    messages = (samples[-1].messages - half.messages) / (samples[-1].at - half.at)
    yield f"- {case.name}: trades and 1m bars of all, books of {books}, on {result.connections} connections"
    yield f"- {case.name}: {messages:,.0f} messages/s, {rows:,.0f} rows/s, {_share(samples):.0%} of a core"
    yield f"- {case.name}: {_memory(samples)}, at most {used.peak_kb / 1_000:.0f} MB"
    yield f"- {case.name}: from receipt to disk {_lag(result.to_disk)}"
    yield f"- {case.name}: {len(result.notes)} things went wrong"
    yield from (f"  - {note}" for note in result.notes[:3])


def table(rows: Sequence[Row]) -> str:
    floors = {row.case: row for row in rows if row.variant == _FLOOR.name}
    return "\n".join([_HEAD, _RULE, *(_line(row, floors.get(row.case)) for row in rows)])


def _line(row: Row, floor: Row | None) -> str:
    start = f"| {row.case} | {row.variant} |"
    if row.said:
        return f"{start} {row.said} | | | | | |"
    lost = "" if row.lost is None else f"{row.lost:,}"
    ratio = f"{row.cpu_us / floor.cpu_us:.2f}" if floor and not floor.said else ""
    return (
        f"{start} {row.took.messages:,} | {row.per_s:,.0f} | {row.cpu_us:.2f} | {row.peak_mb:.0f}"
        f" | {lost} | {ratio} |"
    )


def _comparisons(rows: Sequence[Row]) -> Iterator[str]:
    """Say per case how much faster dccd is than the others."""
    ours = {row.case: row for row in rows if row.variant == _RECORDER.name}
    for row in rows:
        if row.variant != _RECORDER.name and not row.said and row.case in ours:
            times = row.cpu_us / ours[row.case].cpu_us
            yield f"- {row.case}: {row.variant} takes {times:.2f} times the CPU of dccd"
