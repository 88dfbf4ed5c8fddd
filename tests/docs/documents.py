"""The documents of the repository, and what stands in them."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from docs.hooks.markdown import anchor

ROOT: Final = Path(__file__).parents[2]
ALL: Final = sorted(
    str(one.relative_to(ROOT))
    for one in (*(ROOT / "docs").rglob("*.md"), *(ROOT / one for one in ("README.md", "CONTRIBUTING.md")))
)
_FENCED: Final = re.compile(r"(?m)^( *)```(\w*)\n(.*?)^\1```", re.DOTALL)
_INLINE: Final = re.compile(r"`(dccd [^`]+)`")
_HEADING: Final = re.compile(r"(?m)^#+ (.+)$")


def text(document: str) -> str:
    return (ROOT / document).read_text("utf-8")


def blocks(document: str, language: str) -> list[str]:
    """Return the fenced blocks of a language."""
    return [found[3] for found in _FENCED.finditer(text(document)) if found[2] == language]


def commands(document: str) -> Iterator[list[str]]:
    """Yield the words of each ``dccd`` command that a document names, in blocks and in sentences."""
    for block in blocks(document, "sh"):
        yield from (words for line in block.replace("\\\n", " ").splitlines() for words in _commands(line))
    sentences = _FENCED.sub("", text(document))
    yield from (words for found in _INLINE.findall(sentences) for words in _commands(found))


def _commands(line: str) -> Iterator[list[str]]:
    """Split a line at what a shell splits it at, and yield what is ours."""
    if not line.startswith("dccd "):
        return
    plain = re.sub(r"[\[\]…]", " ", line).replace("|", " | ")
    lexer = shlex.shlex(plain, posix=True, punctuation_chars="&;<>")
    lexer.whitespace_split = True
    words = list(lexer)
    end = next((at for at, word in enumerate(words) if word in ("||", "&&", "&", ";", ">", "|")), len(words))
    yield words[:end]


def anchors(markdown: str) -> set[str]:
    """Return what the headings of a document are linked to by."""
    found = _HEADING.findall(_FENCED.sub("", markdown))
    return {anchor(re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", one)) for one in found}
