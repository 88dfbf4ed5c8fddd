"""Which entry collects what the bars of another are built of.

Belongs here: questions across the entries of ``collect``. Does not: what can be built of what (sources.py).
"""

from collections.abc import Iterator, Mapping
from typing import cast

from pydantic_core import InitErrorDetails

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import ConfigError
from dccd_core.domain.symbol import Symbol
from dccd_pipeline.config.collect import Entry
from dccd_pipeline.config.sources import said_source


def with_origins(entries: Mapping[int, Entry]) -> dict[int, Entry]:
    """Return the entries, each told which ones collect what its bars are built of."""
    told, collected = dict(entries), dict[Dataset, Entry]()
    for at, entry in sorted(entries.items(), key=lambda one: one[1].turn):
        told[at] = entry.built_of(_origins(entry, collected))
        for dataset in entry.datasets:
            collected.setdefault(dataset, told[at])
    return told


def _origins(entry: Entry, collected: Mapping[Dataset, Entry]) -> dict[Symbol, Entry]:
    sources = [(dataset.symbol, entry.built_from(dataset)) for dataset in entry.datasets]
    return {symbol: collected[source] for symbol, source in sources if source and source in collected}


def unread(raw: object, read: Mapping[int, Entry]) -> set[tuple[str, str]]:
    """Name exchange and data type of the entries whose symbols other mistakes hide."""
    items = list(enumerate(cast("list[object]", raw) if isinstance(raw, list) else ()))
    left = [
        cast("dict[str, object]", item) for at, item in items if at not in read and isinstance(item, dict)
    ]
    return {(str(item.get("exchange")), str(item.get("data_type"))) for item in left}


def underived(entries: Mapping[int, Entry], hidden: set[tuple[str, str]]) -> Iterator[InitErrorDetails]:
    """Say what is missing that bars are to be built of; ``hidden``: of what nobody can say it."""
    for at, entry in entries.items():
        for n, dataset in enumerate(entry.datasets):
            source, origin = entry.built_from(dataset), entry.origins.get(dataset.symbol)
            if source is None or (origin is None and (entry.exchange, source.data_type.value) in hidden):
                continue
            rows, symbol = said_source(entry.derive_from or ""), dataset.symbol
            if origin is None:
                said = f"no entry collects the {entry.exchange} {rows} of {symbol}, of which to build bars"
                yield clash((at, "symbols", n), said, f"add {{{_entry_of(source)}}}")
            elif entry.start < origin.start:
                said = f"the {rows} of {symbol} are collected from {origin.start} on only"
                yield clash((at, "start"), said, f"write {origin.start}, or let the {rows} start earlier")


def _entry_of(source: Dataset) -> str:
    span = f", span: {source.parts[-1]}" if source.span else ""
    return f"exchange: {source.exchange}, symbols: [{source.symbol}], data_type: {source.data_type}{span}"


def clash(loc: tuple[int | str, ...], said: str, hint: str) -> InitErrorDetails:
    """Return a mistake that only several entries together make."""
    error = ConfigError(said, hint=hint)
    return InitErrorDetails(type="value_error", loc=loc, input=None, ctx={"error": error})
