"""What each exchange serves and sends, for each length of bar, from the registry."""

from collections.abc import Iterator, Mapping
from typing import Final

from dccd_core.adapter.contract import NOW, Endpoint, Exchange
from dccd_core.adapter.live import Channel
from dccd_core.domain.barspan import format_bar_span
from dccd_core.domain.timespan import Us
from dccd_core.exchanges import NAMES, get
from dccd_core.tables import DataType
from dccd_pipeline.config.capabilities import KINDS, closed_on, present, pushed, served
from docs.hooks.markdown import code, table

_HEAD: Final = """# What each exchange has

Written by `make docs` from the exchanges' own files; `dccd exchanges NAME` says the same on the terminal.
Named is first how far back one can ask today; *live* is what a `stream` entry records. Bars of other
lengths are built of shorter ones or of trades: `derive_from`. Limits, pages and links to the exchanges'
own documents: [exchanges](../exchanges.md).

"""
Spans = tuple[Us | None, ...]


def venues_page() -> str:
    return _HEAD + "\n".join(_said(get(name)) for name in NAMES)


def _said(exchange: Exchange) -> str:
    now = present()
    kinds = [kind for kind in KINDS if kind in exchange.kinds]
    last = closed_on(exchange, now)
    about = f"In `dccd.yaml`: {code(exchange.name)}." + (f" It closed on {last}." if last else "")
    rows = [
        (data_type.value, " ".join(format_bar_span(one) for one in spans if one), *map(_words, cells))
        for data_type in DataType
        for cells, spans in _alike(exchange, data_type, kinds).items()
    ]
    return f"## {exchange.title}\n\n{about}\n\n" + table(("data type", "bars", *kinds), rows)


def _alike(exchange: Exchange, data_type: DataType, kinds: list[str]) -> Mapping[tuple[str, ...], Spans]:
    """Return the lengths of bars of which the same can be had for all kinds of market, by what that is."""
    rest, live = served(exchange, data_type, present(), kinds), pushed(exchange, data_type, kinds)
    found = dict[tuple[str, ...], Spans]()
    for span in _spans(data_type, rest, live):
        had = tuple(_had(rest.get(kind), live.get(kind), span) for kind in kinds)
        if any(had):
            found[had] = (*found.get(had, ()), span)
    return found


def _spans(data_type: DataType, rest: Mapping[str, Endpoint], live: Mapping[str, Channel]) -> Spans:
    if not data_type.table.takes_span:
        return (None,)
    return tuple(sorted({span for one in (*rest.values(), *live.values()) for span in one.spans}))


def _had(endpoint: Endpoint | None, channel: Channel | None, span: Us | None) -> str:
    return ", ".join(_parts(endpoint, channel, span))


def _parts(endpoint: Endpoint | None, channel: Channel | None, span: Us | None) -> Iterator[str]:
    if endpoint and (span is None or span in endpoint.spans):
        yield "snapshots" if endpoint.reach == NOW else str(endpoint.reach)
    if channel and (span is None or span in channel.spans):
        yield "live"


def _words(had: str) -> str:
    return had or "-"
