"""Paging: each row once, whatever the size of the pages and however rows repeat or come out of order."""

import io
from email.utils import format_datetime
from random import Random

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dccd_core.adapter.contract import Cursor, Endpoint, IdWindows, Query, Request, Response, TimeWindows
from dccd_core.domain.datatype import TABLES, TIME, DataType
from dccd_core.domain.errors import PagingError
from dccd_core.domain.timespan import DAY, MINUTE, SECOND, WEEK, TimeRange, Us, moment
from dccd_core.fetch.pager import BarWalk, IdWalk, Page, Walk, bar_walks, id_walks

LATE = Us(100 * DAY)
SETTLE = Us(5 * SECOND)


def bars(opens: list[int]) -> pl.DataFrame:
    ts = pl.Series(opens, dtype=pl.Int64).cast(TIME)
    return pl.DataFrame({"ts": ts}).select(
        "ts",
        *(pl.lit(1.0).alias(name) for name in ("open", "high", "low", "close", "volume", "quote_volume")),
        pl.lit(1, dtype=pl.Int64).alias("trades"),
    )


def trades(rows: list[tuple[int, int]]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "ts": pl.Series([ts for _, ts in rows], dtype=pl.Int64).cast(TIME),
            "price": [1.0] * len(rows),
            "amount": [1.0] * len(rows),
            "side": ["buy"] * len(rows),
            "trade_id": [str(number) for number, _ in rows],
            "received": [None] * len(rows),
        },
        schema=TABLES[DataType.TRADES].schema,
    )


def packed(rows: pl.DataFrame) -> bytes:
    file = io.BytesIO()
    rows.write_ipc(file)
    return file.getvalue()


def request(query: Query) -> Request:
    return Request(
        "/rows",
        {
            "start": str(query.span.start),
            "end": str(query.span.end),
            "id": str(query.first_id),
            "n": str(query.limit),
            "skip": str(query.skip),
        },
    )


def endpoint(paging: TimeWindows | IdWindows | Cursor) -> Endpoint:
    return Endpoint(
        docs="",
        path="/rows",
        page_limit=5,
        paging=paging,
        request=request,
        decode=lambda body, _: pl.read_ipc(io.BytesIO(body)).sort("ts", maintain_order=True),
    )


BARS = endpoint(TimeWindows())
TRADES = endpoint(IdWindows(before=request))


def answer(rows: pl.DataFrame, at: Us = LATE) -> Response:
    return Response(200, {"date": http_date(at)}, packed(rows), at)


def http_date(at: Us) -> str:
    return format_datetime(moment(at), usegmt=True)


def got(page: Page | None) -> Page:
    assert page is not None
    return page


def bars_asked(asked: Request, opens: list[int]) -> list[int]:
    start, end = int(asked.params["start"]), int(asked.params["end"])
    return [at for at in opens if start <= at < end][: int(asked.params["n"])]


def walk_bars(walk: Walk, opens: list[int], chance: Random, now: Us = LATE) -> list[Page]:
    """Follow ``walk`` against a venue that cuts, repeats and shuffles its pages as it likes."""
    pages: list[Page] = []
    while (asked := walk.request()) is not None:
        rows = bars_asked(asked, opens)
        rows = rows[: chance.randint(1, len(rows))] if rows else rows
        rows = rows + chance.choices(rows, k=chance.randint(0, 3)) if rows else rows
        chance.shuffle(rows)
        pages.append(got(walk.receive(answer(bars(rows), now))))
    return pages


@given(
    held=st.sets(st.integers(0, 59)),
    start=st.integers(0, 30 * MINUTE),
    minutes=st.integers(0, 30),
    limit=st.integers(1, 7),
    chance=st.randoms(use_true_random=False),
)
def test_bars_come_once_and_in_order(
    held: set[int], start: int, minutes: int, limit: int, chance: Random
) -> None:
    opens = sorted(minute * MINUTE for minute in held)
    span = TimeRange(Us(start), Us(start + minutes * MINUTE))
    walks = bar_walks(BARS, Query("X", span, limit, bar=MINUTE), SETTLE)
    pages = [page for walk in walks for page in walk_bars(walk, opens, chance)]
    got = [at for page in pages for at in page.rows["ts"].to_physical()]
    assert got == [at for at in opens if span.start <= at < span.end]
    assert not any(page.cut for page in pages)


@pytest.mark.parametrize("second", range(0, 130, 7))
def test_the_running_bar_is_never_given(second: int) -> None:
    """At any moment of a minute: what is given closed at least ``settle`` before the venue's own clock."""
    now = Us(10 * MINUTE + second * SECOND)
    opens = [minute * MINUTE for minute in range(13)]
    walk = BarWalk(BARS, Query("X", TimeRange(Us(0), Us(13 * MINUTE)), 20, bar=MINUTE), SETTLE)
    pages = walk_bars(walk, [at for at in opens if at <= now], Random(second), now)
    assert pages[-1].cut
    assert [at for page in pages for at in page.rows["ts"].to_physical()] == [
        at for at in opens if at + MINUTE + SETTLE <= now
    ]
    assert pages[-1].until + MINUTE + SETTLE > now


def test_the_venues_clock_decides_not_ours() -> None:
    walk = BarWalk(BARS, Query("X", TimeRange(Us(0), Us(5 * MINUTE)), 5, bar=MINUTE), SETTLE)
    headers = {"date": "Thu, 01 Jan 1970 00:03:10 GMT"}
    rows = packed(bars([minute * MINUTE for minute in range(5)]))
    page = got(walk.receive(Response(200, headers, rows, received=LATE)))
    assert page.rows.height == 3
    assert page.cut


def test_weeks_open_on_monday() -> None:
    span = TimeRange(Us(0), Us(30 * DAY))
    [walk] = bar_walks(BARS, Query("X", span, 10, bar=WEEK), SETTLE)
    asked = walk.request()
    assert asked is not None
    assert int(asked.params["start"]) == 4 * DAY


def walk_trades(walk: IdWalk, rows: list[tuple[int, int]], chance: Random) -> list[Page]:
    pages: list[Page] = []
    while (asked := walk.request()) is not None:
        page = [row for row in rows if row[0] >= int(asked.params["id"])][: int(asked.params["n"])]
        page = page[: chance.randint(1, len(page))] if page else page
        pages.append(got(walk.receive(answer(trades(page + chance.choices(page, k=2) if page else page)))))
    return pages


@given(
    gaps=st.lists(st.integers(1, 3), max_size=60),
    ties=st.lists(st.integers(0, 2), min_size=60, max_size=60),
    limit=st.integers(1, 7),
    chance=st.randoms(use_true_random=False),
)
def test_trades_come_once_and_in_order_of_id(
    gaps: list[int], ties: list[int], limit: int, chance: Random
) -> None:
    rows: list[tuple[int, int]] = []
    for gap, tie in zip(gaps, ties, strict=False):
        number, ts = rows[-1] if rows else (100, 1_000)
        rows.append((number + gap, ts + tie))
    ids = range(101, rows[-1][0] + 1) if rows else range(0)
    span = TimeRange(Us(0), Us(10_000))
    walks = id_walks(TRADES, Query("X", span, limit), ids)
    got = [i for walk in walks for page in walk_trades(walk, rows, chance) for i in page.rows["trade_id"]]
    assert got == [str(number) for number, _ in rows]


def test_ten_is_not_before_nine() -> None:
    rows = [(number, 1_000) for number in range(8, 12)]
    walk = IdWalk(TRADES, Query("X", TimeRange(Us(0), Us(9_999)), 5), range(8, 12))
    page = got(walk.receive(answer(trades(rows))))
    assert page.rows["trade_id"].to_list() == ["8", "9", "10", "11"]


def test_an_answer_that_ignores_the_id_is_an_error() -> None:
    walk = IdWalk(TRADES, Query("X", TimeRange(Us(0), Us(9_999)), 5), range(8, 12))
    with pytest.raises(PagingError, match="asked from id 8, answered from 3"):
        walk.receive(answer(trades([(3, 1), (4, 2)])))
    assert walk.request() is not None, "the walk must be able to ask again"


def test_bars_of_another_time_are_an_error_not_an_empty_page() -> None:
    walk = BarWalk(BARS, Query("X", TimeRange(Us(0), Us(5 * MINUTE)), 5, bar=MINUTE), SETTLE)
    with pytest.raises(PagingError, match="answered from 1970-01-01 00:07"):
        walk.receive(answer(bars([7 * MINUTE, 8 * MINUTE])))
    assert walk.request() is not None, "the walk must be able to ask again"
    assert got(walk.receive(answer(bars([4 * MINUTE, 5 * MINUTE])))).rows.height == 1


def test_rows_beyond_the_window_belong_to_the_next_one() -> None:
    walk = IdWalk(TRADES, Query("X", TimeRange(Us(0), Us(9_999)), 5), range(8, 10))
    page = got(walk.receive(answer(trades([(8, 1), (9, 2), (10, 3), (11, 4)]))))
    assert page.rows["trade_id"].to_list() == ["8", "9"]
    assert walk.request() is None


def test_a_trade_out_of_time_is_a_stray_never_lost() -> None:
    span = TimeRange(Us(1_000), Us(2_000))
    walk = IdWalk(TRADES, Query("X", span, 5), range(1, 5))
    page = got(walk.receive(answer(trades([(1, 999), (2, 1_000), (3, 1_999), (4, 2_000)]))))
    assert page.rows["trade_id"].to_list() == ["2", "3"]
    assert page.strays is not None
    assert page.strays["trade_id"].to_list() == ["1", "4"]
