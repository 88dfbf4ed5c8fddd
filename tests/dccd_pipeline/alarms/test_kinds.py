"""Kinds are values in one table; each looks without anything being there."""

from pathlib import Path

import dagster as dg
import pytest

from dccd_pipeline.alarms.kinds import KINDS
from tests.dccd_pipeline.alarms.looked import Looks, settings


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_looks_at_a_lake_that_is_not_there_yet(name: str, tmp_path: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        found = Looks(KINDS[name], instance, settings(tmp_path)).at(0)
        assert not any(found.values())
