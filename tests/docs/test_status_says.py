"""docs/howto/status-says.md explains each line that ``dccd status`` can say."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from dccd_pipeline import answer
from tests.docs.documents import text

PAGE = text("docs/howto/status-says.md")
LEAST = 8
"""Shorter pieces of a line say nothing."""


def lines() -> Iterator[str]:
    """Yield what is fixed in each line with ``->`` that the answer is put together of, its longest part."""
    for module in ("around", "dataset", "gather", "remotes"):
        tree = ast.parse((Path(answer.__file__).with_name(f"{module}.py")).read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                parts = (one.value if isinstance(one, ast.Constant) else "" for one in node.values)
                whole = "\0".join(map(str, parts))
                before, arrow, after = whole.partition("->")
                pieces = [*before.split("\0"), *after.split("\0")[-1:]] if arrow else []
                stripped = [one.strip(" :;`(\n") for one in pieces]
                yield from [one for one in stripped if len(one) >= LEAST][:1]


@pytest.mark.parametrize("line", sorted(set(lines())))
def test_each_line_of_status_is_explained(line: str) -> None:
    assert line in PAGE, f"docs/howto/status-says.md does not explain {line!r}"


def test_there_are_lines_to_explain() -> None:
    assert {"never collected", "its schedule is stopped", "no Dagster daemon runs"} <= set(lines())
