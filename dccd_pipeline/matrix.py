"""What each exchange serves, as data and as a Markdown table: read from the registry and nothing else."""

import re
from collections.abc import Iterable
from typing import TypedDict

from dccd_core.adapter.contract import Endpoint, Exchange
from dccd_core.domain.barspan import format_bar_span
from dccd_core.domain.datatype import DataType
from dccd_core.domain.timespan import moment
from dccd_core.exchanges import NAMES, get

_HEAD = (
    "exchange",
    "markets",
    "data since",
    "rate limits",
    "data type",
    "reach",
    "bars",
    "rows a page",
    "paging",
)


class Capability(TypedDict):
    """One exchange and data type, in words and numbers that JSON holds.

    ``page_limit`` counts rows, for an order book levels per side. What is not served has null in
    ``reach``, ``page_limit``, ``paging`` and ``docs``; ``spans`` has entries for served ohlc only.
    """

    exchange: str
    title: str
    kinds: list[str]
    since: str
    limits: list[str]
    data_type: str
    reach: str | None
    spans: list[str]
    page_limit: int | None
    paging: str | None
    docs: str | None


def exchange_table(names: Iterable[str] = NAMES) -> list[Capability]:
    """Return one row per exchange and data type, served or not, in the order of the registry.

    Raises:
        ConfigError: a name is not in the registry.
    """
    return [_row(exchange, data_type) for exchange in map(get, names) for data_type in DataType]


def matrix_markdown(names: Iterable[str] = NAMES) -> str:
    """Return the same rows as a Markdown table; what is not served shows as a dash."""
    rows = [_HEAD, ("---",) * len(_HEAD), *map(_cells, exchange_table(names))]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _row(exchange: Exchange, data_type: DataType) -> Capability:
    endpoint = exchange.endpoints.get(data_type)
    return Capability(
        exchange=exchange.name,
        title=exchange.title,
        kinds=sorted(exchange.kinds),
        since=f"{moment(exchange.since):%Y-%m-%d}",
        limits=[f"{limit.amount} per {format_bar_span(limit.period)}" for limit in exchange.limits],
        data_type=data_type.value,
        reach=endpoint.reach.value if endpoint else None,
        spans=[format_bar_span(span) for span in endpoint.spans] if endpoint else [],
        page_limit=endpoint.page_limit if endpoint else None,
        paging=_paging(endpoint) if endpoint else None,
        docs=endpoint.docs if endpoint else None,
    )


def _paging(endpoint: Endpoint) -> str:
    """Name the way of paging after its class: ``TimeWindows`` is ``time windows``."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(endpoint.paging).__name__).lower()


def _cells(row: Capability) -> tuple[str, ...]:
    about = (row["title"], ", ".join(row["kinds"]), row["since"], ", ".join(row["limits"]), row["data_type"])
    if row["docs"] is None:
        return (*about, "-", "-", "-", "-")
    spans, rows = " ".join(row["spans"]) or "-", str(row["page_limit"])
    return (*about, f"[{row['reach']}]({row['docs']})", spans, rows, row["paging"] or "-")
