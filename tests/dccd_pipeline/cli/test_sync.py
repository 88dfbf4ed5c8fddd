"""``dccd sync``: exit code 0 only when all that is here is there."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from dccd_core.lake.lake import LakeStore
from dccd_pipeline.cli.lazy import main
from tests.dccd_core.keep.scene import fill, filled
from tests.dccd_core.lake.samples import DAY, TRADES


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LakeStore:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    configure(tmp_path, {"name": "nas", "to": "copy"})
    return LakeStore(tmp_path / "lake")


def configure(folder: Path, *remotes: dict[str, Any]) -> None:
    raw = {"store": "lake", "remotes": list(remotes)}
    (folder / "dccd.yaml").write_text(yaml.safe_dump(raw))


def dccd(*words: str) -> Result:
    return CliRunner().invoke(main, ["sync", *words])


def test_what_is_here_is_there(lake: LakeStore, tmp_path: Path) -> None:
    filled(lake, 3)
    first = dccd()
    assert first.exit_code == 0
    assert first.stdout.startswith("nas: 3 files, ")
    assert "at " + str(tmp_path / "copy") + "; 3 copied; " in first.stdout
    assert "; nothing was new; 0 bytes sent in " in dccd("nas").stdout


def test_a_conflict_is_named_and_code_1(lake: LakeStore) -> None:
    fill(lake, range(100))
    dccd()
    Path(lake.path(TRADES, DAY)).unlink()
    fill(lake, range(9))
    result = dccd()
    assert result.exit_code == 1
    assert f"conflict: {TRADES}/{DAY}: it has 100 rows, and there are 9 here" in result.stderr
    assert "`dccd sync nas --replace DATASET/PARTITION`" in result.stderr
    (told,) = json.loads(dccd("--json").stdout)
    assert (told["well"], told["files"], told["conflicts"][0]["why"]) == (
        False,
        0,
        "it has 100 rows, and there are 9 here",
    )
    assert dccd("--replace", f"{TRADES}/{DAY}").exit_code == 0


def test_what_is_right_there_is_taken(lake: LakeStore) -> None:
    fill(lake, range(100))
    dccd()
    Path(lake.path(TRADES, DAY)).unlink()
    fill(lake, range(9))
    assert dccd("--take", str(TRADES)).exit_code == 2, "it names no partition"
    assert dccd("--take", f"{TRADES}/{DAY}").exit_code == 0
    assert lake.states(TRADES)[DAY].rows == 100


def test_a_remote_that_does_not_answer_does_not_keep_others_from_it(lake: LakeStore, tmp_path: Path) -> None:
    filled(lake, 1)
    (tmp_path / "file").write_text("")
    configure(tmp_path, {"name": "broken", "to": "file"}, {"name": "nas", "to": "copy"})
    result = dccd()
    assert result.exit_code == 1
    assert result.stderr.startswith("broken: ")
    assert result.stdout.startswith("nas: 1 files")
    broken, nas = json.loads(dccd("--json").stdout)
    assert (broken["well"], nas["well"]) == (False, True)
    assert "is a file, no folder" in broken["error"]


def test_who_names_what_is_not_there_is_told_what_is(lake: LakeStore, tmp_path: Path) -> None:
    result = dccd("cloud")
    assert (result.exit_code, result.stderr) == (2, "there is no remote cloud -> configured: nas\n")
    configure(tmp_path)
    assert "there is no remote to copy to -> add one under remotes:" in dccd().stderr
    configure(tmp_path, {"name": "nas", "to": "copy", "enabled": False})
    assert dccd().stderr == "every remote is switched off -> name those to sync: nas\n"
    assert dccd("nas").exit_code == 0


def test_dagster_is_told_where_there_is_an_instance(lake: LakeStore, tmp_path: Path) -> None:
    import dagster as dg  # noqa: PLC0415

    filled(lake, 2)
    (tmp_path / "home").mkdir()
    assert dccd().exit_code == 0
    with dg.DagsterInstance.from_config(str(tmp_path / "home")) as instance:
        (made,) = instance.fetch_materializations(dg.AssetKey(["remote", "nas"]), limit=9).records
    assert made.asset_materialization
    assert made.asset_materialization.metadata["files"].value == 2
