"""Pictures of prices and rows, as SVG. Matplotlib draws them, imported when it does.

See https://matplotlib.org/stable/api/index.html
"""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import polars as pl

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import DAY, TimeRange, Us
from dccd_core.lake.lake import LakeStore

if TYPE_CHECKING:
    from datetime import date

DAYS: Final = 90
_PRICES: Final = ("close", "price")
"""Columns that hold the last price, where a table has one."""


def chart(lake: LakeStore, dataset: Dataset, until: Us) -> str:
    """Draw the last price and the number of rows of each of the last days; empty where there is none.

    What only remotes hold is not brought back for it.
    """
    table = dataset.data_type.table
    price = next((name for name in _PRICES if name in table.schema and not table.pictures), None)
    if price is None:
        return ""
    span = TimeRange(Us(until - DAYS * DAY), until)
    if lake.elsewhere(dataset, span):
        return ""
    day, last = pl.col("ts").dt.date().alias("day"), pl.col(price).last()
    rows = lake.scan(dataset, span).group_by(day).agg(last.alias("price"), pl.len().alias("rows"))
    daily = rows.sort("day").collect(engine="streaming")
    if daily.height < 2:
        return ""
    return _draw(str(dataset), dataset.symbol.quote, *(daily[name].to_list() for name in daily.columns))


def _draw(
    title: str, quote: str, days: "Sequence[date]", prices: Sequence[float], rows: Sequence[int]
) -> str:
    from matplotlib.backends.backend_svg import FigureCanvasSVG  # noqa: PLC0415 -- it takes long
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(5.2, 3.0), layout="constrained")
    FigureCanvasSVG(figure)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    above.plot(days, prices, linewidth=1.2, color="#2f7d9e")
    above.set_title(title, fontsize=9)
    above.set_ylabel(f"last price, {quote}", fontsize=8)
    below.bar(days, rows, width=0.9, color="#8a97a8")
    below.set_ylabel("rows a day", fontsize=8)
    locator = AutoDateLocator()
    below.xaxis.set_major_locator(locator)
    below.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    for axes in (above, below):
        axes.tick_params(labelsize=7)
        axes.spines[["top", "right"]].set_visible(b=False)
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()[text.getvalue().index("<svg") :]
