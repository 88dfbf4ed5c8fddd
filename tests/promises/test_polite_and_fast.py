"""Four processes at once: no venue ever has to refuse, and hardly anything of its limits is left unused."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from dccd_core.testing.sandbox.limits import Style
from dccd_core.testing.sandbox.stats import Stats
from tests.promises.loads import TRIALS, WINDOWS, Trial, Used

AIM = 0.9


@pytest.mark.parametrize("name", ["by-the-minute-scaled", "bybit"])
def test_budgets_are_used_on_a_clock_that_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """How much of a limit is used in seconds of the machine is a matter of its load, too."""
    monkeypatch.setenv("DCCD_STATE_DIR", str(tmp_path))
    found, stats = TRIALS[name].play(tmp_path)
    polite(found, stats)
    for used in found:
        check(used)


@pytest.mark.alone
def test_four_processes_never_exceed_a_budget(tmp_path: Path) -> None:
    """On limits made smaller, whatever the machine does besides."""
    found, stats = TRIALS["by-the-minute-scaled"].run(tmp_path)
    polite(found, stats)
    assert stats.answered(200)


@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.parametrize("trial", [pytest.param(trial, id=name) for name, trial in TRIALS.items()])
def test_budgets_are_used_and_never_exceeded(tmp_path: Path, trial: Trial) -> None:
    """The venues' own limits want a quiet machine."""
    found, stats = trial.run(tmp_path)
    for used in found:
        print(used)  # noqa: T201
    polite(found, stats)
    for used in found:
        check(used)
        if used.load.rule.style is Style.WINDOW and not trial.scale:
            assert len(used.windows) >= WINDOWS
            assert AIM * used.limit <= min(used.windows) <= max(used.windows) <= used.limit


def polite(found: Iterable[Used], stats: Stats) -> None:
    assert stats.refused() == 0
    assert [stats.answered(status) for status in (403, 418, 429)] == [0, 0, 0]
    errors = [(used.load, error) for used in found for report in used.reports for error in report.errors]
    assert errors == []


def check(used: Used) -> None:
    assert not any(report.idle for report in used.reports), f"{used.load}: there was not enough work"
    assert used.mean >= AIM * used.limit, str(used)
    shares = [report.requests for report in used.reports]
    assert min(shares) > 0.1 * sum(shares), f"{used.load}: one process got hardly anything"
