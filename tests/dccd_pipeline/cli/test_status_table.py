"""How the answer looks: what is well is left out where there is much."""

from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from dccd_core.domain.timespan import HOUR, Us
from dccd_core.quality.deadline import Deadline
from dccd_pipeline.answer.dataset import DatasetStatus
from dccd_pipeline.answer.gather import Answer
from dccd_pipeline.cli import status_table
from tests.dccd_pipeline.answer.statuses import ILL, NOW, WELL
from tests.dccd_pipeline.held import HOURS


def shown(*datasets: DatasetStatus, capsys: pytest.CaptureFixture[str], show_all: bool = False) -> str:
    problems = tuple(line for one in datasets for line in one.problems)
    found = Answer(NOW, "a verdict", problems, ("a note [x]",), datasets, (), (), ("- {exchange: okx}",))
    status_table.show(found, "Europe/Paris", show_all=show_all)
    return capsys.readouterr().out


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("dccd_pipeline.cli.render.OUT", Console(width=300, highlight=False))


def test_all_that_is_wrong_comes_before_what_is(capsys: pytest.CaptureFixture[str]) -> None:
    said = shown(ILL, capsys=capsys).splitlines()
    assert said[:3] == ["a verdict", "! a gap", "- a note [x]"]
    row = next(line for line in said if str(HOURS) in line)
    for cell in ("2024-01-31 to 2024-03-01 13:30", "99.9%", "2 (unknown rows, longest 3 h)", "720", " 7 "):
        assert cell in row
    assert said[-1] == "  - {exchange: okx}"


def test_columns_without_anything_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    said = shown(WELL, capsys=capsys)
    assert "100.0%" in said
    assert "quarantine" not in said


def test_until_when_what_perishes_can_be_had_is_a_column(capsys: pytest.CaptureFixture[str]) -> None:
    until = Deadline(NOW, Us(12 * HOUR), exact=True, since=NOW, at=Us(NOW + 12 * HOUR), due=False)
    said = shown(WELL, replace(WELL, deadline=until), capsys=capsys)
    assert "safe, 2024-03-02 01:30" in said
    assert "deadline" not in shown(WELL, capsys=capsys)


def test_of_many_datasets_those_that_are_well_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    many = [WELL] * 50 + [ILL]
    said = shown(*many, capsys=capsys)
    assert said.count(str(HOURS)) == 1
    assert "51 datasets, times of Europe/Paris; 50 datasets that are well are left out: --all" in said
    assert shown(*many, capsys=capsys, show_all=True).count(str(HOURS)) == 51
