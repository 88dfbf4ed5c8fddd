"""``python -m benchmarks``: measure, and print one table of ratios."""

import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypedDict, Unpack

import click
import msgspec

from benchmarks import inventory, pin, report, start, stream, sync, tick
from benchmarks.cases import CASES, CORE, DAGSTER, FLOOR, OURS, TRADES, Case, Variant, peers
from benchmarks.job import Job
from benchmarks.measure import rows_in, run
from benchmarks.report import Row
from dccd_core.domain.timespan import MINUTE, SECOND
from dccd_core.net.clock import SystemClock
from dccd_core.testing.sandbox.process import running_sandbox

_ROOT: Final = Path(__file__).parent.parent
_NAMES: Final = [case.name for case in CASES]
_STREAM: Final = "stream"
_START: Final = "start"
_INVENTORY: Final = "inventory"
_TICK: Final = "tick"
_PIN: Final = "pin"
_SYNC: Final = "sync"
_OTHERS: Final = (_STREAM, _START, _INVENTORY, _TICK, _PIN, _SYNC)


class _Arguments(TypedDict):
    url: str | None
    rtt_ms: float
    only: list[str]
    trades: int
    repeat: int
    peers_python: tuple[Path, ...]
    peer_rows: int
    messages: int
    books: int


class Work(msgspec.Struct):
    """What a peer's process says its work took, without its start."""

    wall_s: float
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Bench:
    """Where to ask. ``ready`` is called before each measurement, so that none pays for the one before."""

    url: str
    ready: Callable[[], None]

    def row(self, case: Case, variant: Variant) -> Row:
        """Measure one variant of one case, once."""
        row, _ = self._measured(case, variant, case.spans_ms)
        return row

    def peer_row(self, case: Case, variant: Variant, rows: int, sampled: int) -> Row:
        """Measure a peer, a slow one on the first ``sampled`` of about ``rows`` rows, extrapolated to all."""
        if not variant.command:
            return Row(case.name, variant.name, said="not installed")
        spans = _first(case.spans_ms, min(1.0, sampled / rows) if variant.slow else 1.0)
        try:
            row, output = self._measured(case, variant, spans)
        except click.ClickException as e:
            return Row(case.name, variant.name, said=f"failed: {e.message}")
        if not row.rows:
            return Row(case.name, variant.name, said="failed: no rows")
        if row.rows == rows:
            return row
        work, more = msgspec.json.decode(output.splitlines()[-1], type=Work), rows / row.rows - 1
        return replace(
            row,
            variant=f"{variant.name} (from {row.rows:,} rows)",
            rows=rows,
            wall_s=row.wall_s + more * work.wall_s,
            cpu_s=row.cpu_s + more * work.cpu_s,
        )

    def _measured(self, case: Case, variant: Variant, spans: list[tuple[int, int]]) -> tuple[Row, str]:
        self.ready()
        click.echo(f"{case.name}: {variant.name} ...", err=True)
        with tempfile.TemporaryDirectory() as folder:
            job = Job(
                url=self.url,
                symbol=case.symbol,
                data_type=case.data_type,
                keys=list(case.keys[: len(spans)]),
                spans_ms=spans,
                store=folder,
                limited=False,
                options=dict(variant.options),
            )
            state = {"DCCD_STATE_DIR": f"{folder}/state"}
            used = run([*variant.command, msgspec.json.encode(job).decode()], state, _ROOT)
            rows = rows_in(Path(folder))
            row = Row(case.name, variant.name, rows, used.wall_s, used.cpu_s, used.peak_kb / 1_000)
        return row, used.output


def _first(spans: list[tuple[int, int]], share: float) -> list[tuple[int, int]]:
    """Return the first ``share`` of the time of ``spans``, which follow one another, in whole minutes."""
    end = spans[0][0] + int((spans[-1][1] - spans[0][0]) * share) // 60_000 * 60_000
    return [(start, min(stop, end)) for start, stop in spans if start < end]


def best(rows: list[Row]) -> Row:
    """Return the least time and CPU of several measurements, and the highest peak."""
    return replace(
        rows[0],
        wall_s=min(row.wall_s for row in rows),
        cpu_s=min(row.cpu_s for row in rows),
        peak_mb=max(row.peak_mb for row in rows),
    )


def rows_of(bench: Bench, case: Case, others: list[Variant], repeat: int, peer_rows: int) -> Iterator[Row]:
    bench.row(case, FLOOR)  # a first pass that does not count: the server remembers its pages
    rounds = [[bench.row(case, variant) for variant in OURS] for _ in range(repeat)]
    ours = [best(list(rows)) for rows in zip(*rounds, strict=True)]
    if len({row.rows for row in ours}) > 1:
        said = ", ".join(f"{row.rows} by {row.variant}" for row in ours)
        raise click.ClickException(f"{case.name}: not the same rows: {said}")
    yield from ours
    for variant in others:
        yield bench.peer_row(case, variant, ours[0].rows, peer_rows or ours[0].rows)


def starts(repeat: int) -> str:
    """Say how much of each variant's CPU time is its imports."""
    imports = {
        variant.name: [variant.command[0], "-c", f"import {variant.command[-1]}"] for variant in (FLOOR, CORE)
    }
    imports[DAGSTER.name] = [DAGSTER.command[0], "-m", "dccd_pipeline", "backfill", "--help"]
    said: list[str] = []
    for name, command in imports.items():
        cpu_s = min(run(command, {}, _ROOT).cpu_s for _ in range(repeat))
        said.append(f"{name} {cpu_s:.2f}")
    return f"Of it imports, CPU s: {', '.join(said)}."


@contextmanager
def open_bench(url: str | None, rtt_ms: float, trades: int) -> Generator[Bench]:
    if url:
        yield Bench(url.rstrip("/"), _next_minute)
        return
    with running_sandbox(rtt_ms=rtt_ms, trades_per_day={TRADES.symbol: trades}) as sandbox:
        yield Bench(sandbox.rest_url("binance"), sandbox.reset)


def _next_minute() -> None:
    """Venues count weight by the minute: one measurement each, or the next would wait or be refused."""
    time.sleep((MINUTE - SystemClock().now() % MINUTE) / SECOND)


def _chosen(_: click.Context, __: click.Parameter, text: str) -> list[str]:
    names = text.split(",")
    if unknown := set(names) - {*_NAMES, *_OTHERS}:
        raise click.BadParameter(
            f"no {', '.join(sorted(unknown))}; there is {', '.join([*_NAMES, *_OTHERS])}"
        )
    return names


@click.command("benchmarks")
@click.option("--url", help="Ask this server, up to before /api, instead of a sandbox.")
@click.option("--rtt-ms", default=100.0, show_default=True, help="Latency of the sandbox.")
@click.option(
    "--only",
    default=",".join(_NAMES),
    callback=_chosen,
    help="klines,trades,stream,start,inventory,tick,pin,sync",
)
@click.option(
    "--trades",
    default=500_000,
    show_default=True,
    help="Trades in the sandbox's day; Dagster waits above 1,400,000.",
)
@click.option("--repeat", default=3, show_default=True, help="Measurements, of which the best counts.")
@click.option(
    "--peers-python",
    type=click.Path(path_type=Path, exists=True),
    multiple=True,
    help="Has dccd 3 and ccxt, or cryptofeed; may be given again.",
)
@click.option("--peer-rows", default=50_000, show_default=True, help="What slow peers fetch; 0: all of it.")
@click.option("--messages", default=5_000_000, show_default=True, help="Size of the flood, of stream.")
@click.option("--books", default=200, show_default=True, help="Order books among 200 symbols, of stream.")
def main(**arguments: Unpack[_Arguments]) -> None:
    """Measure dccd against a raw floor and its peers; prints a Markdown table.

    Each figure is that of a whole process, start included; of stream, what lies between the first rows that
    were written and the last.
    """
    if _STREAM in arguments["only"]:
        click.echo(f"{report.machine()}\n")
        rows = arguments["peer_rows"] or arguments["messages"]
        stream.report(arguments["messages"], arguments["peers_python"], rows, arguments["books"])
    tables = {
        _START: start.report,
        _INVENTORY: inventory.report,
        _TICK: tick.report,
        _PIN: pin.report,
        _SYNC: sync.report,
    }
    for name, tell in tables.items():
        if name in arguments["only"]:
            click.echo(f"median of {arguments['repeat']}; {report.machine()}\n")
            with tempfile.TemporaryDirectory() as folder:
                for line in tell(Path(folder), arguments["repeat"]):
                    click.echo(line)
    if {*arguments["only"]} - {*_OTHERS}:
        _history(arguments)


def _history(arguments: _Arguments) -> None:
    url, rtt_ms = arguments["url"], arguments["rtt_ms"]
    with open_bench(url, rtt_ms, arguments["trades"]) as bench:
        asked = url or f"sandbox, {rtt_ms:g} ms"
        click.echo(f"{asked}; best of {arguments['repeat']}; {report.machine()}\n")
        rows = list(_rows(bench, arguments))
    click.echo(f"{report.table(rows)}\n\n{starts(arguments['repeat'])}\n")
    click.echo("\n".join(f"- {line}" for line in report.comparisons(rows)))


def _rows(bench: Bench, arguments: _Arguments) -> Iterator[Row]:
    others = peers(arguments["peers_python"])
    for case in CASES:
        if case.name in arguments["only"]:
            yield from rows_of(bench, case, others, arguments["repeat"], arguments["peer_rows"])


if __name__ == "__main__":
    main()
