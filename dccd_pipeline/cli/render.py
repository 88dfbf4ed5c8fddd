"""What the ``dccd`` command prints on a terminal: tables and a progress bar.

Belongs here: layout of output. Does not: finding anything out.
"""

import os
import re
import sys
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, Self
from zoneinfo import ZoneInfo

import click
import msgspec
from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column, Table

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.sizes import counted
from dccd_core.domain.timespan import SECOND, ZERO, TimeRange, Us, moment, parse_time
from dccd_core.lake.partition.ledger import Condition
from dccd_core.net.clock import Clock, SystemClock
from dccd_pipeline.assets.remaining import Job, Remaining, Report, Together
from dccd_pipeline.cli.inventory import Holding
from dccd_pipeline.cli.long_table import long_table

if TYPE_CHECKING:
    from dccd_core.fetch.doctor import Finding
    from dccd_core.fetch.estimate import Estimate
    from dccd_pipeline.cli.capability_table import Capability
    from dccd_pipeline.streams.status import RunState, StreamState

OUT = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
ERR = Console(stderr=True)
_NAMED = 12
_MANY = 100
_TELL_EVERY = SECOND // 4
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
"""How moments are written in what is said: streams, runs and errors say them in UTC."""
_COLOURS = {
    Condition.AVAILABLE: "green",
    Condition.PENDING: "cyan",
    Condition.DEGRADED: "red",
    Condition.MISSING: "yellow",
}


def table(
    title: str, head: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[str] = ()
) -> None:
    rows = list(rows)
    if len(rows) > _MANY and (quick := long_table(OUT, head, rows, numbers)):
        OUT.print(f"[italic]{title}[/]")
        OUT.print(quick, soft_wrap=True)
        return
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
            minute(one.first, zone),
            minute(one.last, zone),
            f"{one.partitions:,}" + (f" ({one.elsewhere:,} elsewhere)" if one.elsewhere else ""),
            share(one.coverage),
            f"{one.gaps:,}",
            decimal(one.bytes),
            escape(one.why),
        )
        for one in held
    ]
    of = "" if zone == "UTC" else f", times of {zone}"
    table(counted(len(held), "dataset") + of, head, rows, numbers)


def share(share: float | None) -> str:
    """Write a share; what is not whole is never rounded to it."""
    if share is None:
        return "-"
    return f"{share:.1%}" if share == 1 else f"{min(share, 0.999):.1%}"


def minute(at: Us | None, zone: str = "UTC") -> str:
    """Write a moment to the minute, in a time zone.

    >>> [minute(Us(at * SECOND), "Europe/Paris") for at in (1_711_846_740, 1_711_846_800)]
    ['2024-03-31 01:59', '2024-03-31 03:00']
    """
    return "-" if at is None else f"{moment(at).astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M}"


def local(text: str, zone: str) -> str:
    """Write the moments in a text in a time zone, each with how far that is from UTC.

    >>> local("silent since 2024-03-31T01:00:00Z", "Europe/Paris")
    'silent since 2024-03-31T03:00:00+02:00'
    """

    def moved(found: re.Match[str]) -> str:
        return moment(parse_time(found[0])).astimezone(ZoneInfo(zone)).isoformat(timespec="seconds")

    return text if zone == "UTC" else _MOMENT.sub(moved, text)


def conditions(job: str, found: Mapping[tuple[Dataset, str], Condition]) -> None:
    """Say how many partitions are in which condition, and name those that are not complete."""
    for condition in Condition:
        keys = [f"{dataset} {key}" for (dataset, key), now in found.items() if now is condition]
        if keys:
            more = [f"{len(keys) - _NAMED} more"] if len(keys) > _NAMED else []
            named = "" if condition is Condition.AVAILABLE else f": {', '.join([*keys[:_NAMED], *more])}"
            count = counted(len(keys), "partition")
            OUT.print(f"{job}: [{_COLOURS[condition]}]{condition}[/], {count}{named}")


def plan(found: "Estimate", partitions: int, weight_per_minute: float) -> None:
    OUT.print(
        f"{counted(partitions, 'partition')}: {counted(found.requests, 'request')}, at the budget about "
        f"{found.weight / weight_per_minute:,.1f} minutes, {found.rows:,} rows, about {decimal(found.bytes)}"
    )


def exchanges(rows: "Sequence[Capability]", *, documented: bool) -> None:
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


def happened(line: str, zone: str = "UTC") -> None:
    """Print what happened just now, with times of a time zone."""
    now = moment(SystemClock().now()).astimezone(ZoneInfo(zone))
    OUT.print(f"{now:%H:%M:%S}{'Z' if zone == 'UTC' else ''}", escape(local(line, zone)), soft_wrap=True)


def streams(found: "Sequence[StreamState]", now: Us, zone: str = "UTC") -> None:
    """Draw the streams and each one's datasets, with times of a time zone."""
    of = "" if zone == "UTC" else f", times of {zone}"
    head = ("stream", "state", "since", "heartbeat", "messages/s", "messages", "reconnects", "why")
    numbers = ("messages/s", "messages", "reconnects")
    cells = [_stream_cells(one, now, zone) for one in found]
    table(f"{counted(len(found), 'stream')}{of}", head, cells, numbers)
    for one in found:
        if one.beat and one.beat.datasets:
            from dccd_pipeline.streams.states import health_row  # noqa: PLC0415 -- it brings Dagster

            rows = [health_row(dataset) for dataset in one.beat.datasets]
            drawn = [[escape(local(str(cell), zone)) for cell in row.values()] for row in rows]
            table(one.name, list(rows[0]), drawn)


def runs(found: "Sequence[RunState]", now: Us, zone: str = "UTC") -> None:
    """Draw what became of runs, with times of a time zone."""
    of = "" if zone == "UTC" else f", times of {zone}"
    cells = [
        (*(run.job, run.status, minute(run.started, zone), _length(run, now), run.run_id), _said(run, zone))
        for run in found
    ]
    last = "The last run" if len(found) == 1 else f"The last {len(found)} runs"
    table(f"{last}{of}", ("job", "status", "started", "took", "run", "why"), cells)


def _said(run: "RunState", zone: str) -> str:
    return escape(local(run.why, zone))


def _stream_cells(one: "StreamState", now: Us, zone: str) -> tuple[str, ...]:
    beat = one.beat
    counts = (f"{beat.rate:,.1f}", f"{beat.messages:,}", f"{beat.reconnects:,}") if beat else ("-", "-", "-")
    age = f"{max(0, now - beat.at) // SECOND} s ago" if beat else "-"  # another machine's clock may be ahead
    paused = f"paused by a user: {', '.join(one.paused)}" if one.paused else ""
    why = "; ".join(part for part in (one.why, paused) if part)
    said, why = (escape(local(text, zone)) for text in (one.said, why))
    return (one.name, said, minute(one.since, zone), age, *counts, why)


def _length(run: "RunState", now: Us) -> str:
    if run.started is None:
        return "-"
    return str(timedelta(seconds=max(0, (run.ended or now) - run.started) // SECOND))


def findings(found: "Mapping[str, Sequence[Finding]]") -> None:
    for name, one in ((name, one) for name, some in found.items() for one in some):
        mark = "[green]ok  [/]" if one.ok else "[red]FAIL[/]"
        hint = f" -> {one.hint}" if one.hint and not one.ok else ""
        OUT.print(mark, escape(f"{name} {one.subject}: {one.said}{hint}"), soft_wrap=True)


@contextmanager
def counting(total: int, *, drawn: bool) -> Generator[Callable[[object], None]]:
    """Draw a bar for so many things on a terminal; what is yielded is told of each that is done."""
    count = TextColumn("{task.completed:,.0f} of {task.total:,.0f}")
    columns = (count, BarColumn(bar_width=16), TextColumn("{task.description}"))
    with Progress(*columns, console=ERR, disable=not (drawn and sys.stderr.isatty()), transient=True) as bar:
        task = bar.add_task("", total=total)

        def tell(what: object) -> None:
            bar.update(task, advance=1, description=str(what))

        yield tell


class _Bar:
    """A bar with percent, rate, time left and the partition under way.

    It is drawn on a duplicate of the original stderr, if that is a terminal: while a step runs, Dagster has
    the descriptors of the process write to files.
    """

    def __init__(self, *, drawn: bool = True) -> None:
        self.seen = drawn and sys.stderr.isatty()
        self._file = os.fdopen(os.dup(sys.stderr.fileno()), "w") if self.seen else None
        columns = (
            TextColumn("{task.fields[left]}", table_column=Column(no_wrap=True)),
            BarColumn(bar_width=16),
            TextColumn("{task.fields[rows]}", table_column=Column(no_wrap=True)),
            TextColumn("{task.description}", table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)),
        )
        console = Console(file=self._file, force_terminal=True) if self._file else ERR
        self._drawn = Progress(*columns, console=console, disable=not self.seen, transient=True)
        self._bar = self._drawn.add_task("begins", total=1.0, left="  0%", rows="")

    def __enter__(self) -> Self:
        self._drawn.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._drawn.stop()
        if self._file:
            self._file.close()

    def draw(self, remaining: Remaining, job: str, now: Us) -> None:
        left, count = remaining.short(now)
        self._drawn.update(self._bar, description=job, completed=remaining.share, left=left, rows=count)

    @contextmanager
    def hidden(self) -> Generator[None]:
        """Take it away while something else is printed."""
        self._drawn.stop()
        try:
            yield
        finally:
            self._drawn.start()


class FillProgress(_Bar):
    """One bar for all runs of a command; ``tell``: a descriptor that is told of it instead, in lines."""

    def __init__(
        self, due: Mapping[Job, list[TimeRange]], clock: Clock | None = None, tell: int | None = None
    ) -> None:
        super().__init__(drawn=tell is None)
        self._clock = clock or SystemClock()
        self._tell, self._told = tell, ZERO
        self.remaining = Remaining(due, self._clock.steady())
        self._report()

    @property
    def seconds(self) -> float:
        """How long the runs have taken so far."""
        return (self._clock.steady() - self.remaining.begun) / SECOND

    def __call__(self, dataset: Dataset, key: str, rows: int, until: Us) -> None:
        now = self._clock.steady()
        self.remaining.page(dataset, key, rows, until)
        self.draw(self.remaining, f"{dataset} {key}", now)
        if now - self._told >= _TELL_EVERY:
            self._report()

    def finish(self, jobs: Iterable[Job]) -> None:
        """A run has ended: of these partitions there is nothing left to come."""
        for job in jobs:
            self.remaining.finish(job)
        self._report()

    def _report(self) -> None:
        if self._tell is not None:
            self._told = self._clock.steady()
            os.write(self._tell, msgspec.json.encode(self.remaining.report) + b"\n")


class SharedProgress(_Bar):
    """One bar for the runs of several processes, told by name; what they print goes past it."""

    def __init__(self, names: Iterable[str], clock: Clock | None = None) -> None:
        super().__init__()
        self._clock, self._lock = clock or SystemClock(), Lock()
        self.remaining = Together({}, self._clock.steady(), told=dict.fromkeys(names))

    def hear(self, name: str, report: Report) -> None:
        with self._lock:
            self.remaining.hear(name, report)
            self.draw(self.remaining, report.job, self._clock.steady())

    def say(self, line: str, *, err: bool) -> None:
        """Print a line of one of them."""
        with self._lock, self.hidden():
            click.echo(line, err=err, nl=False)


def closing(progress: FillProgress, store: str, size: int) -> None:
    """Say in a line what the runs of a command brought."""
    rows, seconds = progress.remaining.rows, progress.seconds
    OUT.print(f"{counted(rows, 'row')}, {decimal(size)} in {escape(store)}, {seconds:,.1f} s", soft_wrap=True)
