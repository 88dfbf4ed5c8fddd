"""A configuration that is looked at, as the tests of alarms need one."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg

from dccd_core.domain.timespan import MINUTE, Us, parse_time
from dccd_pipeline.alarms.look import Kind, Look, Memory, free_space
from dccd_pipeline.config.read import settings_of
from dccd_pipeline.config.settings import Settings

NOW = parse_time("2026-11-20T12:00")
ENTRY = {
    "exchange": "binance",
    "symbols": ["BTC/USDT"],
    "data_type": "ohlc",
    "span": "1h",
    "start": "2026-11-01",
    "every": "1h",
}
ALERTS = {"to": ["http://127.0.0.1:9/"]}


def settings(folder: Path, *entries: dict[str, Any], **more: Any) -> Settings:
    raw = {"store": str(folder / "lake"), "collect": list(entries or (ENTRY,)), "alerts": ALERTS, **more}
    return settings_of(raw, now=NOW)


def minutes(count: int) -> Us:
    return Us(NOW + count * MINUTE)


class Looks:
    """Looks again and again, with one memory; returns what is wrong, and under None what nobody knows."""

    def __init__(self, kind: Kind, instance: dg.DagsterInstance, settings: Settings) -> None:
        self.kind, self.look = kind, Look(settings, instance, NOW, Memory())

    def at(self, count: int, free: Callable[[Path], int] = free_space) -> dict[str, str | None]:
        found = self.kind.look(replace(self.look, now=minutes(count), free=free))
        return {name: text for name, text in found.items() if text != ""}
