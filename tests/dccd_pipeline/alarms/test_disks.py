"""Disks that are nearly full."""

from collections.abc import Callable
from pathlib import Path

import dagster as dg

from dccd_core.domain.sizes import GIB
from dccd_pipeline.alarms.kinds import KINDS
from tests.dccd_pipeline.alarms.looked import ALERTS, Looks, settings


def having(free: int) -> Callable[[Path], int]:
    """Return a look at disks that all have so much room."""
    return lambda _: free


def test_a_disk_is_told_while_too_little_is_free_on_it(tmp_path: Path) -> None:
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as instance:
        looks = Looks(KINDS["disks"], instance, settings(tmp_path))
        free = [3 * GIB, 2 * GIB, GIB, int(2.1 * GIB), int(2.3 * GIB)]
        said = [list(looks.at(n, free=having(size)).values()) for n, size in enumerate(free)]
        name = f"the disk of the store and of Dagster's storage ({tmp_path}/lake)"
        assert [bool(one) for one in said] == [False, False, True, True, False], (
            "a tenth more before it is well"
        )
        assert said[2] == [f"{name}: 1.0 GiB free, less than alerts.low_disk, 2.0 GiB -> make room there"]


def test_of_a_store_in_a_bucket_only_dagster_s_disk_is_looked_at(tmp_path: Path) -> None:
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as instance:
        looks = Looks(KINDS["disks"], instance, settings(tmp_path, store="s3://bucket"))
        assert list(looks.at(0, free=having(7))) == [f"the disk of Dagster's storage ({tmp_path})"]


def test_who_wants_no_look_at_disks_gets_none(tmp_path: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        looks = Looks(KINDS["disks"], instance, settings(tmp_path, alerts={**ALERTS, "low_disk": 0}))
        assert looks.at(0, free=having(7)) == {}
