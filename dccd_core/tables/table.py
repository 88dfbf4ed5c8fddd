"""What a data type is made of. Nothing here knows which ones there are."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import polars as pl

from dccd_core.domain.timespan import ZERO, Us

TIME: Final = pl.Datetime("us", "UTC")

RECEIVED: Final = "received"
"""The column, of those tables that have it, that says when a row came to us; null for what was asked for."""
ARRIVAL: Final = "_arrival"
"""A column beside those of the table while rows are put in order: the order they came in."""
_HUGE: Final = 1e24


class Grain(StrEnum):
    """The calendar length of a partition."""

    YEAR = "year"
    MONTH = "month"
    DAY = "day"


class Completeness(StrEnum):
    """How it is known that no row is missing."""

    GRID = "grid"
    """There is a row at every step of the span."""
    IDS = "ids"
    """Where the venue numbers its rows, every number is there."""
    PICTURES = "pictures"
    """Rows show how things were at a moment; they are missing while nobody looked, and wrong ones go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A data type: what its rows look like, whatever the exchange, and how they are treated.

    ``required`` columns are never null. ``key`` names the columns that tell two rows apart; where one of them
    may be null, rows without it are told apart by counting equal ones. ``received`` is our own clock's and
    tells no rows apart: where one source brings it and the other does not, it is kept.
    """

    name: str
    """What the lake, the configuration and asset keys call it."""
    title: str
    """What people call its rows."""
    row: str
    """What people call one of them."""
    schema: pl.Schema
    descriptions: Mapping[str, str]
    """What each column holds, in which unit."""
    required: tuple[str, ...]
    key: tuple[str, ...]
    order: Sequence[pl.Expr]
    """What rows are sorted by; ``ARRIVAL`` may be among it."""
    grain: Callable[[Us | None], Grain]
    """The length of a partition, by the span of a dataset."""
    completeness: Completeness
    sanity: Callable[[Us | None, bool], Mapping[str, pl.Expr]]
    """What cannot be true of a row: reasons, and the expressions that are true where they hold.

    Given are the span, and whether a row's first price is carried over from the row before it. That required
    columns are never null need not be said.
    """
    chart: str
    """The column that is drawn: a price, in the quote."""
    dictionaries: tuple[str, ...]
    """Columns whose values repeat, so that a dictionary makes them smaller. Measured."""
    bytes_per_row: int
    """As stored; measured on partitions of the sandbox. Real ones differ by what the market does."""
    tolerance: Us = ZERO
    """How far apart two sources may time one row; its key then is a name without the time."""
    last_wins: bool = False
    """Of rows with one key and different contents the last is right; otherwise none is."""
    takes_span: bool = False
    """Datasets differ by the length of a row's time, too."""
    takes_depth: bool = False
    """It has as many levels as somebody wants."""
    two_sided: bool = False
    """Its column ``side`` says bid or ask, and the best bid is to be below the best ask."""
    built_from: str | None = None
    """The data type that its rows can be computed from."""
    lineage: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """Then for each column the columns of that data type that it is computed from."""
    vast: bool = False
    """A whole history of it is so large that nobody means it who gives no start."""
    synonyms: tuple[str, ...] = ()
    """What others call it."""

    def __post_init__(self) -> None:
        if wrong := "; ".join(_contradictions(self)):
            raise ValueError(f"the table {self.name}: {wrong}")

    @property
    def numbered(self) -> bool:
        return self.completeness is Completeness.IDS

    @property
    def pictures(self) -> bool:
        """Whether it shows the present only: its past cannot be asked for, and what was wrong goes."""
        return self.completeness is Completeness.PICTURES

    @property
    def nameless(self) -> bool:
        """Whether rows may lack what tells them apart."""
        return not set(self.key) <= set(self.required)

    def empty(self) -> pl.DataFrame:
        return pl.DataFrame(schema=self.schema)


def _contradictions(table: Table) -> Iterator[str]:
    """Say where its parts do not fit together."""
    columns = set(table.schema)
    if table.schema.get("ts") != TIME or "ts" not in table.required:
        yield "ts is to be a required column of type TIME"
    described = {
        "descriptions": table.descriptions,
        "lineage": table.lineage if table.built_from else columns,
    }
    for part, told in described.items():
        yield from (f"{part} says nothing of {name}" for name in table.schema if name not in told)
    sorted_by = [name for by in table.order for name in by.meta.root_names() if name != ARRIVAL]
    named: dict[str, Iterable[str]] = {
        "descriptions": table.descriptions,
        "required": table.required,
        "key": table.key,
        "order": sorted_by,
        "chart": (table.chart,),
        "dictionaries": table.dictionaries,
        "lineage": table.lineage,
    }
    for part, names in named.items():
        yield from (f"{part} names {name}, which is no column" for name in names if name not in columns)
    yield from (f"{part} is empty" for part in ("key", "order") if not named[part])


def ascends(by: Sequence[pl.Expr]) -> pl.Expr:
    """Whether each row comes after the one before it, by the first of these that differs: no two are equal.

    A null comes after nothing, and nothing after it.
    """
    after = pl.lit(value=False)
    for of in reversed(by):
        value = of.to_physical()
        after = (value > value.shift(1)) | ((value == value.shift(1)) & after)
    return after.slice(1).fill_null(value=False).all()


def finite(name: str) -> pl.Expr:
    """Whether it is a number, and one that a market can have: no price or amount has 24 digits."""
    return pl.col(name).abs() < _HUGE


def positive(name: str) -> pl.Expr:
    return finite(name) & (pl.col(name) > 0)


def by_day(_: Us | None) -> Grain:
    return Grain.DAY
