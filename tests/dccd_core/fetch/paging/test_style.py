"""A way of paging is one file and one line: here a made-up one, of a made-up exchange."""

import asyncio
from dataclasses import fields
from email.utils import format_datetime
from pathlib import Path

import msgspec
import polars as pl
import pytest

from dccd_core.adapter.contract import Endpoint, Exchange, Limit, Markets, Query, Request, Response
from dccd_core.adapter.wire import markets, table
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import HOUR, SECOND, TimeRange, Us, moment, parse_time
from dccd_core.fetch.estimate import estimate
from dccd_core.fetch.fill import fill
from dccd_core.fetch.paging import STYLES, style_of
from dccd_core.fetch.paging.style import PagingStyle
from dccd_core.fetch.venue import Venue
from dccd_core.lake.lake import LakeStore
from dccd_core.net.clock import ManualClock
from dccd_core.tables import TIME, DataType
from tests.dccd_core.fetch.paging import numbered_pages
from tests.dccd_core.fetch.paging.numbered_pages import NumberedPages

LISTED = parse_time("2024-01-01")
NOW = parse_time("2024-03-05T12:00:30")
ROWS = 700
KEY = "2024"
BARS = Dataset("octopus", Symbol("BTC", "USDT"), DataType.OHLC, HOUR)


def bars_request(query: Query) -> Request:
    return Request("/bars", {"page": str(query.first_id or 0), "rows": str(query.limit)})


def decode_bars(body: bytes, _: Us) -> pl.DataFrame:
    opens = msgspec.json.decode(body, type=list[int])
    ts = pl.Series(opens, dtype=pl.Int64).cast(TIME)
    same = {name: ["1.0"] * len(opens) for name in ("open", "high", "low", "close", "volume")}
    return table(DataType.OHLC, ts=ts, **same)


def decode_pairs(_: bytes) -> pl.DataFrame:
    return markets(symbol=["BTC/USDT"], market=["BTCUSDT"], active=[True])


EXCHANGE = Exchange(
    name="octopus",
    title="Octopus",
    rest_url="https://octopus.example",
    since=LISTED,
    finality_delay=Us(5 * SECOND),
    limits=(Limit(8, SECOND),),
    kinds=frozenset({"spot"}),
    market=lambda symbol: symbol.base + symbol.quote,
    verdict=lambda _: None,
    markets=Markets("https://octopus.example/docs", lambda: (Request("/pairs", {}),), decode_pairs),
    endpoints={
        DataType.OHLC: Endpoint(
            docs="https://octopus.example/docs",
            path="/bars",
            page_limit=ROWS,
            paging=NumberedPages(LISTED),
            request=bars_request,
            decode=decode_bars,
            spans=(HOUR,),
            oldest=bars_request,
        )
    },
)


class Octopus:
    """Answers as the venue would: the page with a number, up to the bar that runs."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def send(self, request: Request) -> Response:
        body = b"[]"
        if request.path == "/bars":
            self.asked.append(request.params["page"])
            first = LISTED + int(request.params["page"]) * ROWS * HOUR
            opens = [first + n * HOUR for n in range(int(request.params["rows"]))]
            body = msgspec.json.encode([at for at in opens if at <= NOW])
        return Response(200, {"date": format_datetime(moment(NOW), usegmt=True)}, body, NOW)


def unwatched(_: Dataset, __: str, ___: int, ____: Us) -> None: ...


def filled(lake: LakeStore, transport: Octopus, key: str) -> None:
    venue = Venue(EXCHANGE, transport, ManualClock(NOW))
    asyncio.run(fill(venue, lake, BARS, key, unwatched))


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STYLES, NumberedPages, numbered_pages.STYLE)


@pytest.mark.usefixtures("registered")
def test_a_way_of_paging_is_a_file_and_a_line(tmp_path: Path) -> None:
    lake, octopus = LakeStore(tmp_path), Octopus()
    filled(lake, octopus, KEY)
    opens = [at for rows in lake.chunks(BARS, KEY) for at in rows["ts"].to_physical()]
    assert opens == list(range(LISTED, NOW - HOUR, HOUR))
    assert octopus.asked[-3:] == ["0", "1", "2"]
    state = lake.state(BARS, KEY)
    assert state is not None
    assert state.ledger.covered() == [TimeRange(LISTED, Us(opens[-1] + HOUR))]
    assert list(state.ledger.gaps()) == []
    asked = len(octopus.asked)
    filled(lake, octopus, KEY)
    assert len(octopus.asked) == asked, "nothing new is due"


@pytest.mark.usefixtures("registered")
def test_a_way_of_paging_is_estimated_by_its_own_file(tmp_path: Path) -> None:
    venue = Venue(EXCHANGE, Octopus(), ManualClock(NOW))
    cost = asyncio.run(estimate(venue, LakeStore(tmp_path), BARS, KEY))
    assert cost.rows == (NOW - LISTED) // HOUR
    assert cost.requests == -(-cost.rows // ROWS)


@pytest.mark.parametrize("part", [field.name for field in fields(PagingStyle)])
def test_a_part_that_is_forgotten_is_named(part: str) -> None:
    style = numbered_pages.STYLE
    parts = {field.name: getattr(style, field.name) for field in fields(PagingStyle) if field.name != part}
    with pytest.raises(TypeError, match=f"'{part}'"):
        PagingStyle(**parts)


def test_a_way_without_its_line_is_not_known() -> None:
    assert NumberedPages not in STYLES
    with pytest.raises(KeyError, match="NumberedPages"):
        style_of(EXCHANGE.endpoints[DataType.OHLC])
