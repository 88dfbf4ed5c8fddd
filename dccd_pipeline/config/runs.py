"""For how long what became of runs is kept. What goes: runs/prune.py."""

from pydantic import Field

from dccd_pipeline.config.fields import Strict


class KeepRuns(Strict):
    """For how many days runs are kept in Dagster's storage after they began."""

    days: int = Field(default=30, strict=True, ge=1, examples=[30])
    """Most of them."""

    failed: int = Field(default=90, strict=True, ge=1, examples=[90])
    """Those that failed."""

    ticks: int = Field(default=2, strict=True, ge=1, examples=[2])
    """Those that a schedule started, where all went well."""
