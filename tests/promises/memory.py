"""The most memory a process held, whatever else the machine does meanwhile."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

GIVES_BACK: Final[Mapping[str, str]] = {
    "_RJEM_MALLOC_CONF": "dirty_decay_ms:0,muzzy_decay_ms:0",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_ARENA_MAX": "1",
}
"""Environment in which the allocators of Polars, Arrow and C give back at once what is let go.

Measured: left alone they keep 100 to 200 MB for a time by the clock, so a peak tells how busy the machine is.
"""


def peak_mb() -> int:
    """Return the most memory this process had; getrusage would also tell of the one that started it."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024
