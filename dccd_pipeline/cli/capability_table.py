"""What each exchange serves, as data and as Markdown tables: read from the registry and nothing else.

``python -m dccd_pipeline.cli.capability_table`` writes the tables into the documents that hold them.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, TypedDict

from dccd_core.adapter.contract import NOW, Endpoint, Exchange, Limit
from dccd_core.adapter.live import Channel
from dccd_core.domain.barspan import format_bar_span
from dccd_core.domain.timespan import SECOND, moment
from dccd_core.exchanges import NAMES, get
from dccd_core.fetch.paging import style_of
from dccd_core.tables import DataType
from dccd_pipeline.config.capabilities import KINDS, closed_on, limits_of, present, pushed, served

DOCUMENTS: Final = ("README.md", "docs/exchanges.md")
_HEAD: Final = (
    "exchange",
    "data",
    "data type",
    "markets",
    "reach",
    "bars",
    "rows a page",
    "paging",
    "rate limits",
    "live",
)


class Capability(TypedDict):
    """What serves one data type for some kinds of market of an exchange, in words and numbers of JSON.

    ``page_limit`` counts rows, for an order book levels per side. What is not served has null in
    ``reach``, ``page_limit``, ``paging`` and ``docs``; ``spans`` has entries for what takes a span only.
    ``closed`` is the exchange's last day, null while it is open. ``live`` says what its WebSocket brings of
    it, null where that is nothing.
    """

    exchange: str
    title: str
    since: str
    closed: str | None
    data_type: str
    kinds: list[str]
    reach: str | None
    spans: list[str]
    page_limit: int | None
    paging: str | None
    limits: list[str]
    docs: str | None
    live: str | None
    live_docs: str | None


def exchange_table(names: Iterable[str] = NAMES) -> list[Capability]:
    """Return the capabilities of exchanges, served or not, in the order of the registry.

    Raises:
        ConfigError: a name is not in the registry.
    """
    return [
        row for exchange in map(get, names) for data_type in DataType for row in _rows(exchange, data_type)
    ]


def matrix_markdown(names: Iterable[str] = NAMES) -> str:
    """Return the same rows as a Markdown table; what is not served shows as a dash."""
    return _markdown(_HEAD, map(_cells, exchange_table(names)))


def short_markdown(names: Iterable[str] = NAMES) -> str:
    """Return one line per exchange: how far back it can be asked for what."""
    head = ("exchange", "markets", *(one.table.title for one in DataType), "live")
    return _markdown(head, map(_line, map(get, names)))


def updated(document: str) -> str:
    """Return a document with the present tables between its markers."""
    for name, table in (("matrix", matrix_markdown()), ("exchanges", short_markdown())):
        first, last = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        document = re.sub(f"(?s)(?<={first}).*?(?={last})", lambda _, text=table: f"\n{text}\n", document)
    return document


def _markdown(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    return "".join(f"| {' | '.join(row)} |\n" for row in (head, ("---",) * len(head), *rows))


def _rows(exchange: Exchange, data_type: DataType) -> list[Capability]:
    """Return one row for all kinds of market that are served alike."""
    rows: list[Capability] = []
    for kind in KINDS:
        if kind not in exchange.kinds:
            continue
        row = _row(exchange, kind, data_type)
        alike = next((other for other in rows if {**other, "kinds": []} == {**row, "kinds": []}), None)
        if alike:
            alike["kinds"].append(kind)
        else:
            rows.append(row)
    return rows


def _row(exchange: Exchange, kind: str, data_type: DataType) -> Capability:
    now = present()
    endpoint, last = served(exchange, data_type, now).get(kind), closed_on(exchange, now)
    channel = pushed(exchange, data_type, [kind]).get(kind)
    return Capability(
        exchange=exchange.name,
        title=exchange.title,
        since=f"{moment(exchange.since):%Y-%m-%d}",
        closed=str(last) if last else None,
        data_type=data_type.value,
        kinds=[kind],
        reach=str(endpoint.reach) if endpoint else None,
        spans=[format_bar_span(span) for span in endpoint.spans] if endpoint else [],
        page_limit=endpoint.page_limit if endpoint else None,
        paging=style_of(endpoint).name if endpoint else None,
        limits=list(map(_limit, limits_of(exchange, kind, data_type, now))) if endpoint else [],
        docs=endpoint.docs if endpoint else None,
        live=_live(data_type, channel, endpoint) if channel else None,
        live_docs=channel.docs if channel else None,
    )


def _live(data_type: DataType, channel: Channel, endpoint: Endpoint | None) -> str:
    """Say in short what a channel brings."""
    table = data_type.table
    if table.takes_depth:
        return f"{channel.depths[-1]:,} levels" if channel.depths else "all levels"
    if not table.takes_span:
        return f"every {table.row}"
    same = endpoint is not None and endpoint.spans == channel.spans
    spans = (
        f"final {table.title}"
        if same
        else f"final {table.title}, {' '.join(map(format_bar_span, channel.spans))}"
    )
    return f"{spans}, built from {table.built_from}" if channel.from_trades else spans


def _limit(limit: Limit) -> str:
    counted = f"{limit.amount} per {limit.period / SECOND:g}s" + (" a market" if limit.per_market else "")
    return counted + (f" ({limit.pool})" if limit.pool else "")


def _cells(row: Capability) -> tuple[str, ...]:
    dates = f"{row['since']} to {row['closed']}" if row["closed"] else f"since {row['since']}"
    about = (row["title"], dates, row["data_type"], ", ".join(row["kinds"]))
    live = f"[{row['live']}]({row['live_docs']})" if row["live"] else "-"
    if row["docs"] is None:
        return (*about, "-", "-", "-", "-", "-", live)
    spans, rows = " ".join(row["spans"]) or "-", str(row["page_limit"])
    reach, limits = f"[{row['reach']}]({row['docs']})", ", ".join(row["limits"])
    return (*about, reach, spans, rows, row["paging"] or "-", limits, live)


def _line(exchange: Exchange) -> tuple[str, ...]:
    last = closed_on(exchange, present())
    title = f"{exchange.title} (closed {last})" if last else exchange.title
    kinds = [kind for kind in KINDS if kind in exchange.kinds]
    endpoints = [served(exchange, data_type, present()) for data_type in DataType]
    told = [_told({kind: one.get(kind) for kind in kinds}) for one in endpoints]
    live = [data_type.table.title for data_type in DataType if pushed(exchange, data_type)]
    return (title, ", ".join(kinds), *told, ", ".join(live) or "-")


def _told(endpoints: Mapping[str, Endpoint | None]) -> str:
    said = {kind: _reach(endpoint) if endpoint else "-" for kind, endpoint in endpoints.items()}
    kinds = {reach: [kind for kind, other in said.items() if other == reach] for reach in said.values()}
    if len(kinds) == 1:
        return next(iter(kinds))
    return "; ".join(f"{', '.join(names)}: {reach}" for reach, names in kinds.items())


def _reach(endpoint: Endpoint) -> str:
    return f"{endpoint.page_limit:,} levels" if endpoint.reach == NOW else str(endpoint.reach)


if __name__ == "__main__":
    for file in map(Path, DOCUMENTS):
        file.write_text(updated(file.read_text("utf-8")), "utf-8")
