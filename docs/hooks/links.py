"""Links between pages, and from them to what lies elsewhere in the repository. Pure.

On GitHub the documents are read where they lie; in the site what they name has to be brought along.
"""

import posixpath
import re
from collections.abc import Iterator
from typing import Final

_LINK: Final = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)#\s]+)(#[^)\s]*)?(?=\))")
_FENCED: Final = re.compile(r"(?ms)^ *(```+).*?^ *\1")
_ROOT: Final = "docs"
BROUGHT: Final = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
"""Documents of the repository that are pages of the site, too."""
_FOLDERS: Final = {"decisions": "decisions/index.md"}
_OUTSIDE: Final = re.compile(r"<(?:script|img|iframe|link)\b[^>]*\b(?:src|href)=[\"']?(https?:)?//[^>]*>")
_CANONICAL: Final = 'rel="canonical"'


def links(text: str) -> Iterator[tuple[str, str]]:
    """Yield what a document links to in the repository, and the anchor there; code is left out."""
    for found in _LINK.finditer(_FENCED.sub("", text)):
        yield found[1], found[2] or ""


def place(document: str, link: str) -> str:
    """Return the path in the repository that a document's link leads to.

    >>> place("docs/howto/a.md", "../lake.md"), place("README.md", "docs/lake.md")
    ('docs/lake.md', 'docs/lake.md')
    """
    return posixpath.normpath(posixpath.join(posixpath.dirname(document), link))


def in_site(path: str) -> str:
    """Return where in the site something of the repository is.

    >>> in_site("docs/lake.md"), in_site("deploy/nginx.conf"), in_site("CHANGELOG.md")
    ('lake.md', 'files/deploy/nginx.conf', 'changelog.md')
    """
    if path in BROUGHT:
        return BROUGHT[path]
    below = path.removeprefix(f"{_ROOT}/")
    return _FOLDERS.get(below, below) if path.startswith(f"{_ROOT}/") else f"files/{path}"


def outside(document: str, text: str) -> set[str]:
    """Return the files that are no pages, and that a document links to."""
    found = {place(document, link) for link, _ in links(text)}
    return {path for path in found if not path.startswith(f"{_ROOT}/") and path not in BROUGHT}


def linked(document: str, text: str) -> str:
    """Return a document whose links lead to where things are in the site."""
    here = posixpath.dirname(in_site(document))

    def lead(found: re.Match[str]) -> str:
        target = in_site(place(document, found[1]))
        return posixpath.relpath(target, here or ".") + (found[2] or "")

    return _LINK.sub(lead, text)


def loaded_from_elsewhere(html: str) -> list[str]:
    """Return the tags of a page that would load something from another server.

    >>> loaded_from_elsewhere('<a href="https://x.org">x</a><script src="https://x.org/x.js"></script>')
    ['<script src="https://x.org/x.js">']
    """
    return [found[0] for found in _OUTSIDE.finditer(html) if _CANONICAL not in found[0]]
