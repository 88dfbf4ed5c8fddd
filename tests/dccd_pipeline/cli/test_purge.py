"""``dccd purge``, as it is typed."""

import json
from pathlib import Path

import pytest

from dccd_core.lake.lake import LakeStore
from tests.dccd_pipeline.cli.keeping import CONFIG, kept
from tests.dccd_pipeline.cli.terminal import dccd, refused
from tests.dccd_pipeline.held import HOURS


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LakeStore:
    return kept(tmp_path, monkeypatch)


def test_a_dry_run_says_what_would_go_and_why_the_rest_stays(lake: LakeStore, tmp_path: Path) -> None:
    (tmp_path / "copy" / Path(lake.path(HOURS, "2023")).relative_to(lake.url)).unlink()
    size = lake.states(HOURS)["2022"].bytes
    result = dccd("purge", "--dry-run")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[:2] == [
        f"{HOURS} 2022: held by nas, {size:,} bytes",
        f"{HOURS} 2023 stays: 0 verified copies of 1: nas: not there",
    ]
    assert result.stdout.splitlines()[2].startswith("1 would go, ")
    assert lake.elsewhere(HOURS) == []
    (told,) = [json.loads(dccd("purge", "--json").stdout)]
    assert ([one["partition"] for one in told["gone"]], told["freed"]) == (["2022"], size)
    assert [one["partition"] for one in told["kept"]] == ["2023"]
    assert lake.elsewhere(HOURS) == ["2022"]


def test_too_little_room_is_code_1(lake: LakeStore, tmp_path: Path) -> None:
    (tmp_path / "dccd.yaml").write_text(CONFIG.replace("older_than: 1d", "keep_free: 900TB"))
    result = dccd("purge")
    assert result.exit_code == 1
    assert result.stderr.startswith("the purge could not free enough: ")
    assert lake.elsewhere(HOURS) == ["2022", "2023"]


def test_without_rules_or_remotes_nothing_goes(lake: LakeStore, tmp_path: Path) -> None:
    (tmp_path / "dccd.yaml").write_text(CONFIG.replace("purge: {older_than: 1d}", ""))
    assert refused("purge").startswith("dccd.yaml says nothing of purge -> say when: purge: {keep_free")
    assert "2 would go" in dccd("purge", "--dry-run").stdout
    (tmp_path / "dccd.yaml").write_text("store: lake\npurge: {older_than: 1d}\n")
    assert refused("purge") == "there is no remote that could hold anything -> add one under remotes:"
    assert lake.elsewhere(HOURS) == []
