import os
import re
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import dagster as dg
import pytest

from dccd_core.domain.errors import ConfigError
from dccd_pipeline.cli.home import OURS
from dccd_pipeline.cli.instance import open_instance


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", "restored at the end")
    monkeypatch.delenv("DAGSTER_HOME")
    monkeypatch.chdir(tmp_path)


def test_without_a_home_the_instance_is_kept_beside_the_project(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\nrun_monitoring: {enabled: true}\n")
    with open_instance() as instance:
        assert instance.root_directory == str(tmp_path / ".dagster")
        assert instance.run_monitoring_enabled
    link = tmp_path / ".dagster" / "dagster.yaml"
    assert os.readlink(link) == "../dagster.yaml"  # noqa: PTH115 -- as it is written
    assert os.environ["DAGSTER_HOME"] == str(tmp_path / ".dagster")
    with open_instance() as instance:  # a second time nothing is in the way
        assert instance.root_directory == str(tmp_path / ".dagster")


def test_without_a_dagster_yaml_nobody_is_told_either(tmp_path: Path) -> None:
    with open_instance() as instance:
        assert not instance.telemetry_enabled
    assert (tmp_path / ".dagster" / "dagster.yaml").resolve() == OURS


def test_the_home_that_is_set_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    with open_instance() as instance:
        assert instance.root_directory == str(home)
    assert not (tmp_path / ".dagster").exists()


def test_d1_instances_are_opened_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two that make the databases of a fresh home at once leave ``alembic_version`` with two heads."""
    inside, most, both = list[int](), list[int](), threading.Barrier(2)

    def get() -> None:
        inside.append(1)
        most.append(len(inside))
        try:
            both.wait(0.5)  # two that are here at once meet
        except threading.BrokenBarrierError:
            both.reset()
        inside.pop()

    monkeypatch.setattr(dg.DagsterInstance, "get", get)
    crew = [threading.Thread(target=open_instance) for _ in range(3)]
    for one in crew:
        one.start()
    for one in crew:
        one.join()
    assert most == [1, 1, 1]


def test_d1_a_broken_instance_is_said_with_the_mend(tmp_path: Path) -> None:
    with open_instance():
        pass
    file = tmp_path / ".dagster" / "history" / "runs.db"
    with closing(sqlite3.connect(file)) as database:
        database.execute("INSERT INTO alembic_version VALUES ('5771160a95ad')")
        database.commit()
    with pytest.raises(ConfigError, match="two programs made this database at once") as e:
        open_instance()
    mend = re.search(r'sqlite3 (\S+) "(.+)"', str(e.value))
    assert mend
    with closing(sqlite3.connect(mend[1])) as database:
        database.execute(mend[2])
        database.commit()
    with open_instance() as instance:
        assert instance.get_runs() == []
