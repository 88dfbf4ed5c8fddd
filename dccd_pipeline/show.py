"""What the ``dccd`` command prints on a terminal: tables and a progress bar.

Belongs here: layout of output. Does not: finding anything out.
"""

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from types import TracebackType
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column, Table

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import SECOND, Ns, TimeSpan, moment
from dccd_core.fetch.doctor import Finding
from dccd_core.fetch.estimate import Estimate
from dccd_core.lake.ledger import Condition
from dccd_core.net.clock import Clock, SystemClock
from dccd_pipeline.inventory import Holding
from dccd_pipeline.matrix import Capability
from dccd_pipeline.metadata import health_row
from dccd_pipeline.remaining import Job, Remaining
from dccd_pipeline.status import RunState, StreamState

OUT = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
ERR = Console(stderr=True)
_NAMED = 12
_COLOURS = {
    Condition.AVAILABLE: "green",
    Condition.PENDING: "cyan",
    Condition.DEGRADED: "red",
    Condition.MISSING: "yellow",
}


def table(
    title: str, head: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[str] = ()
) -> None:
    drawn = Table(title=title, title_justify="left")
    for name in head:
        drawn.add_column(name, justify="right" if name in numbers else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*row)
    OUT.print(drawn)


def inventory(held: Sequence[Holding], zone: str = "UTC") -> None:
    """Draw what is held, with times of a time zone."""
    numbers = ("rows", "partitions", "coverage", "gaps", "bytes")
    head = ("dataset", "condition", "rows", "first", "last", "partitions", "coverage", "gaps", "bytes", "why")
    rows = [
        (
            str(one.dataset),
            f"[{_COLOURS[one.condition]}]{one.condition}[/]",
            f"{one.rows:,}",
            _minute(one.first, zone),
            _minute(one.last, zone),
            f"{one.partitions:,}",
            _share(one.coverage),
            f"{one.gaps:,}",
            decimal(one.bytes),
            escape(one.why),
        )
        for one in held
    ]
    of = "" if zone == "UTC" else f", times of {zone}"
    table(counted(len(held), "dataset") + of, head, rows, numbers)


def _share(share: float | None) -> str:
    """Write a share; what is not whole is never rounded to it."""
    if share is None:
        return "-"
    return f"{share:.1%}" if share == 1 else f"{min(share, 0.999):.1%}"


def _minute(at: Ns | None, zone: str = "UTC") -> str:
    """Write a moment to the minute, in a time zone.

    >>> [_minute(Ns(at * SECOND), "Europe/Paris") for at in (1_711_846_740, 1_711_846_800)]
    ['2024-03-31 01:59', '2024-03-31 03:00']
    """
    return "-" if at is None else f"{moment(at).astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M}"


def conditions(job: str, found: Mapping[tuple[Dataset, str], Condition]) -> None:
    """Say how many partitions are in which condition, and name those that are not complete."""
    for condition in Condition:
        keys = [f"{dataset} {key}" for (dataset, key), now in found.items() if now is condition]
        if keys:
            more = [f"{len(keys) - _NAMED} more"] if len(keys) > _NAMED else []
            named = "" if condition is Condition.AVAILABLE else f": {', '.join([*keys[:_NAMED], *more])}"
            count = counted(len(keys), "partition")
            OUT.print(f"{job}: [{_COLOURS[condition]}]{condition}[/], {count}{named}")


def counted(count: int, word: str) -> str:
    """Write a number of things.

    >>> counted(1, "partition"), counted(2_000, "partition")
    ('1 partition', '2,000 partitions')
    """
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"


def plan(found: Estimate, partitions: int, weight_per_minute: float) -> None:
    OUT.print(
        f"{counted(partitions, 'partition')}: {counted(found.requests, 'request')}, at the budget about "
        f"{found.weight / weight_per_minute:,.1f} minutes, {found.rows:,} rows, about {decimal(found.bytes)}"
    )


def exchanges(rows: Sequence[Capability], *, documented: bool) -> None:
    """Draw what is served; ``documented``: also within which limits, and where the exchange says so."""
    head = ("exchange", "since", "data type", "markets", "reach", "bars", "live", "rows a page", "paging")
    drawn = [
        (
            row["exchange"],
            f"{row['since']} to {row['closed']}" if row["closed"] else row["since"],
            row["data_type"],
            " ".join(row["kinds"]),
            row["reach"] or "-",
            " ".join(row["spans"]) or "-",
            row["live"] or "-",
            f"{row['page_limit']:,}" if row["page_limit"] else "-",
            row["paging"] or "-",
            ", ".join(row["limits"]) or "-",
        )
        for row in rows
    ]
    if not documented:
        table("What each exchange serves", head, [cells[:-1] for cells in drawn], ("rows a page",))
        return
    table(f"What {rows[0]['title']} serves", (*head, "rate limits"), drawn, ("rows a page",))
    for docs in dict.fromkeys(docs for row in rows for docs in (row["docs"], row["live_docs"]) if docs):
        OUT.print(docs, soft_wrap=True)


def happened(line: str) -> None:
    """Print what happened just now."""
    OUT.print(f"{moment(SystemClock().now()):%H:%M:%S}Z", escape(line), soft_wrap=True)


def status(streams: Sequence[StreamState], runs: Sequence[RunState], now: Ns) -> None:
    """Draw the streams, each one's datasets, and the runs."""
    head = ("stream", "state", "since", "heartbeat", "messages/s", "messages", "reconnects", "why")
    numbers = ("messages/s", "messages", "reconnects")
    table(f"{len(streams)} streams", head, [_stream_cells(one, now) for one in streams], numbers)
    for one in streams:
        if one.beat and one.beat.datasets:
            rows = [health_row(dataset) for dataset in one.beat.datasets]
            table(one.name, list(rows[0]), [[escape(str(cell)) for cell in row.values()] for row in rows])
    cells = [
        (run.job, run.status, _minute(run.started), _length(run, now), run.run_id, escape(run.why))
        for run in runs
    ]
    table(f"The last {len(runs)} runs", ("job", "status", "started", "took", "run", "why"), cells)


def _stream_cells(one: StreamState, now: Ns) -> tuple[str, ...]:
    beat = one.beat
    counts = (f"{beat.rate:,.1f}", f"{beat.messages:,}", f"{beat.reconnects:,}") if beat else ("-", "-", "-")
    age = f"{max(0, now - beat.at) // SECOND} s ago" if beat else "-"  # another machine's clock may be ahead
    paused = f"paused by a user: {', '.join(one.paused)}" if one.paused else ""
    why = "; ".join(part for part in (one.why, paused) if part)
    return (one.name, escape(one.said), _minute(one.since), age, *counts, escape(why))


def _length(run: RunState, now: Ns) -> str:
    if run.started is None:
        return "-"
    return str(timedelta(seconds=max(0, (run.ended or now) - run.started) // SECOND))


def findings(found: Mapping[str, Sequence[Finding]]) -> None:
    for name, one in ((name, one) for name, some in found.items() for one in some):
        mark = "[green]ok  [/]" if one.ok else "[red]FAIL[/]"
        hint = f" -> {one.hint}" if one.hint and not one.ok else ""
        OUT.print(mark, escape(f"{name} {one.subject}: {one.said}{hint}"), soft_wrap=True)


class FillProgress:
    """One bar for a whole run: percent, rate, time left and the partition under way.

    It is drawn on a duplicate of the original stderr, if that is a terminal: while a step runs, Dagster has
    the descriptors of the process write to files.
    """

    def __init__(self, due: Mapping[Job, list[TimeSpan]], clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self.remaining = Remaining(due, self._clock.steady())
        self._seen = sys.stderr.isatty()
        self._file = os.fdopen(os.dup(sys.stderr.fileno()), "w") if self._seen else None
        columns = (
            TextColumn("{task.fields[left]}", table_column=Column(no_wrap=True)),
            BarColumn(bar_width=16),
            TextColumn("{task.fields[rows]}", table_column=Column(no_wrap=True)),
            TextColumn("{task.description}", table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)),
        )
        console = Console(file=self._file, force_terminal=True) if self._file else ERR
        self._drawn = Progress(*columns, console=console, disable=not self._seen, transient=True)
        self._bar = self._drawn.add_task("begins", total=1.0, left="  0%", rows="")

    def __enter__(self) -> "FillProgress":
        self._drawn.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._drawn.stop()
        if self._file:
            self._file.close()

    @property
    def seconds(self) -> float:
        """How long the run has taken so far."""
        return (self._clock.steady() - self.remaining.begun) / SECOND

    def __call__(self, dataset: Dataset, key: str, rows: int, until: Ns) -> None:
        self.remaining.page(dataset, key, rows, until)
        left, count = self.remaining.short(self._clock.steady())
        share, job = self.remaining.share, f"{dataset} {key}"
        self._drawn.update(self._bar, description=job, completed=share, left=left, rows=count)


def closing(progress: FillProgress, store: str, size: int) -> None:
    """Say in a line what a run brought."""
    rows, seconds = progress.remaining.rows, progress.seconds
    OUT.print(f"{rows:,} rows, {decimal(size)} in {escape(store)}, {seconds:,.1f} s", soft_wrap=True)
