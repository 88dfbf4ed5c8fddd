"""Each command imports what it needs, and no other."""

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from dccd_core.lake.lake import LakeStore
from dccd_core.quality.holes import NoCheck
from dccd_pipeline.cli.lazy import COMMANDS, main
from tests.dccd_core.lake.samples import DAY, TRADES, numbered

HEAVY = ("dagster", "boto3", "dccd_core.testing", "httpx", "picows")
CODE = """
import sys
from dccd_pipeline.cli.lazy import main
try:
    main(sys.argv[1:])
except SystemExit as e:
    print("exit", e.code)
print("heavy", [name for name in {heavy} if name in sys.modules])
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "dccd.yaml").write_text(
        "collect: [{exchange: binance, symbols: [BTC/USDT], data_type: trades, start: 2024-01-01}]\n"
    )
    with LakeStore(tmp_path / "data").draft(TRADES, DAY) as draft:
        draft.append(numbered(range(3)))
        draft.commit([], NoCheck)
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [
        "--help",
        "--version",
        "read --help",
        "read binance BTC/USDT --data-type trades",
        "inventory",
        "config check",
        "config schema",
    ],
)
def test_what_only_looks_imports_neither_dagster_nor_the_sandbox(folder: Path, command: str) -> None:
    code = CODE.replace("{heavy}", repr(HEAVY))
    done = subprocess.run(
        [sys.executable, "-c", code, *command.split()], cwd=folder, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-2:] == ["exit 0", "heavy []"], done.stdout + done.stderr


def test_help_imports_none_of_the_lake() -> None:
    code = "import sys; from dccd_pipeline.cli.lazy import main; print('polars' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_start_does_not_look_for_the_sources_of_what_it_imports() -> None:
    """0e899d4: pydantic read the strings under the fields, for which every module was asked for its file."""
    code = "import inspect; inspect.getmodule = inspect.findsource = None; import dccd_pipeline.config.read"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_records_nothing_imports_no_websocket() -> None:
    code = "import sys, dccd_pipeline.cli.main; print('dagster' in sys.modules, 'picows' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True False"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_line_of_each_command_is_its_own(name: str) -> None:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    assert COMMANDS[name][2] == command.get_short_help_str(70)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_takes_a_configuration(name: str) -> None:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    assert [one for one in leaves(command) if "-c" not in {o for p in one.params for o in p.opts}] == []


def leaves(command: click.Command) -> list[click.Command]:
    if isinstance(command, click.Group):
        return [leaf for one in command.commands.values() for leaf in leaves(one)]
    return [command]


@pytest.mark.parametrize("place", ["before", "after"])
def test_the_configuration_that_is_named_counts_for_one_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DCCD_CONFIG", "theirs.yaml")
    for name in ("mine", "theirs"):
        (tmp_path / f"{name}.yaml").write_text(f"store: ./{name}\n")
    words = ["-c", "mine.yaml", "inventory"] if place == "before" else ["inventory", "--config", "mine.yaml"]
    done = CliRunner().invoke(main, words)
    assert done.stderr.startswith(f"configuration: {tmp_path}/mine.yaml; store: {tmp_path}/mine, ")
    assert CliRunner().invoke(main, ["inventory"]).stderr.startswith("configuration: theirs.yaml; ")
    assert "configuration" not in CliRunner().invoke(main, ["inventory", "--json"]).stderr


def test_an_unknown_command_is_none() -> None:
    assert main.get_command(click.Context(main), "nothing") is None
