"""Errors become lines and exit codes; only a defect shows its trace."""

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


def test_a_defect_keeps_its_trace() -> None:
    assert isinstance(ended(ValueError("a defect")).exception, ValueError)
