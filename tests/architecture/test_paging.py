"""A way of paging is a value: one file and one line, and nobody else asks which one it is."""

import ast
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from dccd_core.adapter.contract import Paging
from dccd_core.fetch.paging import STYLES
from dccd_core.fetch.paging.style import PagingStyle

ROOT = Path(__file__).parents[2]
HOME = Path("dccd_core/fetch/paging")
NAMES = frozenset(kind.__name__ for kind in Paging.__subclasses__() if kind.__module__.startswith("dccd"))
MAY_NAME_THEM = (HOME, Path("dccd_core/exchanges"), Path("dccd_core/adapter/contract.py"))


def test_every_file_of_a_way_of_paging_has_its_line() -> None:
    known = {style.name for style in STYLES.values()}
    for path in sorted((ROOT / HOME).glob("*.py")):
        module = import_module(".".join((*HOME.parts, path.stem)))
        style = getattr(module, "STYLE", None)
        if isinstance(style, PagingStyle):
            assert style.name in known, f"{path.name} has no line in {HOME / '__init__.py'}"


def test_everything_that_exchange_files_may_say_has_its_file() -> None:
    described = {kind.__name__ for kind in STYLES}
    assert NAMES - described == set(), "no file in fetch/paging describes it"


def asks(tree: ast.AST) -> Iterator[int]:
    """Yield the lines that import a way of paging, or ask of a ``.paging`` what it is."""
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module="dccd_core.adapter.contract", names=names):
                if {name.name for name in names} & NAMES:
                    yield node.lineno
            case ast.Call(func=ast.Name(id="isinstance" | "type"), args=[ast.Attribute(attr="paging"), *_]):
                yield node.lineno
            case ast.Match(subject=ast.Attribute(attr="paging")):
                yield node.lineno
            case ast.Compare(left=ast.Attribute(attr="paging")):
                yield node.lineno
            case _:
                pass


def test_nobody_else_asks_how_an_endpoint_is_paged() -> None:
    files = [path for top in ("dccd_core", "dccd_pipeline") for path in (ROOT / top).rglob("*.py")]
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in sorted(files)
        if not any(path.is_relative_to(ROOT / home) for home in MAY_NAME_THEM)
        for line in asks(ast.parse(path.read_text()))
    ]
    assert found == [], "ask its PagingStyle: style_of(endpoint)"


def test_the_search_finds_what_it_looks_for() -> None:
    said = "isinstance(endpoint.paging, X)\nmatch endpoint.paging:\n  case _: pass\nendpoint.paging == X()\n"
    assert sorted(asks(ast.parse(said))) == [1, 2, 4]
    assert list(asks(ast.parse("from dccd_core.adapter.contract import Cursor, Query"))) == [1]
