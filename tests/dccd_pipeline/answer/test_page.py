"""The page: whole, self-contained, and safe whatever is in it."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import msgspec

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import DAY, HOUR, TimeRange, Us, parse_time
from dccd_core.lake.partition.ledger import Hole
from dccd_pipeline.answer.calendar import calendar
from dccd_pipeline.answer.gather import Answer
from dccd_pipeline.answer.page import Drawn, page
from dccd_pipeline.answer.uptime import FETCHED, Uptime
from dccd_pipeline.streams.status import StreamState
from tests.dccd_pipeline.answer.statuses import ILL, NOW, WELL
from tests.dccd_pipeline.held import HOURS, TRADES, state

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
    told = ("a verdict", "a gap", "a note", "majors", "coverage 99.9%", "longest 3 h", "here", "<svg>")
    assert [said for said in told if said not in text] == []
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


def test_what_is_around_comes_first_and_of_many_lines_most_are_folded() -> None:
    """36c92f8: of a thousand datasets that were behind a thousand lines stood before the first calendar."""
    many = [replace(ILL, problems=(f"dataset {n} -> `dccd up`",)) for n in range(1_000)]
    problems = (*(line for one in many for line in one.problems), "no daemon")
    text = page(answered(*many, problems=problems), Drawn({}, {}, ""))
    shown, _, folded = text.partition("989 lines more")
    assert shown.index("no daemon") < shown.index("dataset 0 → <code>dccd up</code>")
    assert "dataset 11" not in shown
    assert "dataset 999" in folded


def test_a_group_with_very_much_that_is_wrong_is_folded_and_what_is_wrong_comes_first() -> None:
    ill = [replace(ILL, dataset=Dataset.parse(f"okx/ohlc/C{n}-USDT/1h")) for n in range(41)]
    some = [WELL, replace(ILL, dataset=Dataset.parse("binance/ohlc/ZZ-USDT/1h"))]
    text = page(answered(*some, *ill), Drawn({}, {}, ""))
    assert text.count('<details class="group" open>') == 1
    names = re.findall(r'data-name="binance/([^"]*)"( data-well="1")?', text)
    assert names == [("ohlc/ZZ-USDT/1h", ""), ("ohlc/BTC-USDT/1h", ' data-well="1"')]


def test_rows_of_partitions_of_a_day_are_numbers_one_after_another() -> None:
    """Rows of trades of years, a day each, would be most of a page of a thousand datasets."""
    first, last = (state(TRADES, key) for key in ("2024-01-01", "2024-01-03"))
    span = TimeRange(YEAR.start, Us(YEAR.start + 3 * DAY))
    days = calendar(TRADES, {"2024-01-01": first, "2024-01-03": replace(last, rows=7)}, span)
    text = page(answered(replace(WELL, dataset=TRADES)), Drawn({TRADES: days}, {}, ""))
    assert '"rows":{},"daily":[3,0,7]' in text


def test_gaps_and_refused_rows_are_told_with_their_reasons() -> None:
    start = Us(YEAR.start + DAY)
    hole = Hole(TimeRange(start, Us(start + 2 * HOUR)), 2, reason="the exchange was away")
    days = calendar(HOURS, {"2024": state(HOURS, "2024", hole)}, YEAR)
    text = page(answered(ILL), Drawn({HOURS: days}, {}, "", refused={HOURS: {"high < low": 7}}))
    gap = '<td>2024-01-02 00:00</td><td>2024-01-02 02:00</td><td class="number">2</td>'
    assert f"{gap}<td>the exchange was away</td>" in text
    assert '<td class="number">7</td><td>high &lt; low</td>' in text
    assert "365 days proven, 1 day a gap nobody can explain" in text, "for those who cannot see it"


def test_a_stream_tells_what_it_recorded_and_why_not_the_rest() -> None:
    stream = StreamState("majors", "recording", said="recording", since=NOW)
    window = TimeRange(Us(NOW - 4 * DAY), NOW)
    silent = [
        (TimeRange(window.start, Us(window.start + DAY)), FETCHED),
        (TimeRange(Us(NOW - DAY), NOW), "<b>"),
    ]
    one = Uptime(HOURS, window, 0.5, silent)
    text = page(answered(streams=(stream,)), Drawn({}, {}, "", uptimes={"majors": [one]}))
    assert "recorded 50.0% of the time since 2024-02-26 12:30" in text
    assert '<i class=fetched style="left: 0.000%; width: 25.000%"' in text
    assert 'style="left: 75.000%; width: 25.000%"' in text
    assert "<td>1 days</td><td>&lt;b&gt;</td>" in text
