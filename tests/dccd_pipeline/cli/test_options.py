"""Errors become lines and exit codes; only a defect shows its trace."""

import errno
import os

import click
import pytest
from click.testing import CliRunner, Result
from sqlalchemy.exc import OperationalError

from dccd_core.domain.errors import ConfigError, Unavailable
from dccd_pipeline.cli.options import told


def ended(error: Exception, cause: Exception | None = None) -> Result:
    @click.command()
    @told
    def command() -> None:
        raise error from cause

    return CliRunner().invoke(command)


@pytest.mark.parametrize(("error", "code"), [(ConfigError("no"), 2), (Unavailable("away"), 1)])
def test_our_own_errors_are_a_line(error: Exception, code: int) -> None:
    result = ended(error)
    assert (result.exit_code, result.stderr) == (code, f"{error}\n")


LOCKED = OperationalError("SELECT 1", {}, Exception("database is locked"))


@pytest.mark.parametrize("chain", [(LOCKED, None), (RuntimeError("Dagster says no"), LOCKED)])
def test_a_database_that_does_not_answer_is_a_line(chain: tuple[Exception, Exception | None]) -> None:
    result = ended(*chain)
    assert result.exit_code == 1
    assert result.stderr == (
        "Dagster's storage does not answer: database is locked"
        " -> another program holds it, or it is away: try again in a moment\n"
    )


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.EACCES, "run it as the user who owns that, or let this one in"),
        (errno.ENOSPC, "make room on that disk"),
    ],
)
def test_r5_what_an_operating_system_refuses_is_a_line(number: int, hint: str) -> None:
    """36c92f8: a trace of forty lines, for another user or on a full disk."""
    result = ended(OSError(number, os.strerror(number), "/a/file"))
    assert (result.exit_code, result.stderr) == (1, f"cannot use /a/file: {os.strerror(number)} -> {hint}\n")


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOENT, "gone", "/a/file"), OSError(errno.EACCES, "no file is named")]
)
def test_what_it_refuses_without_a_file_or_a_reason_is_a_defect(error: OSError) -> None:
    assert ended(error).exception is error


def test_a_defect_keeps_its_trace() -> None:
    assert isinstance(ended(ValueError("a defect")).exception, ValueError)
