"""How long runs are kept: whole days, at least one."""

import pytest
from pydantic import ValidationError

from dccd_pipeline.config.runs import KeepRuns


def test_failed_ones_are_kept_longer_and_ticks_shorter() -> None:
    keep = KeepRuns()
    assert keep.ticks < keep.days < keep.failed


@pytest.mark.parametrize("days", [0, -1, 1.5, "30", None])
def test_days_are_whole_and_one_at_least(days: object) -> None:
    for name in ("days", "failed", "ticks"):
        with pytest.raises(ValidationError):
            KeepRuns.model_validate({name: days})
