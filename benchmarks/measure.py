"""Run a command as a process of its own and say what it took, start included."""

import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
import pyarrow.parquet as pq

_MEGABYTE: Final = 1_000
"""``ru_maxrss`` counts kilobytes."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process took; ``output`` is what it printed."""

    wall_s: float
    cpu_s: float
    peak_mb: float
    output: str


def run(command: Sequence[str], environment: Mapping[str, str], folder: Path) -> Usage:
    """Run ``command`` in ``folder``. CPU time is user and system time of it and of its children.

    Raises:
        ClickException: it did not exit with 0; the text is the last line it printed.
    """
    began = time.perf_counter()
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(
            command, cwd=folder, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=said
        ) as process,
    ):
        assert process.stdout
        try:
            output = process.stdout.read().decode()
            _, status, used = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            raise
        process.returncode = os.waitstatus_to_exitcode(status)
        wall_s = time.perf_counter() - began
        if process.returncode:
            said.seek(0)
            lines = (output + said.read().decode(errors="replace")).strip().splitlines()
            raise click.ClickException(lines[-1] if lines else f"exit code {process.returncode}")
    return Usage(wall_s, used.ru_utime + used.ru_stime, used.ru_maxrss / _MEGABYTE, output)


def rows_in(folder: Path) -> int:
    """Count the rows of all Parquet files below ``folder``, by their footers."""
    return sum(pq.read_metadata(file).num_rows for file in folder.rglob("*.parquet"))
