"""What bars are built of, as ``derive_from`` says it: trades, or the length of shorter bars. Pure.

Belongs here: reading it, and what can be built of what. Does not: which entry collects it (origins.py).
"""

import re
from collections.abc import Iterable
from typing import Final

from dccd_core.bars.longer import divides
from dccd_core.domain.barspan import format_bar_span, parse_bar_span
from dccd_core.domain.errors import ConfigError
from dccd_core.domain.timespan import DAY, HOUR, MINUTE, SECOND, Us
from dccd_core.tables import DataType
from dccd_pipeline.config.capabilities import nearest_span

TRADES: Final = tuple(dict.fromkeys(t.built_from for t in (one.table for one in DataType) if t.built_from))
"""The data types that bars are built of."""
_MONTHS: Final = re.compile(r"(\d+)(mo|M)")


def read_source(value: object) -> str:
    """Return ``trades``, or the length of bars as it is written everywhere: ``1h``.

    Raises:
        ConfigError: it is neither.
    """
    if value in TRADES:
        return str(value)
    refuse_months(value)
    try:
        return format_bar_span(parse_bar_span(str(value)))
    except ConfigError:
        said = f"{value!r} is neither {' nor '.join(TRADES)} nor the length of a bar"
        raise ConfigError(said, hint=f"write {' or '.join(TRADES)}, or a length like 1h") from None


def short_span(source: str | None) -> Us | None:
    """Return the length of the bars that others are built of; None: it is trades, or nothing."""
    return None if source is None or source in TRADES else parse_bar_span(source)


def said_source(source: str) -> str:
    """Name what bars are built of: ``trades``, ``1h bars``."""
    return source if source in TRADES else f"{source} bars"


def refuse_months(value: object) -> None:
    """Refuse bars of calendar months, which have no fixed length."""
    if months := _MONTHS.fullmatch(str(value)):
        said = f"bars of {months[1]} calendar months are not stored, they have no fixed length"
        hint = f'collect 1d; Lake.scan(..., span="{months[1]}mo") makes them of it while it is read'
        raise ConfigError(said, hint=hint)


def refuse_unfilled(source: str, span: Us, known: Iterable[Us]) -> None:
    """Refuse bars that cannot be built of ``source``; ``known``: the lengths that the exchange has itself."""
    if short := short_span(source):
        _refuse_undivided(short, span)
    elif DAY % span and span not in known:
        unit = next(unit for unit in (HOUR, MINUTE, SECOND) if span % unit == 0)
        even = [Us(n * unit) for n in range(1, DAY // unit + 1) if DAY // unit % n == 0]
        said = f"{format_bar_span(span)} bars of {source} do not divide a day"
        raise ConfigError(said, hint=f"nearest is {nearest_span(span, even)}")


def _refuse_undivided(short: Us, span: Us) -> None:
    of, bars = format_bar_span(short), format_bar_span(span)
    if short >= span:
        said = f"{bars} bars cannot be built of {of} bars, which are not shorter"
        raise ConfigError(said, hint=f"write a span longer than {of}, or derive them from shorter bars")
    if not divides(short, span):
        near = [Us(n * short) for n in (span // short, span // short + 1) if divides(short, Us(n * short))]
        hint = f"nearest is {nearest_span(span, near)}" if near else f"write a multiple of {of}"
        raise ConfigError(f"{of} bars do not fill {bars} bars exactly", hint=hint)
