"""Small pictures of numbers over time, for metadata. Matplotlib draws them, imported when it first does.

Belongs here: axes, units, a small PNG. Does not: which numbers.
See https://matplotlib.org/stable/api/figure_api.html
"""

import base64
import io
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Final

import polars as pl

from dccd_core.domain.timespan import DAY

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg

SIZE: Final = (460, 150)
"""Width and height of a picture."""
_DPI: Final = 100
_COLOURS: Final = 8
"""Dagster keeps each picture for ever: with these few it has 3 kB."""
_DRAWING: Final = Lock()


def picture(name: str, axis: str, times: pl.Series, values: pl.Series) -> str:
    """Draw values over time as a small PNG inside a Markdown image.

    Args:
        name: what is said where pictures are not shown.
        axis: what the values are, with their unit.
        times: datetimes, UTC.
        values: one for each time.
    """
    return f"![{name}](data:image/png;base64,{base64.b64encode(_png(axis, times, values)).decode()})"


def _png(axis: str, times: pl.Series, values: pl.Series) -> bytes:
    from PIL import Image  # noqa: PLC0415 -- it takes long

    with _DRAWING:  # one sheet serves all: to set up axes takes longer than to draw on them
        canvas, axes = _sheet()
        axes.set_title(axis, loc="left", fontsize=7)
        (line,) = axes.get_lines()
        line.set_data((times.to_physical() / DAY).to_numpy(), values.to_numpy())
        axes.relim()
        axes.autoscale_view()
        canvas.draw()
        drawn = Image.frombytes("RGBA", canvas.get_width_height(), bytes(canvas.buffer_rgba()))
    few = drawn.convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)
    file = io.BytesIO()
    few.save(file, "PNG", optimize=True)
    return file.getvalue()


@cache
def _sheet() -> "tuple[FigureCanvasAgg, Axes]":
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    width, height = SIZE
    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI)
    axes = figure.add_axes((0.15, 0.25, 0.83, 0.62))
    axes.plot([], [], linewidth=1, color="#4f43dd", antialiased=False)
    locator = AutoDateLocator()
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axes.ticklabel_format(axis="y", style="plain", useOffset=False)
    axes.tick_params(labelsize=7)
    axes.xaxis.get_offset_text().set_fontsize(7)
    axes.spines[["top", "right"]].set_visible(b=False)
    return FigureCanvasAgg(figure), axes
