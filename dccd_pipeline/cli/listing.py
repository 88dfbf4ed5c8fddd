"""What can be traded at an exchange: its own list of symbols, remembered for a day.

Belongs here: asking and remembering. Does not: how a venue lists its symbols (dccd_core.exchanges).
"""

import asyncio
import fnmatch
import hashlib
import time
from pathlib import Path
from typing import Final

import polars as pl

from dccd_core.domain.errors import DccdError
from dccd_core.domain.places import state_dir
from dccd_core.exchanges import get
from dccd_pipeline.build import default_resources
from dccd_pipeline.config.settings import Settings
from dccd_pipeline.resources import Venues

_FRESH_S: Final = 86_400


def listed_symbols(settings: Settings, exchange: str, pattern: str = "*") -> pl.DataFrame:
    """Return what is traded at an exchange and matches ``pattern`` (``*``, ``?``; case does not matter).

    Columns: ``symbol`` unified, ``market`` the venue's own name, ``listed`` since when, where it says so.

    Raises:
        ExchangeError: it does not answer, and nothing is remembered.
    """
    settings.require_open(get(exchange))
    file = _remembered(settings, exchange)
    if not file.exists() or time.time_ns() - file.stat().st_mtime_ns > _FRESH_S * 10**9:
        try:
            _remember(file, asyncio.run(_ask(settings, exchange)))
        except DccdError:
            if not file.exists():
                raise
    rows = pl.read_ipc(file.read_bytes()).filter(pl.col("active")).unique("symbol").sort("symbol")
    wanted = pattern.upper() if any(letter in pattern for letter in "*?") else f"*{pattern.upper()}*"
    kept = [fnmatch.fnmatchcase(symbol.upper(), wanted) for symbol in rows["symbol"].to_list()]
    return rows.filter(pl.Series(kept, dtype=pl.Boolean)).select("symbol", "market", "listed")


async def _ask(settings: Settings, exchange: str) -> pl.DataFrame:
    venues = default_resources(settings)["venues"]
    assert isinstance(venues, Venues)
    async with venues.connect(exchange) as venue:
        return await venue.markets()


def _remembered(settings: Settings, exchange: str) -> Path:
    own = settings.exchanges.get(exchange)
    name = hashlib.sha256(f"{exchange} {own.rest_url if own else ''}".encode()).hexdigest()[:12]
    return state_dir() / "markets" / f"{exchange}-{name}.arrow"


def _remember(file: Path, rows: pl.DataFrame) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(".draft")
    rows.write_ipc(draft)
    draft.replace(file)
