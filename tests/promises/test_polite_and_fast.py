"""Four processes at once: no venue ever has to refuse, and hardly anything of its limits is left unused."""

from pathlib import Path

import pytest

from dccd_core.testing.sandbox.limits import Style
from tests.promises.loads import TRIALS, WINDOWS, Trial, Used

pytestmark = pytest.mark.alone

AIM = 0.9


@pytest.mark.parametrize(
    "trial",
    [
        # the venues' own limits want a quiet machine; limits made smaller show the same to any
        pytest.param(trial, id=name, marks=[] if trial.scale else [pytest.mark.slow])
        for name, trial in TRIALS.items()
    ],
)
def test_budgets_are_used_and_never_exceeded(tmp_path: Path, trial: Trial) -> None:
    found, stats = trial.run(tmp_path)
    for used in found:
        print(used)  # noqa: T201
    assert stats.refused() == 0
    assert [stats.answered(status) for status in (403, 418, 429)] == [0, 0, 0]
    for used in found:
        check(used)
        if used.load.rule.style is Style.WINDOW and not trial.scale:
            assert len(used.windows) >= WINDOWS
            assert AIM * used.limit <= min(used.windows) <= max(used.windows) <= used.limit


def check(used: Used) -> None:
    errors = [error for report in used.reports for error in report.errors]
    assert not errors, f"{used.load}: {errors[0]}"
    assert not any(report.idle for report in used.reports), f"{used.load}: there was not enough work"
    assert used.mean >= AIM * used.limit, str(used)
    shares = [report.requests for report in used.reports]
    assert min(shares) > 0.1 * sum(shares), f"{used.load}: one process got hardly anything"
