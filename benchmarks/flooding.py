"""The flood in a process on a core of its own, for the time of a ``with`` block."""

import json
import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def flooding(
    messages: int, symbols: int = 10, rate: float | None = None, *, plain: bool = False
) -> Generator[str]:
    """Run the flood on the last core, and leave the first one to us and to whom we start meanwhile."""
    cores = _cores()
    command = [sys.executable, "-m", "benchmarks.flood", f"--messages={messages}", f"--symbols={symbols}"]
    command += [] if rate is None else [f"--rate={rate}"]
    command += ["--plain"] if plain else []
    _stay_on(cores[-1:])
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        _stay_on(cores[:1])
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())["url"]
        finally:
            process.terminate()
            _stay_on(cores)


def _cores() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def _stay_on(cores: list[int]) -> None:
    """Not every system lets a process choose its cores."""
    if cores:
        os.sched_setaffinity(0, cores)
