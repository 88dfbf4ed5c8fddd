"""Markdown from values: tables, code, docstrings. Pure."""

import re
from collections.abc import Iterable, Iterator, Sequence
from inspect import cleandoc

_SECTION = re.compile(r"(Args|Returns|Raises|Yields):")
_ITEM = re.compile(r"(\*{0,2}[\w, ]+): (.*)", re.DOTALL)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; a line that begins another one, or a bar, does not break a cell."""
    lines = (head, ["---"] * len(head), *rows)
    return "".join(f"| {' | '.join(_cell(one) for one in line)} |\n" for line in lines)


def code(value: object) -> str:
    """Write something as it is typed.

    >>> code("1m"), code(None)
    ('`1m`', '')
    """
    return "" if value in (None, "") else f"`{value}`"


def anchor(title: str) -> str:
    """Return what a heading is linked to by.

    >>> anchor("The file"), anchor("exchanges.NAME"), anchor("Where both sides differ?")
    ('the-file', 'exchangesname', 'where-both-sides-differ')
    """
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", title).strip().lower())


def prose(text: str | None) -> str:
    """Return what a docstring or a help text says, as Markdown.

    >>> prose("Addresses of ``apprise``, or <others>.")
    'Addresses of `apprise`, or &lt;others>.'
    """
    parts = cleandoc(text or "").replace("\b\n", "").replace("``", "`").split("`")
    return "`".join(one if at % 2 else one.replace("<", "&lt;") for at, one in enumerate(parts))


def docstring(text: str | None) -> str:
    """Return a docstring in Google's form: what it takes and raises become lists."""
    return "\n\n".join(_paragraphs(prose(text)))


def _paragraphs(text: str) -> Iterator[str]:
    for part in text.split("\n\n"):
        first, _, rest = part.partition("\n")
        if _SECTION.fullmatch(first):
            yield f"{first}\n\n" + "\n".join(_items(rest))
        elif part.startswith(">>> "):
            yield f"```pycon\n{part}\n```"
        else:
            yield part


def _items(text: str) -> Iterator[str]:
    """Yield a line for each ``name: what it is``, which may go on in lines that stand further in."""
    for one in re.split(r"\n(?! )", cleandoc(text)):
        joined = " ".join(one.split())
        found = _ITEM.fullmatch(joined)
        yield f"- `{found[1]}`: {found[2]}" if found else f"- {joined}"


def _cell(text: str) -> str:
    one = " ".join(text.split())
    parts = one.split("`")
    return "`".join(part if at % 2 else part.replace("|", "&#124;") for at, part in enumerate(parts))
