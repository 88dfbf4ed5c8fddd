import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dccd_pipeline.cli import render
from dccd_pipeline.cli.long_table import long_table

HEAD = ("dataset", "rows", "why")
ROW = ("binance/trades/BTC-USDT", "1,234", "a [green]word[/] of 2024-01-01T00:00:00Z")
CELLS = st.text(st.sampled_from("aé語 []/:-1"), max_size=6).map(lambda text: escape(text.strip()))
ROWS = st.lists(st.tuples(CELLS, CELLS, CELLS | st.just("[red]degraded[/]")), min_size=1, max_size=5)


def by_rich(rows: list[tuple[str, str, str]], numbers: tuple[str, ...], *, colours: bool = False) -> str:
    text = io.StringIO()
    drawn = Table()
    for name in HEAD:
        drawn.add_column(name, justify="right" if name in numbers else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*row)
    Console(file=text, highlight=False, width=80, force_terminal=colours).print(drawn)
    return text.getvalue()


def by_us(rows: list[tuple[str, str, str]], numbers: tuple[str, ...], *, colours: bool = False) -> str:
    text = io.StringIO()
    console = Console(file=text, highlight=False, width=80, force_terminal=colours)
    console.print(long_table(console, HEAD, rows, numbers), soft_wrap=True)
    return text.getvalue()


@given(rows=ROWS, numbers=st.sampled_from([(), ("rows",), HEAD]))
def test_it_looks_as_if_rich_had_drawn_it(rows: list[tuple[str, str, str]], numbers: tuple[str, ...]) -> None:
    assert by_us(rows, numbers) == by_rich(rows, numbers)


def test_colours_are_those_of_the_cells() -> None:
    assert "\x1b[32mword\x1b[0m" in by_us([ROW], (), colours=True)
    assert "\x1b[1mdataset" in by_us([ROW], (), colours=True)


@pytest.mark.parametrize("cell", ["wide " * 12, "two\nlines"])
def test_what_must_be_folded_is_left_to_rich(cell: str) -> None:
    assert long_table(Console(width=80), HEAD, [ROW, ("a", "1", cell)], ()) is None


@pytest.mark.parametrize("cell", ["short", "wide " * 12])
def test_a_table_of_many_rows_has_each_of_them_and_its_title(
    cell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = io.StringIO()
    monkeypatch.setattr(render, "OUT", Console(file=text, highlight=False, width=80))
    render.table("1,001 datasets", HEAD, [ROW, *([("a", "1", cell)] * 1_000)], ("rows",))
    first, *lines = text.getvalue().splitlines()
    assert first.rstrip() == "1,001 datasets"
    assert sum(line.startswith("│ a ") for line in lines) == 1_000
