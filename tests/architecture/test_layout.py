"""The folders tell the truth: tests mirror sources, modules stay readable, guides name what is there."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(path for top in ("dccd_core", "dccd_pipeline") for path in (ROOT / top).rglob("*.py"))
MAX_LINES = 450
FIRST_READ = ("dccd_core/fetch/fill.py", "dccd_core/exchanges/coinbase.py", "dccd_pipeline/assets/history.py")


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_a_module_is_short_and_says_what_it_is_for(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= MAX_LINES
    assert text.startswith('"""')


def test_every_test_file_stands_where_its_source_stands() -> None:
    tests = list((ROOT / "tests").glob("dccd_*/**/test_*.py"))
    assert tests
    sources = [ROOT / t.relative_to(ROOT / "tests").with_name(t.name.removeprefix("test_")) for t in tests]
    assert [name(path) for path in sources if not path.exists()] == []


def test_what_runs_alone_is_where_make_test_looks_for_it() -> None:
    """Collecting all tests a second time, to find two of them, takes as long as they do."""
    elsewhere = [path for path in (ROOT / "tests").rglob("test_*.py") if path.parent.name != "promises"]
    assert [name(path) for path in elsewhere if "pytest.mark." + "alone" in path.read_text()] == []


def test_the_three_files_to_read_first_are_named_and_short() -> None:
    guide = (ROOT / "CONTRIBUTING.md").read_text()
    for path in FIRST_READ:
        assert f"`{path}`" in guide
        assert len((ROOT / path).read_text().splitlines()) <= 330


def test_the_readme_begins_with_the_two_commands() -> None:
    commands = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("make ")]
    assert [command.split("#")[0].strip() for command in commands[:2]] == ["make demo", "make test"]


def test_the_dagster_home_of_the_repository_uses_its_dagster_yaml() -> None:
    assert (ROOT / ".dagster" / "dagster.yaml").resolve() == (ROOT / "dagster.yaml").resolve()
