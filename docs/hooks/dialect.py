"""What GitHub and the site's generator read differently, put so that both show the same. Pure."""

import re
from typing import Final

_FENCE: Final = re.compile(r" *```")
_ITEM: Final = re.compile(r"(- |\d+\. )")
_CODE: Final = re.compile(r"`[^`]+`")


def for_site(text: str) -> str:
    r"""Return a document as the generator of the site understands it.

    A list may follow a paragraph at once on GitHub; in a table's code a bar is escaped there.

    >>> for_site("So:\n- one\n- two")
    'So:\n\n- one\n- two'
    >>> for_site("| `a\\|b` |")
    '| `a|b` |'
    """
    lines, before, fenced = list[str](), "", False
    for line in text.split("\n"):
        fenced ^= bool(_FENCE.match(line))
        if not fenced and _ITEM.match(line) and _goes_on(before):
            lines.append("")
        lines.append(line if fenced or not line.startswith("| ") else _with_bars(line))
        before = line
    return "\n".join(lines)


def _goes_on(line: str) -> bool:
    """Tell whether a line is one of a paragraph: neither empty, nor of a list, nor the end of a fence."""
    return bool(line.strip()) and not _ITEM.match(line) and line[0] not in " `#"


def _with_bars(row: str) -> str:
    return _CODE.sub(lambda found: found[0].replace("\\|", "|"), row)
