"""What docs/from-dccd.md says: its rows, and the calls in them. The document itself is what is tested."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import msgspec
import yaml

from tests.e2e.project import ROOT

DOCUMENT: Final = ROOT / "docs" / "from-dccd.md"
_CODE: Final = re.compile(r"`([^`]+)`")
_LINK: Final = re.compile(r"\[[^\]]+\]\(#([^)]+)\)")
_FENCED: Final = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
_YAML: Final = re.compile(r"[a-z_]+: .+")
_WORDS: Final = ("start", "collect", "stream", "error", "dccd.yaml", "--dry-run", "-c")
"""What stands as code in a sentence and is no call."""
_SAID: Final = ("not offered", "nothing is to be done", "the entry stands under", "names the file")
"""How rows answer that need no call."""


class Kind(StrEnum):
    """How a call is made."""

    COMMAND = "command"
    GRAPHQL = "graphql"
    PYTHON = "python"
    PAGE = "page"
    YAML = "yaml"


@dataclass(frozen=True, slots=True)
class Call:
    """Something to do. ``text``: the command, the expression, the path, the keys; of GraphQL its name."""

    kind: Kind
    text: str


@dataclass(frozen=True, slots=True)
class Row:
    """What dccd did, and what is said of it here."""

    section: str
    old: str
    here: str
    calls: tuple[Call, ...]

    def __str__(self) -> str:
        return f"{self.section}: {self.old}".replace("`", "")

    @property
    def answered(self) -> bool:
        return bool(self.calls) or any(said in self.here for said in _SAID)


@dataclass(frozen=True, slots=True)
class GraphQL:
    """A query, and its variables as they are written."""

    query: str
    variables: Mapping[str, Any]


def text() -> str:
    return DOCUMENT.read_text()


def rows() -> list[Row]:
    """Return the rows of all tables, in order."""
    return list(_rows())


def _rows() -> Iterator[Row]:
    section = ""
    for line in text().splitlines():
        if line.startswith("#"):
            section = line.strip("# ")
        cells = [cell.strip() for cell in line.strip("|").split(" | ")] if line.startswith("| ") else []
        if len(cells) == 2 and not cells[0].startswith("dccd "):
            yield Row(section, cells[0], cells[1], tuple(_calls(cells[1])))


def _calls(cell: str) -> Iterator[Call]:
    for code in _CODE.findall(cell):
        if code not in _WORDS and not code.startswith(("$", "GET ", "pipelineRunLogs", "/graphql")):
            yield Call(_kind(code), code)
    yield from (Call(Kind.GRAPHQL, name) for name in _LINK.findall(cell))


def _kind(code: str) -> Kind:
    if code.startswith(("dccd ", "dagster-webserver ")):
        return Kind.COMMAND
    if code.startswith("/"):
        return Kind.PAGE
    if code.startswith(("lake.", "await lake.", "Lake(")):
        return Kind.PYTHON
    if _YAML.fullmatch(code):
        return Kind.YAML
    msg = f"{code!r} is no call that the test knows"
    raise AssertionError(msg)


def calls(kind: Kind) -> list[str]:
    """Return each call of a kind once, in order."""
    found = [call.text for row in rows() for call in row.calls if call.kind is kind]
    return list(dict.fromkeys(found))


def graphql() -> dict[str, GraphQL]:
    """Return the calls of the last part by what links call them."""
    parts = text().split("\n## The calls\n")[1].split("\n### ")[1:]
    found = dict[str, GraphQL]()
    for part in parts:
        title, _, rest = part.partition("\n")
        blocks = dict(_FENCED.findall(rest))
        variables = msgspec.json.decode(blocks.get("json", "{}"))
        found[anchor(title)] = GraphQL(blocks["graphql"], variables)
    return found


def anchor(title: str) -> str:
    """Return what a heading is linked to by."""
    return re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-")


def configuration() -> dict[str, Any]:
    """Return the dccd.yaml that the calls are written for."""
    blocks = dict(_FENCED.findall(text().split("\n## ")[0]))
    found: dict[str, Any] = yaml.safe_load(blocks["yaml"])
    return found
