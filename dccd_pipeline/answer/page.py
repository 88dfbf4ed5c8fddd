"""The answer as a page to look at: self-contained, no server, usable with a thousand datasets.

Belongs here: HTML of what was found out. Does not: finding it out (gather.py), drawing charts (charts.py).
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from html import escape
from importlib.resources import files
from itertools import groupby
from typing import Final

import msgspec
from rich.filesize import decimal

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import iso
from dccd_pipeline.answer.calendar import MEANING, NOTHING, Calendar
from dccd_pipeline.answer.dataset import DatasetStatus, said_length
from dccd_pipeline.answer.gather import Answer
from dccd_pipeline.answer.uptime import FETCHED, Uptime

_OPEN: Final = 24
"""With no more datasets than these all groups are open; else those in which something is wrong ..."""
_OPEN_ILL: Final = 40
"""... with no more of these than that."""
_LINES: Final = 12
"""Of more lines than these the others are folded."""
_SILENT: Final = 10
_DAY: Final = len("2024-01-31")
_MOMENT: Final = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d)(:\d\d)?(\.\d+)?Z")
_CODE: Final = re.compile(r"`([^`]+)`")


@dataclass(frozen=True, slots=True)
class Drawn:
    """What a page shows beside the answer. ``charts``: pictures as SVG, by what they show."""

    calendars: Mapping[Dataset, Calendar]
    charts: Mapping[str, str]
    where: str
    """Which configuration and store it is about."""
    uptimes: Mapping[str, Sequence[Uptime]] = field(default_factory=dict[str, Sequence[Uptime]])
    """Of each stream, what it recorded lately."""
    refused: Mapping[Dataset, Mapping[str, int]] = field(default_factory=dict[Dataset, Mapping[str, int]])
    """Why rows of a dataset are in quarantine, and how many for each reason."""


def page(found: Answer, drawn: Drawn) -> str:
    """Return the whole page."""
    body = "".join(
        (
            _verdict(found, drawn.where),
            _cards(found),
            _lines("What is wrong", _around_first(found)),
            _lines("Worth knowing", found.notes),
            _streams(found, drawn.uptimes),
            _datasets(found, drawn),
            _charts(drawn.charts, len(found.datasets)),
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


def said(text: str) -> str:
    """Return a line of text as HTML: commands as such, moments to the minute.

    >>> said("behind since 2024-01-31T10:20:30.123456Z -> `dccd up` <b>")
    'behind since 2024-01-31 10:20 → <code>dccd up</code> &lt;b&gt;'
    """
    text = _MOMENT.sub(r"\1 \2", escape(text).replace(" -&gt; ", " → "))
    return _CODE.sub(r"<code>\1</code>", text)


def _counted(count: int, name: str) -> str:
    return f"{count:,} {name}{'' if count == 1 else 's'}"


def _verdict(found: Answer, where: str) -> str:
    mood = "well" if found.well else "ill"
    return (
        f'<h1 class="{mood}">{said(found.verdict)}</h1>'
        f'<div class="dim">as of {said(iso(found.at))}, all times are UTC; {escape(where)}</div>'
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
        "in quarantine": f"{sum(one.quarantined for one in datasets):,}",
        "rows": f"{sum(one.rows for one in datasets):,}",
        "on disk": decimal(sum(one.bytes for one in datasets)),
        "streams": f"{len(found.streams):,}",
    }
    cards = (f'<div class="card"><b>{value}</b>{name}</div>' for name, value in figures.items())
    return f'<div class="cards">{"".join(cards)}</div>'


def _around_first(found: Answer) -> list[str]:
    """Return what is wrong, first what is around the datasets: it may be the cause of the rest."""
    of_datasets = {line for one in found.datasets for line in one.problems}
    return sorted(found.problems, key=lambda line: line in of_datasets)


def _lines(title: str, lines: Sequence[str]) -> str:
    if not lines:
        return ""
    return f"<h2>{escape(title)}</h2>{_list(lines)}"


def _list(lines: Sequence[str]) -> str:
    """Return a list of which all but the first ones are folded."""
    items = [f"<li>{said(line)}</li>" for line in lines]
    shown = f'<ul class="problems">{"".join(items[:_LINES])}</ul>'
    if len(items) <= _LINES:
        return shown
    more = f'<ul class="problems">{"".join(items[_LINES:])}</ul>'
    summary = f"{_counted(len(items) - _LINES, 'line')} more"
    return f'{shown}<details class="more"><summary>{summary}</summary>{more}</details>'


def _datasets(found: Answer, drawn: Drawn) -> str:
    if not found.datasets:
        return ""
    used = {letter for days in drawn.calendars.values() for letter, _ in days.runs} - {NOTHING}
    legend = "".join(
        f'<span><i style="background: var(--{letter})"></i>{escape(meaning)}</span>'
        for letter, meaning in MEANING.items()
        if letter in used
    )
    search = (
        '<div class="find"><input id="find" type="search" placeholder="find a dataset"'
        ' aria-label="find a dataset"><label><input id="ill" type="checkbox"> only what is not well</label>'
        f'</div><p class="legend dim">{legend}</p><p id="none" style="display: none">no dataset is so</p>'
    )
    ordered = sorted(found.datasets, key=lambda one: (_family(one), one.well, str(one.dataset)))
    groups = (_group(name, list(some), found, drawn) for name, some in groupby(ordered, key=_family))
    return f"<h2>Datasets</h2>{search}{''.join(groups)}"


def _family(one: DatasetStatus) -> str:
    return f"{one.dataset.exchange} {one.dataset.data_type}"


def _group(name: str, some: Sequence[DatasetStatus], found: Answer, drawn: Drawn) -> str:
    ill = sum(not one.well for one in some)
    opened = " open" if 0 < ill <= _OPEN_ILL or len(found.datasets) <= _OPEN else ""
    whole = all(one.until is not None for one in some)  # what is off is not wrong, and nothing to be green of
    calm = '<span class="well">all well</span>' if whole else '<span class="dim">nothing is wrong</span>'
    mood = f'<span class="ill">{ill:,} not well</span>' if ill else calm
    rows = "".join(_dataset(one, drawn) for one in some)
    head = f'{escape(name)} <span class="dim">{_counted(len(some), "dataset")},</span> {mood}'
    return f'<details class="group"{opened}><summary>{head}</summary>{rows}</details>'


def _dataset(one: DatasetStatus, drawn: Drawn) -> str:
    figures = [
        f"coverage {_share(one.coverage)}" if one.coverage is not None else "",
        f"proven until {iso(one.until)}" if one.until is not None else "",
        f"behind by {said_length(one.behind)}" if one.behind else "",
        f"{_counted(one.gaps, 'gap')}, the longest {said_length(one.longest)}" if one.gaps else "",
        f"{one.quarantined:,} in quarantine" if one.quarantined else "",
        f"{one.accepted:,} accepted" if one.accepted else "",
        f"{_counted(one.rows, 'row')}, {decimal(one.bytes)}",
    ]
    name = str(one.dataset)
    problems = _list([line.removeprefix(f"{name}: ") for line in one.problems]) if one.problems else ""
    mood, well = ("", ' data-well="1"') if one.well else (" ill", "")
    days = drawn.calendars.get(one.dataset)
    return (
        f'<div class="dataset" data-name="{escape(name)}"{well}><div class="head">'
        f'<span class="name{mood}">{escape(name)}</span>'
        f'<span class="figures">{said("; ".join(part for part in figures if part))}</span></div>'
        f"{problems}{_days(name, days)}{_gaps(days)}{_reasons(drawn.refused.get(one.dataset, {}))}</div>"
    )


def _days(name: str, days: Calendar | None) -> str:
    if days is None:
        return ""
    told = {"first": str(days.first), "runs": days.runs, "notes": days.notes, **_rows(days)}
    text = msgspec.json.encode(told).decode().replace("<", "\\u003c")
    counts = Counter(days.cells)
    of = ", ".join(f"{_counted(counts[x], 'day')} {MEANING[x]}" for x in MEANING if counts[x])
    label = f"calendar of {name} from {days.first} on: {of}"
    return (
        f'<script type="application/json">{text}</script>'
        f'<canvas role="img" aria-label="{escape(label)}"></canvas>'
    )


def _rows(days: Calendar) -> dict[str, object]:
    """Return how many rows there are by partition; of those of a day only the numbers, one after another.

    With their names those of a thousand datasets would be most of the page.
    """
    if len(next(iter(days.rows), "")) < _DAY:
        return {"rows": days.rows}
    keys = (str(days.first + timedelta(days=number)) for number in range(len(days.cells)))
    return {"rows": {}, "daily": [days.rows.get(key, 0) for key in keys]}


def _gaps(days: Calendar | None) -> str:
    if days is None or not days.gaps:
        return ""
    rows = (
        (iso(gap.span.start), iso(gap.span.end), "?" if gap.missing is None else gap.missing, gap.why)
        for gap in reversed(days.gaps)
    )
    older = f", and {days.left_out:,} older ones" if days.left_out else ""
    title = f"gaps: {'the newest ' if older else ''}{len(days.gaps):,}{older}"
    return _folded(title, _table(("from", "to", "rows missing", "why"), rows))


def _reasons(reasons: Mapping[str, int]) -> str:
    if not reasons:
        return ""
    rows = sorted(((count, reason) for reason, count in reasons.items()), reverse=True)
    return _folded("why rows were refused", _table(("rows", "reason"), rows[:20]))


def _folded(title: str, content: str) -> str:
    return f'<details class="more"><summary>{title}</summary>{content}</details>'


def _charts(charts: Mapping[str, str], datasets: int) -> str:
    if not charts:
        return ""
    figures = (
        f'<figure aria-label="{escape(title)}">{picture}</figure>' for title, picture in charts.items()
    )
    more = f'<p class="dim">{said("of the first datasets only: `dccd report --charts 100` draws more")}</p>'
    note = more if len(charts) < datasets else ""
    return f'<h2>Prices and rows</h2>{note}<div class="charts">{"".join(figures)}</div>'


def _streams(found: Answer, uptimes: Mapping[str, Sequence[Uptime]]) -> str:
    if not found.streams:
        return ""
    rows = (
        (one.name, one.said, iso(one.since) if one.since is not None else "-", one.why)
        for one in found.streams
    )
    bars = "".join(_uptime(name, one) for name, some in uptimes.items() for one in some)
    legend = (
        '<p class="legend dim"><span><i style="background: var(--p)"></i>recorded</span>'
        f'<span><i style="background: var(--e)"></i>{FETCHED}</span>'
        '<span><i style="background: var(--g)"></i>not recorded</span></p>'
    )
    shown = (
        f'<details class="group live" open><summary>recorded lately</summary>{bars}</details>' if bars else ""
    )
    return (
        f"<h2>Streams</h2>{_table(('stream', 'state', 'since', 'why'), rows)}{legend if bars else ''}{shown}"
    )


def _uptime(name: str, one: Uptime) -> str:
    pieces = "".join(
        f'<i{" class=fetched" if why == FETCHED else ""} style="left: '
        f"{(span.start - one.window.start) / one.window.length:.3%}; width: "
        f'{span.length / one.window.length:.3%}" title="{said(f"{iso(span.start)} to {iso(span.end)}")}: '
        f'{escape(why)}"></i>'
        for span, why in one.silent
    )
    rows = [(iso(span.start), said_length(span.length), why) for span, why in reversed(one.silent[-_SILENT:])]
    told = _folded(f"not recorded: the newest {len(rows)}", _table(("from", "for", "why"), rows))
    since = f"recorded {_share(one.share)} of the time since {iso(one.window.start)}"
    return (
        f'<div class="dataset" data-name="{escape(str(one.dataset))}"><div class="head">'
        f'<span class="name">{escape(str(one.dataset))}</span>'
        f'<span class="figures">{said(since)}, by {escape(name)}</span></div>'
        f'<div class="up" role="img" aria-label="{said(since)}">{pieces}</div>{told if rows else ""}</div>'
    )


def _table(names: Sequence[str], rows: Iterable[Sequence[str | int]]) -> str:
    head = "".join(f"<th>{name}</th>" for name in names)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'


def _cell(value: str | int) -> str:
    if isinstance(value, int):
        return f'<td class="number">{value:,}</td>'
    return f"<td>{said(str(value))}</td>"


def _share(share: float) -> str:
    """Write a share; what is not whole is never rounded to it."""
    return f"{share:.1%}" if share == 1 else f"{min(share, 0.999):.1%}"
