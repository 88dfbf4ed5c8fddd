"""Each module has its tests where it stands."""

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]


def _tests_of(module: str) -> str:
    return f"tests/{Path(module).with_name(f'test_{Path(module).name}')}"


def _without_tests() -> set[str]:
    modules = [p for top in ("dccd_core", "dccd_pipeline") for p in (ROOT / top).rglob("*.py")]
    named = (path.relative_to(ROOT) for path in modules if not path.name.startswith("__"))
    return {str(one) for one in named if not (ROOT / _tests_of(str(one))).exists()}


def test_every_module_has_its_tests_where_it_stands() -> None:
    missing = sorted(_without_tests())
    assert not missing, f"write {', '.join(_tests_of(module) for module in missing)}"
