"""A data type is a value: what is true of one only stands in its file, and nobody else asks which one it is.

By syntax, not by text: ``DataType.X``, and a text that is the name of one.
"""

import ast
from importlib import import_module
from pathlib import Path

from dccd_core.tables import DataType, Table

ROOT = Path(__file__).parents[2]
TOPS = ("dccd_core", "dccd_pipeline")
MAY = ("tables", "exchanges", "bars", "testing")
"""Folders of the core: the values, what exchanges say, what turns one into another, made-up servers."""
HELPERS = (
    "dccd_core/adapter/frames.py",  # what exchanges decode their rows with
    "dccd_core/adapter/wire.py",
    "dccd_core/stream/bartopics.py",  # bars, live
)


def named(text: str) -> set[str]:
    """Return how a module names data types; what it says about itself does not count."""
    found = set[str]()
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Attribute(value=ast.Name("DataType"), attr=name) if name in DataType.__members__:
                found.add(f"DataType.{name}")
            case ast.Constant(value=str(name)) if name in list(DataType):
                found.add(repr(name))
            case _:
                pass
    return found


def naming() -> dict[str, set[str]]:
    sources = [path.relative_to(ROOT) for top in TOPS for path in (ROOT / top).rglob("*.py")]
    others = [
        path
        for path in sources
        if (path.parts[0] == TOPS[1] or path.parts[1] not in MAY) and path.as_posix() not in HELPERS
    ]
    found = {path.as_posix(): named((ROOT / path).read_text()) for path in others}
    return {path: names for path, names in found.items() if names}


def test_what_names_a_data_type_is_seen() -> None:
    text = (
        'if a is DataType.TRADES or a == "ohlc" or DataType(b):\n    """trades and ohlc"""\n    c = "trade"\n'
    )
    assert named(text) == {"DataType.TRADES", "'ohlc'"}
    assert all(named((ROOT / path).read_text()) for path in HELPERS), "it need not be let any more"


def test_no_data_type_is_named_outside_its_file() -> None:
    assert naming() == {}


def unregistered() -> list[str]:
    """Name the data types that have a file, but no line in the registry."""
    files = (ROOT / "dccd_core" / "tables").glob("[!_]*.py")
    found = (getattr(import_module(f"dccd_core.tables.{path.stem}"), "TABLE", None) for path in files)
    known = {one.table.name for one in DataType}
    return [one.name for one in found if isinstance(one, Table) and one.name not in known]


def test_every_file_of_a_data_type_has_its_line() -> None:
    assert [f"{name} has no line in dccd_core/tables/__init__.py" for name in unregistered()] == []
