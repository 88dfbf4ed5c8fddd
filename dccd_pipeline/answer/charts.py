"""Pictures of prices and rows, as SVG. Matplotlib draws them, imported when it does.

See https://matplotlib.org/stable/api/index.html
"""

import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, cast

import polars as pl

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import DAY, TimeRange, Us
from dccd_core.lake.lake import LakeStore

if TYPE_CHECKING:
    from datetime import date

DAYS: Final = 90
_PRICES: Final = ("close", "price")
"""Columns that hold the last price, where a table has one."""
_INK: Final = "#010203"
"""Stands for the colour of the page's text, which is another one in the dark."""
_INKED: Final = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
_FEW: Final = 8
"""Of fewer days each one is marked."""


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
    daily = daily.upsample("day", every="1d")  # so no line leads over days without rows
    return _draw(str(dataset), dataset.symbol.quote, *(daily[name].to_list() for name in daily.columns))


def _draw(
    title: str,
    quote: str,
    days: "Sequence[date]",
    prices: Sequence[float | None],
    rows: Sequence[int | None],
) -> str:
    import matplotlib as mpl  # noqa: PLC0415 -- it takes long
    from matplotlib.backends.backend_svg import FigureCanvasSVG  # noqa: PLC0415
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, DayLocator  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415
    from matplotlib.ticker import StrMethodFormatter  # noqa: PLC0415

    text, looks = io.StringIO(), dict.fromkeys(_INKED, _INK) | {"svg.fonttype": "none"}
    with cast("Any", mpl).rc_context(looks):
        figure = Figure(figsize=(5.2, 3.0), layout="constrained")
        FigureCanvasSVG(figure)
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
        lonely = "." if len(days) < _FEW or None in prices else ""
        line = [math.nan if price is None else price for price in prices]
        above.plot(days, line, linewidth=1.2, color="#2f8fb8", marker=lonely, markersize=4)
        above.set_title(title, fontsize=9)
        above.set_ylabel(f"last price, {quote}", fontsize=8)
        below.bar(days, [count or 0 for count in rows], width=0.9, color="#8a97a8")
        below.set_ylabel("rows a day", fontsize=8)
        below.set_xlabel(f"{days[0]} to {days[-1]}", fontsize=8)
        locator = DayLocator() if len(days) < _FEW else AutoDateLocator(maxticks=7)
        below.xaxis.set_major_locator(locator)
        below.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))
        for axes in (above, below):
            axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.10g}"))
            axes.tick_params(labelsize=7)
            axes.spines[["top", "right"]].set_visible(b=False)
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    return svg[svg.index("<svg") :].replace(_INK, "currentColor")
