"""Tables of many rows, as rich draws them: it takes half a millisecond for each, folded or not.

Belongs here: a table none of whose cells is folded. Does not: any other, which is left to rich.
"""

from collections.abc import Iterable, Sequence
from functools import cache

from rich.box import HEAVY_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.markup import render
from rich.text import Span, Text


def long_table(
    console: Console, head: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[str]
) -> Text | None:
    """Draw rows, marked up as rich reads them; None when a cell has lines, or not all fit into the console.

    Args:
        console: what it is drawn for.
        head: the names of the columns.
        rows: their cells.
        numbers: the columns that are aligned to the right.
    """
    columns = zip(head, *rows, strict=True)
    widths = [max(_width(cell) for cell in column) for column in columns]
    if sum(widths) + 3 * len(widths) + 1 > console.width or any("\n" in cell for row in rows for cell in row):
        return None
    box = HEAVY_HEAD.substitute(console.options, safe=console.safe_box)
    of = [(width, name in numbers) for name, width in zip(head, widths, strict=True)]
    wide = [width + 2 for width in widths]
    drawn = _Lines()
    drawn.add(box.get_top(wide))
    titles = [f"[bold]{name}[/]" for name in head]
    drawn.add_cells(titles, of, (f"{box.head_left} ", f" {box.head_vertical} ", f" {box.head_right}"))
    drawn.add(box.get_row(wide, "head"))
    for row in rows:
        drawn.add_cells(row, of, (f"{box.mid_left} ", f" {box.mid_vertical} ", f" {box.mid_right}"))
    drawn.add(box.get_bottom(wide))
    return Text("\n".join(drawn.lines), spans=drawn.spans)


class _Lines:
    """Lines without markup, and where in all of them which style is."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.spans: list[Span] = []
        self._at = 0

    def add(self, line: str) -> None:
        self.lines.append(line)
        self._at += len(line) + 1

    def add_cells(
        self, cells: Sequence[str], of: Iterable[tuple[int, bool]], borders: tuple[str, str, str]
    ) -> None:
        """Add a row: ``of`` each cell the width, and whether it is aligned to the right."""
        left, between, right = borders
        line = left
        for cell, (width, to_right) in zip(cells, of, strict=True):
            text, room = _read(cell), " " * (width - _width(cell))
            at = self._at + len(line) + (len(room) if to_right else 0)
            self.spans += [Span(at + one.start, at + one.end, one.style) for one in text.spans]
            line += (room + text.plain if to_right else text.plain + room) + between
        self.add(line.removesuffix(between) + right)


@cache
def _read(cell: str) -> Text:
    return render(cell) if "[" in cell or ":" in cell else Text(cell)


@cache
def _width(cell: str) -> int:
    return cell_len(_read(cell).plain)
