"""The first ``dccd.yaml`` of a user: what he wants, in a commented file that can be used.

Belongs here: from answers to the text of a file. Does not: asking (cli/init.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from importlib.resources import files
from pathlib import Path
from typing import Final

import yaml

from dccd_core.adapter.contract import NOW, Endpoint
from dccd_core.domain.barspan import parse_bar_span
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import Us, moment
from dccd_core.exchanges import get
from dccd_core.tables import DataType
from dccd_pipeline.config.capabilities import pushed, served, spans_of
from dccd_pipeline.config.collect import RECENT, is_limited
from dccd_pipeline.config.read import parse_settings
from dccd_pipeline.config.settings import Origin

_BACK: Final = timedelta(days=30)
_COLLECT: Final = "collect:                      # asked for; each entry is a job and a schedule"
_STREAM: Final = "stream:                       # recorded as it happens, into the same datasets"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody wants to collect. ``start``: a day, ``recent``, or empty for all that there is."""

    exchange: str
    symbols: Sequence[Symbol]
    data_type: str
    span: str | None = None
    start: str = ""
    store: str = "./data"

    @property
    def kept(self) -> str:
        """The entry of ``collect``; empty where there is no past to ask for."""
        if not has_past(self.exchange, self.data_type, self.symbols):
            return ""
        often = "5m" if self.span else "1h"
        start = [f"start: {self.start}"] if self.start else []
        return self._line(f"data_type: {self.data_type}", *self._spans, *start, f"every: {often}")

    @property
    def recorded(self) -> str:
        """The entry of ``stream``; empty where the exchange does not push it."""
        channels = pushed(get(self.exchange), DataType(self.data_type), _kinds(self.symbols)).values()
        if not channels or (self.span and parse_bar_span(self.span) not in spans_of(list(channels))):
            return ""
        return self._line(f"data_types: [{self.data_type}]", *self._spans, name="live")

    @property
    def _spans(self) -> list[str]:
        return [f"span: {self.span}"] if self.span else []

    def _line(self, *more: str, name: str = "") -> str:
        named = [f"name: {name}"] if name else []
        symbols = ", ".join(f'"{one}"' if one.settle else str(one) for one in self.symbols)
        return f"  - {{{', '.join([*named, f'exchange: {self.exchange}', f'symbols: [{symbols}]', *more])}}}"


def _kinds(symbols: Sequence[Symbol]) -> list[str]:
    return sorted({symbol.market_type for symbol in symbols})


def _served(exchange: str, data_type: str, symbols: Sequence[Symbol]) -> list[Endpoint]:
    return list(served(get(exchange), DataType(data_type), Us(0), _kinds(symbols)).values())


def has_past(exchange: str, data_type: str, symbols: Sequence[Symbol]) -> bool:
    """Tell whether there is more to ask for than the present."""
    endpoints = _served(exchange, data_type, symbols)
    return not endpoints or any(endpoint.reach != NOW for endpoint in endpoints)


def usual_start(exchange: str, data_type: str, symbols: Sequence[Symbol], now: Us) -> str:
    """Return the start to propose: a month ago, or ``recent`` where only the latest rows are shown."""
    if any(is_limited(one) for one in _served(exchange, data_type, symbols)):
        return RECENT
    return str((moment(now) - _BACK).date())


def starter(wanted: Wanted, folder: Path, now: Us) -> str:
    """Return the text of a ``dccd.yaml`` for ``folder``, with what is wanted and examples of more.

    What the exchange has no past of is recorded; what it has, is asked for, and a stream stands there as an
    example.

    Raises:
        ConfigError: it cannot be had; a line for each mistake.
    """
    kept, recorded = wanted.kept, wanted.recorded
    collect = f"{_COLLECT}\n{kept}" if kept else "collect: []"
    stream = f"{_STREAM}\n{recorded}" if recorded else ""
    parts = {
        "store": _plain(wanted.store),
        "collect": collect,
        "stream": _as_example(stream) if kept else stream,
    }
    text = files("dccd_pipeline").joinpath("templates/dccd.yaml").read_text("utf-8")
    for name, part in parts.items():
        text = text.replace(f"@{name}@", part)
    parse_settings(text, Origin("dccd.yaml", folder), now)
    return text


def _plain(text: str) -> str:
    """Write a text as YAML reads it back, in quotes where it has to be."""
    written: str = yaml.safe_dump(text, default_style=None, allow_unicode=True, width=float("inf"))
    return written.removesuffix("\n").removesuffix("\n...")


def _as_example(text: str) -> str:
    return "\n".join(f"#{line}" for line in text.splitlines())
