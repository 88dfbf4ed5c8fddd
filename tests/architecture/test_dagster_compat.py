"""What Dagster does not promise is used in one module, and what it is called stands in one."""

import ast
from pathlib import Path

import pytest

from dccd_pipeline import dagster_compat, tags

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "dccd_pipeline").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
EXCEPTIONS = {
    # Whether Dagster reads the names that it documents as text only.
    "tests/dccd_pipeline/test_tags.py": [
        "dagster._core.definitions.data_version.DATA_VERSION_TAG",
        "dagster._core.definitions.metadata.metadata_set.TableMetadataSet",
    ],
    "tests/dccd_pipeline/runs/test_launcher.py": ["dagster._core.events.EngineEventData"],
}
"""What only tests use. ``EngineEventData``: what Dagster's launcher writes of a process it has started."""
COMPAT, TAGS = Path(dagster_compat.__file__), Path(tags.__file__)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def private(text: str) -> list[str]:
    """Return the private modules of Dagster, and of its libraries, that a module imports."""
    found = list[str]()
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.ImportFrom(module=str(module), names=names):
                found += [f"{module}.{alias.name}" for alias in names]
            case ast.Import(names=names):
                found += [alias.name for alias in names]
            case _:
                pass
    return [module for module in found if module.startswith("dagster") and "._" in module]


def tag_texts(text: str) -> list[str]:
    """Return the texts that are the name of a tag or a stored key, of ours or of Dagster's."""
    tree = ast.parse(text)
    constants = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    return [one for one in constants if isinstance(one, str) and one.startswith(("dccd/", "dagster/"))]


def test_what_is_private_and_what_is_a_tag_is_seen() -> None:
    said = "from dagster._core.x import Y\nfrom dagster import _check\nimport dagster._core, dagster as dg\n"
    assert private(said) == ["dagster._core.x.Y", "dagster._check", "dagster._core"]
    assert private(COMPAT.read_text()), "then it is of no use any more"
    assert tag_texts('a = {"dccd/x": f"dagster/{b}"}; c = "see dccd/x"') == ["dccd/x", "dagster/"]


@pytest.mark.parametrize("path", [path for path in SOURCES if path != COMPAT], ids=name)
def test_only_one_module_imports_what_dagster_keeps_to_itself(path: Path) -> None:
    assert private(path.read_text()) == [], f"import it from {name(COMPAT)}, and say there why"


@pytest.mark.parametrize("path", TESTS, ids=name)
def test_tests_import_it_from_there_too(path: Path) -> None:
    assert private(path.read_text()) == EXCEPTIONS.get(name(path), []), f"import it from {name(COMPAT)}"


@pytest.mark.parametrize("path", [path for path in SOURCES if path != TAGS], ids=name)
def test_tags_and_stored_keys_are_named_in_one_module(path: Path) -> None:
    assert tag_texts(path.read_text()) == [], f"import it from {name(TAGS)}"
