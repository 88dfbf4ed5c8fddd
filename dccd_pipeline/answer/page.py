"""The answer as a page to look at: self-contained, no server, usable with a thousand datasets.

Belongs here: HTML of what was found out. Does not: finding it out (gather.py), drawing charts (charts.py).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from itertools import groupby
from typing import Final

import msgspec
from rich.filesize import decimal

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import Us, iso
from dccd_pipeline.answer.calendar import MEANING, Calendar
from dccd_pipeline.answer.dataset import DatasetStatus, said_length
from dccd_pipeline.answer.gather import Answer

_OPEN: Final = 12
"""With no more datasets than these all groups are open; else those in which something is wrong."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """What a page shows beside the answer. ``charts``: pictures as SVG, by what they show."""

    calendars: Mapping[Dataset, Calendar]
    charts: Mapping[str, str]
    where: str
    """Which configuration and store it is about."""


def page(found: Answer, drawn: Drawn) -> str:
    """Return the whole page."""
    body = "".join(
        (
            _verdict(found, drawn.where),
            _cards(found),
            _lines("What is wrong", found.problems),
            _lines("Worth knowing", found.notes),
            _datasets(found, drawn),
            _charts(drawn.charts),
            _streams(found),
            _lines("Held, and not named in dccd.yaml", found.unnamed),
        )
    )
    meaning = msgspec.json.encode(MEANING).decode()
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>dccd: '
        f"{escape(found.verdict)}</title>"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_asset('page.css')}</style></head><body><main>{body}</main>"
        f'<div id="hint"></div><script type="application/json" id="meaning">{meaning}</script>'
        f"<script>{_asset('page.js')}</script></body></html>\n"
    )


def _asset(name: str) -> str:
    return files("dccd_pipeline.answer").joinpath(name).read_text("utf-8")


def _verdict(found: Answer, where: str) -> str:
    mood = "well" if found.well else "ill"
    return (
        f'<h1 class="{mood}">{escape(found.verdict)}</h1>'
        f'<div class="dim">as of {iso(Us(found.at - found.at % 1_000_000))}; {escape(where)}</div>'
    )


def _cards(found: Answer) -> str:
    datasets = found.datasets
    shares = [one.coverage for one in datasets if one.coverage is not None]
    least = min(shares, default=None)
    figures = {
        "datasets": f"{len(datasets):,}",
        "of them well": f"{sum(one.well for one in datasets):,}",
        "least coverage": "-" if least is None else _share(least),
        "gaps": f"{sum(one.gaps for one in datasets):,}",
        "rows": f"{sum(one.rows for one in datasets):,}",
        "bytes": decimal(sum(one.bytes for one in datasets)),
        "streams": f"{len(found.streams):,}",
    }
    cards = (f'<div class="card"><b>{value}</b>{name}</div>' for name, value in figures.items())
    return f'<div class="cards">{"".join(cards)}</div>'


def _lines(title: str, lines: Sequence[str]) -> str:
    if not lines:
        return ""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f'<h2>{escape(title)}</h2><ul class="problems">{items}</ul>'


def _datasets(found: Answer, drawn: Drawn) -> str:
    if not found.datasets:
        return ""
    legend = "".join(
        f'<span><i style="background: var(--{letter})"></i>{escape(said)}</span>'
        for letter, said in MEANING.items()
        if letter != "."
    )
    search = '<input id="find" type="search" placeholder="find a dataset" aria-label="find a dataset">'
    ordered = sorted(found.datasets, key=lambda one: (_family(one), str(one.dataset)))
    groups = (_group(name, list(some), found, drawn) for name, some in groupby(ordered, key=_family))
    return f'<h2>Datasets</h2>{search}<p class="legend dim">{legend}</p>{"".join(groups)}'


def _family(one: DatasetStatus) -> str:
    return f"{one.dataset.exchange} {one.dataset.data_type}"


def _group(name: str, some: Sequence[DatasetStatus], found: Answer, drawn: Drawn) -> str:
    ill = sum(not one.well for one in some)
    opened = " open" if ill or len(found.datasets) <= _OPEN else ""
    said = f'<span class="ill">{ill:,} not well</span>' if ill else '<span class="well">all well</span>'
    rows = "".join(_dataset(one, drawn.calendars.get(one.dataset)) for one in some)
    head = f'{escape(name)} <span class="dim">{len(some):,} datasets,</span> {said}'
    return f'<details class="group"{opened}><summary>{head}</summary>{rows}</details>'


def _dataset(one: DatasetStatus, days: Calendar | None) -> str:
    figures = [
        f"coverage {_share(one.coverage)}" if one.coverage is not None else "",
        f"proven until {iso(one.until)}" if one.until is not None else "",
        f"behind by {said_length(one.behind)}" if one.behind else "",
        f"{one.gaps:,} gaps, the longest {said_length(one.longest)}" if one.gaps else "",
        f"{one.quarantined:,} in quarantine" if one.quarantined else "",
        f"{one.accepted:,} accepted" if one.accepted else "",
        f"{one.rows:,} rows, {decimal(one.bytes)}",
    ]
    problems = "".join(f"<li>{escape(line)}</li>" for line in one.problems)
    mood = "" if one.well else " ill"
    return (
        f'<div class="dataset" data-name="{escape(str(one.dataset))}"><div class="head">'
        f'<span class="name{mood}">{escape(str(one.dataset))}</span>'
        f'<span class="figures">{"; ".join(part for part in figures if part)}</span></div>'
        f"{f'<ul class=problems>{problems}</ul>' if problems else ''}{_days(days)}</div>"
    )


def _days(days: Calendar | None) -> str:
    if days is None:
        return ""
    told = {"first": str(days.first), "runs": days.runs, "notes": days.notes, "rows": days.rows}
    text = msgspec.json.encode(told).decode().replace("<", "\\u003c")
    return f'<script type="application/json">{text}</script><canvas></canvas>'


def _charts(charts: Mapping[str, str]) -> str:
    if not charts:
        return ""
    figures = (
        f'<figure aria-label="{escape(title)}">{picture}</figure>' for title, picture in charts.items()
    )
    return f'<h2>Prices and rows</h2><div class="charts">{"".join(figures)}</div>'


def _streams(found: Answer) -> str:
    if not found.streams:
        return ""
    rows = "".join(
        _row((one.name, one.said, iso(one.since) if one.since is not None else "-", one.why))
        for one in found.streams
    )
    head = "".join(f"<th>{name}</th>" for name in ("stream", "state", "since", "why"))
    return f"<h2>Streams</h2><table><tr>{head}</tr>{rows}</table>"


def _row(cells: Iterable[str]) -> str:
    return f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"


def _share(share: float) -> str:
    """Write a share; what is not whole is never rounded to it."""
    return f"{share:.1%}" if share == 1 else f"{min(share, 0.999):.1%}"
