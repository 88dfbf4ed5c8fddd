"""Each command imports what it needs, and no other."""

import subprocess
import sys
from pathlib import Path

import click
import pytest

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


def test_an_unknown_command_is_none() -> None:
    assert main.get_command(click.Context(main), "nothing") is None
