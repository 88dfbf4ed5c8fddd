"""Charts are drawn of what is here, with axes and units."""

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
        assert f"<!-- {said} -->" in picture


def test_what_has_no_price_or_no_rows_has_no_chart(tmp_path: Path) -> None:
    lake = LakeStore(tmp_path)
    hold(lake, HOURS, "2024", bars(whole(HOURS, "2024")[:5]))
    assert chart(lake, BOOKS, UNTIL) == ""
    assert chart(lake, HOURS, UNTIL) == "", "rows of a single day, and that is long ago"
    assert chart(lake, replace(HOURS, exchange="okx"), Us(UNTIL)) == ""
