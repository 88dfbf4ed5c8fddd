"""Each module has its tests where it stands; which ones still lack them is written here, and nowhere else."""

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
OWED: Final = {
    "dccd_core/stream/api.py",
}
"""Modules that only the tests of others reach so far. The list may get shorter, never longer."""


def _tests_of(module: str) -> str:
    return f"tests/{Path(module).with_name(f'test_{Path(module).name}')}"


def _without_tests() -> set[str]:
    modules = [p for top in ("dccd_core", "dccd_pipeline") for p in (ROOT / top).rglob("*.py")]
    named = (path.relative_to(ROOT) for path in modules if not path.name.startswith("__"))
    return {str(one) for one in named if not (ROOT / _tests_of(str(one))).exists()}


def test_every_module_has_its_tests_where_it_stands() -> None:
    missing = sorted(_without_tests() - OWED)
    assert not missing, f"write {', '.join(_tests_of(module) for module in missing)}"


def test_what_has_its_tests_is_owed_no_more() -> None:
    assert sorted(OWED - _without_tests()) == []
