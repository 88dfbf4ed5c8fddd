"""The results as one Markdown table."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.cases import CORE, FLOOR, OURS, libraries

_HEAD = "| case | variant | rows | wall s | CPU s | peak MB | rows/s | wall/floor | CPU/floor |"
_RULE = "|---|---|--:|--:|--:|--:|--:|--:|--:|"


@dataclass(frozen=True, slots=True)
class Row:
    """One variant of one case; ``said`` instead of figures when there are none."""

    case: str
    variant: str
    rows: int = 0
    wall_s: float = 0
    cpu_s: float = 0
    peak_mb: float = 0
    said: str = ""


def table(rows: Sequence[Row]) -> str:
    floors = {row.case: row for row in rows if row.variant == FLOOR.name}
    return "\n".join([_HEAD, _RULE, *(_line(row, floors[row.case]) for row in rows)])


def _line(row: Row, floor: Row) -> str:
    start = f"| {row.case} | {row.variant} |"
    if row.said:
        return f"{start} {row.said} | | | | | | |"
    return (
        f"{start} {row.rows:,} | {row.wall_s:.2f} | {row.cpu_s:.2f} | {row.peak_mb:.0f}"
        f" | {row.rows / row.wall_s:,.0f} | {row.wall_s / floor.wall_s:.2f} | {row.cpu_s / floor.cpu_s:.2f} |"
    )


def comparisons(rows: Sequence[Row]) -> list[str]:
    """Say per case how much faster the core is than each peer."""
    cores = {row.case: row for row in rows if row.variant == CORE.name}
    ours = [variant.name for variant in OURS]
    peers = [row for row in rows if row.wall_s and row.variant not in ours]
    return [
        f"{row.case}: dccd core is {row.wall_s / cores[row.case].wall_s:.1f} times as fast as {row.variant}"
        for row in peers
    ]


def machine() -> str:
    python = f"Python {platform.python_version()}"
    load = f"load {os.getloadavg()[0]:.1f}"
    return (
        f"{os.cpu_count()} cores ({load}), {platform.system()} {platform.machine()}, {python}, {libraries()}"
    )
