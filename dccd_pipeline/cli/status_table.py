"""How ``dccd status`` looks on a terminal: the verdict, what is wrong, datasets, streams, runs.

Belongs here: layout. Does not: finding anything out (answer/).
"""

from collections.abc import Sequence
from typing import Final

from rich.markup import escape

from dccd_core.domain.sizes import counted
from dccd_pipeline.answer.dataset import DatasetStatus, said_length
from dccd_pipeline.answer.gather import Answer
from dccd_pipeline.cli import render

_MOST: Final = 40
"""Of more datasets only those are shown with which something is wrong."""
_HEAD: Final = ("dataset", "wanted", "proven until", "behind", "coverage", "gaps", "rows", "next tick")
_RARE: Final = ("quarantine", "accepted", "deadline")
"""Columns that are left out where nothing is in them."""
_NUMBERS: Final = ("behind", "coverage", "rows", "quarantine", "accepted")


def show(found: Answer, zone: str, *, show_all: bool) -> None:
    """Print the answer, with times of a time zone."""
    colour = "green" if found.well else "red"
    render.OUT.print(f"[bold {colour}]{escape(render.local(found.verdict, zone))}[/]", soft_wrap=True)
    for line in found.problems:
        render.OUT.print(f"[red]![/] {escape(render.local(line, zone))}", soft_wrap=True)
    for line in found.notes:
        render.OUT.print(f"[dim]-[/] {escape(render.local(line, zone))}", soft_wrap=True)
    _datasets(found.datasets, zone, show_all=show_all)
    if found.streams:
        render.streams(found.streams, found.at, zone)
    if found.runs:
        render.runs(found.runs, found.at, zone)
    if found.unnamed:
        render.OUT.print(
            "The lake also holds what dccd.yaml does not name; to keep it fresh, add to `collect:`"
        )
        for line in found.unnamed:
            render.OUT.print(f"  {escape(line)}", soft_wrap=True)


def _datasets(datasets: Sequence[DatasetStatus], zone: str, *, show_all: bool) -> None:
    shown = datasets if show_all or len(datasets) <= _MOST else [one for one in datasets if not one.well]
    left = len(datasets) - len(shown)
    of = "" if zone == "UTC" else f", times of {zone}"
    more = f"; {counted(left, 'dataset')} that are well are left out: --all" if left else ""
    if shown or left:
        title = f"{counted(len(datasets), 'dataset')}{of}{more}"
        rare = [name for name in _RARE if any(_rare(one, zone)[name] for one in shown)]
        rows = [(*_cells(one, zone), *(_rare(one, zone)[name] or "-" for name in rare)) for one in shown]
        render.table(title, (*_HEAD, *rare), rows, _NUMBERS)


def _cells(one: DatasetStatus, zone: str) -> tuple[str, ...]:
    wanted = one.wanted
    span = f"{render.minute(wanted.start, zone)[:10]} to {render.minute(wanted.end, zone)}" if wanted else "-"
    return (
        str(one.dataset) if one.well else f"[red]{one.dataset}[/]",
        span,
        render.minute(one.until, zone),
        said_length(one.behind) if one.behind else "-",
        render.share(one.coverage),
        _gaps(one),
        f"{one.rows:,}",
        render.minute(one.next_tick, zone),
    )


def _gaps(one: DatasetStatus) -> str:
    """Write how many gaps there are, how many rows are missing in them, and how long the longest is."""
    if not one.gaps:
        return "-"
    missing = "unknown" if one.missing is None else f"{one.missing:,}"
    return f"{one.gaps:,} ({missing} rows, longest {said_length(one.longest)})"


def _rare(one: DatasetStatus, zone: str) -> dict[str, str]:
    """Return what is in the columns that may be left out; empty: nothing."""
    counts = {"quarantine": one.quarantined, "accepted": one.accepted}
    until = f"{one.deadline.safety}, {render.minute(one.deadline.at, zone)}" if one.deadline else ""
    return {**{name: f"{count:,}" if count else "" for name, count in counts.items()}, "deadline": until}
