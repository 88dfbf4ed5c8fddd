"""A file and a line are all that a data type takes: here in a copy of the sources, as one would add them.

Everybody who asks for the data types there are knows it then, and each part that is left out is named.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MADE_UP = Path(__file__).parent / "made_up"
SOURCES = ("dccd_core", "dccd_pipeline")
ARCHITECTURE = Path("tests") / "architecture" / "test_data_types.py"
HOMES = {
    "marks.py": Path("dccd_core") / "tables",
    "octopus.py": Path("dccd_core") / "exchanges",
    "octopus_live.py": Path("dccd_core") / "exchanges",
}
TABLES = Path("dccd_core") / "tables" / "__init__.py"
IMPORT = "from dccd_core.tables import "
LINE = "    TRADES = trades.TABLE\n"
EXCHANGES = Path("dccd_core") / "exchanges" / "__init__.py"
COLLECT = """store: ./lake
collect:
  - {exchange: octopus, symbols: [BTC/USDT], data_type: marks, span: 1m, start: 2024-06-05}
"""
STREAM = """store: ./lake
stream:
  - {name: octopus, exchange: octopus, symbols: [BTC/USDT], data_types: [marks], span: 1m}
"""
ASSETS = """
import json
from dccd_pipeline.definitions import defs
specs = {spec.key.to_user_string(): spec for spec in defs.resolve_all_asset_specs()}
said = specs["octopus/marks/BTC-USDT/1m"].metadata["dagster/column_schema"]
print(json.dumps({column.name: column.description for column in said.columns}))
"""


@dataclass(frozen=True)
class Project:
    """A copy of the sources, with the data type and the exchange in it."""

    root: Path

    def change(self, path: Path, old: str, new: str) -> None:
        text = (self.root / path).read_text()
        assert text.count(old) == 1, f"{path} has changed: {old}"
        (self.root / path).write_text(text.replace(old, new))

    def run(self, *words: str, config: str = COLLECT) -> tuple[int, str]:
        """Run ``python`` there; return its exit code and what it says."""
        (self.root / "dccd.yaml").write_text(config)
        kept = {"PATH", "HOME", "TMPDIR", "LANG"}
        own = {"DCCD_STATE_DIR": str(self.root / "state")}
        done = subprocess.run(
            [sys.executable, *words],
            cwd=self.root,
            env={name: value for name, value in os.environ.items() if name in kept} | own,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        return done.returncode, done.stdout + done.stderr

    def dccd(self, *words: str, config: str = COLLECT) -> tuple[int, str]:
        return self.run("-m", "dccd_pipeline", *words, config=config)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    for name in SOURCES:
        shutil.copytree(ROOT / name, tmp_path / name)  # what is compiled is kept: it saves half the time
    for name, home in HOMES.items():
        shutil.copy(MADE_UP / name, tmp_path / home / name)
    made = Project(tmp_path)
    made.change(EXCHANGES, "NAMES: Final = (\n", 'NAMES: Final = (\n    "octopus",\n')
    made.change(TABLES, IMPORT, f"{IMPORT}marks, ")
    made.change(TABLES, LINE, f"{LINE}    MARKS = marks.TABLE\n")
    return made


def test_it_may_be_configured_and_its_asset_describes_it(project: Project) -> None:
    code, said = project.dccd("config", "schema")
    assert code == 0, said
    named = json.loads(said)["$defs"]
    assert "marks" in named["TypedEntry"]["properties"]["data_type"]["enum"]
    assert "marks" in named["StreamEntry"]["properties"]["data_types"]["items"]["enum"]
    for config, words in ((COLLECT, "1 entry, 1 dataset"), (STREAM, "1 stream, 1 dataset")):
        code, said = project.dccd("config", "check", config=config)
        assert code == 0, said
        assert words in said
    code, said = project.run("-c", ASSETS)
    assert code == 0, said
    assert json.loads(said.splitlines()[-1]) == {"ts": "the minute, UTC", "mark": "the mark price at its end"}


def test_the_commands_know_it(project: Project) -> None:
    code, said = project.dccd("exchanges", "octopus", "--json")
    assert code == 0, said
    [row] = [row for row in json.loads(said) if row["data_type"] == "marks"]
    assert (row["reach"], row["spans"], row["live"]) == ("full history", ["1m"], "final mark prices")
    code, said = project.dccd("read", "octopus", "BTC/USDT", "--data-type", "marks", "--span", "1m")
    assert code == 2
    assert "the lake holds nothing of octopus/marks/BTC-USDT/1m" in said


@pytest.mark.parametrize(
    ("path", "old", "config", "named"),
    [
        (HOMES["octopus.py"] / "octopus.py", "MARKS: Endpoint(", COLLECT, "octopus serves no marks"),
        (HOMES["octopus_live.py"] / "octopus_live.py", "MARKS: Channel(", STREAM, "octopus pushes no marks"),
        (TABLES, "    MARKS = marks.TABLE\n", COLLECT, "'marks' is not a valid DataType"),
    ],
    ids=["endpoint", "channel", "line"],
)
def test_what_is_left_out_is_named(project: Project, path: Path, old: str, config: str, named: str) -> None:
    project.change(path, old, old.replace("MARKS:", "list(DataType)[0]:") if "MARKS:" in old else "")
    code, said = project.dccd("config", "check", config=config)
    assert code != 0
    assert named in said, said


def test_a_file_without_its_line_is_found_before_anybody_asks(project: Project) -> None:
    (project.root / ARCHITECTURE).parent.mkdir(parents=True)
    shutil.copy(ROOT / ARCHITECTURE, project.root / ARCHITECTURE)
    (project.root / "pytest.ini").write_text("[pytest]\n")
    suite = ("-m", "pytest", "-q", "-c", "pytest.ini", str(ARCHITECTURE), "-k", "line")
    assert project.run(*suite)[0] == 0
    project.change(TABLES, "    MARKS = marks.TABLE\n", "")
    code, said = project.run(*suite)
    assert code == 1
    assert "marks has no line in dccd_core/tables/__init__.py" in said


def test_a_line_without_its_file_is_named(project: Project) -> None:
    (project.root / HOMES["marks.py"] / "marks.py").unlink()
    code, said = project.dccd("config", "check")
    assert code != 0
    assert "cannot import name 'marks'" in said
