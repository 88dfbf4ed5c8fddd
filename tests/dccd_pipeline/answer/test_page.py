"""The page: whole, self-contained, and safe whatever is in it."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import msgspec

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import TimeRange, parse_time
from dccd_pipeline.answer.calendar import calendar
from dccd_pipeline.answer.gather import Answer
from dccd_pipeline.answer.page import Drawn, page
from dccd_pipeline.streams.status import StreamState
from tests.dccd_pipeline.answer.statuses import ILL, NOW, WELL
from tests.dccd_pipeline.held import HOURS, state

YEAR = TimeRange(parse_time("2024-01-01"), parse_time("2025-01-01"))


class Outline(HTMLParser):
    """Which tags there are, that each is closed, and what they load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.count = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.count += 1
        self.loads += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "input", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def answered(*datasets: object, **others: object) -> Answer:
    found = Answer(NOW, "a verdict", (), (), (WELL, ILL), (), (), ())
    return replace(found, **{"datasets": datasets, **others})  # type: ignore[arg-type]


def test_it_is_one_sound_file_that_loads_nothing() -> None:
    days = calendar(HOURS, {"2024": state(HOURS, "2024")}, YEAR)
    stream = StreamState("majors", "recording", said="recording", since=NOW)
    found = answered(
        WELL, ILL, problems=ILL.problems, notes=("a note",), streams=(stream,), unnamed=("- {}",)
    )
    text = page(found, Drawn({HOURS: days}, {"a chart": "<svg></svg>"}, "here"))
    outline = Outline(text)
    assert (outline.open, outline.loads) == ([], [])
    for said in ("a verdict", "a gap", "a note", "majors", "coverage 99.9%", "longest 3 h", "here", "<svg>"):
        assert said in text
    told = re.search(r'<script type="application/json">(\{"first".*?)</script>', text)
    assert told
    assert msgspec.json.decode(told[1])["runs"] == [["p", 366]]


def test_what_comes_from_outside_is_text() -> None:
    evil = "</script><script>alert(1)</script><b title='x'>"
    one = replace(ILL, problems=(evil,))
    notes = replace(calendar(HOURS, {"2024": state(HOURS, "2024")}, YEAR), notes={3: evil})
    stream = StreamState(evil, "failed", why=evil, said=evil)
    found = answered(one, verdict=evil, problems=(evil,), streams=(stream,))
    text = page(found, Drawn({HOURS: notes}, {evil: "<svg></svg>"}, evil))
    assert "<script>alert" not in text
    assert Outline(text).open == []


def test_a_thousand_datasets_stay_usable() -> None:
    many = [replace(WELL, dataset=Dataset.parse(f"binance/ohlc/C{n}-USDT/1h")) for n in range(999)]
    days = calendar(HOURS, {"2024": state(HOURS, "2024")}, YEAR)
    found = answered(*many, replace(ILL, dataset=Dataset.parse("okx/ohlc/BTC-USDT/1h")))
    text = page(found, Drawn({one.dataset: days for one in many}, {}, ""))
    assert len(text) < 1_500_000
    assert text.count("<details") == 2
    assert text.count('<details class="group" open>') == 1, "the group in which something is wrong"
