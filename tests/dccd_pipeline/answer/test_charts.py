"""Charts are drawn of what is here, with axes and units."""

import re
from dataclasses import replace
from pathlib import Path

from dccd_core.domain.timespan import Us, parse_time
from dccd_core.lake.lake import LakeStore
from dccd_pipeline.answer.charts import chart
from tests.dccd_pipeline.held import BOOKS, HOURS, bars, hold, whole

UNTIL = parse_time("2025-01-01")


def test_a_chart_says_what_its_axes_are(tmp_path: Path) -> None:
    lake = LakeStore(tmp_path)
    hold(lake, HOURS, "2024", bars(whole(HOURS, "2024")))
    picture = chart(lake, HOURS, UNTIL)
    assert picture.startswith("<svg")
    assert picture.rstrip().endswith("</svg>")
    for said in (str(HOURS), "last price, USDT", "rows a day"):
        assert f">{said}</text>" in picture
    assert "2024-10-03 to 2024-12-31" in picture, "which year it is stands nowhere else"
    assert "currentColor" in picture, "it is written on any background"
    assert "#010203" not in picture


def test_no_line_leads_over_days_without_rows(tmp_path: Path) -> None:
    """36c92f8: a month without a row was a straight line between its neighbours."""
    lake, hours = LakeStore(tmp_path), whole(HOURS, "2024")
    hold(lake, HOURS, "2024", bars([*hours[-60 * 24 : -40 * 24], *hours[-10 * 24 :]]))
    (line,) = re.findall(
        r'<path d="([^"]*)" clip-path="[^"]*" style="fill: none; stroke: #2f8fb8', chart(lake, HOURS, UNTIL)
    )
    assert line.count("M") == 2


def test_what_has_no_price_or_no_rows_has_no_chart(tmp_path: Path) -> None:
    lake = LakeStore(tmp_path)
    hold(lake, HOURS, "2024", bars(whole(HOURS, "2024")[:5]))
    assert chart(lake, BOOKS, UNTIL) == ""
    assert chart(lake, HOURS, UNTIL) == "", "rows of a single day, and that is long ago"
    assert chart(lake, replace(HOURS, exchange="okx"), Us(UNTIL)) == ""
