"""Run a command as a process of its own and say what it took, start included."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import click
import msgspec
import pyarrow.parquet as pq

_LAUNCH: Final = Path(__file__).with_name("launch.py")
_COMPILED: Final = {"PYTHONDONTWRITEBYTECODE": ""}
"""Modules are compiled once, as where dccd is installed: else each start compiled all of them anew."""


class Usage(msgspec.Struct):
    """What a process took.

    CPU time is user and system time; ``output`` is what it printed, ``written`` how many bytes it passed to
    write(2), whatever became of them.
    """

    wall_s: float
    cpu_s: float
    peak_kb: int
    written: int
    output: str = ""


def run(command: Sequence[str], environment: Mapping[str, str], folder: Path) -> Usage:
    """Run ``command`` in ``folder``.

    Raises:
        ClickException: it did not exit with 0; the text is the last line it printed.
    """
    with tempfile.NamedTemporaryFile() as took:
        done = subprocess.run(
            [sys.executable, str(_LAUNCH), took.name, *command],
            cwd=folder,
            env={**os.environ, **environment} | _COMPILED,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            lines = (done.stdout + done.stderr).strip().splitlines()
            raise click.ClickException(lines[-1] if lines else f"exit code {done.returncode}")
        usage = msgspec.json.decode(took.read(), type=Usage)
    usage.output = done.stdout
    return usage


def rows_in(folder: Path) -> int:
    """Count the rows of all Parquet files below ``folder``, by their footers."""
    return sum(pq.read_metadata(file).num_rows for file in folder.rglob("*.parquet"))
