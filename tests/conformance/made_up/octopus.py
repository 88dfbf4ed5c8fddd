"""Octopus, an exchange that does not exist. It serves mark prices, for which see ``marks.py``."""

import msgspec
import polars as pl

from dccd_core.adapter.contract import Endpoint, Exchange, Limit, Markets, Query, Request, TimeWindows
from dccd_core.adapter.wire import markets, micros, read, table
from dccd_core.domain.timespan import MINUTE, SECOND, Us, parse_time
from dccd_core.tables import DataType

MARKS = DataType("marks")
DAY = parse_time("2024-06-05")


def ask(query: Query) -> Request:
    return Request("/marks", {"from": str(query.span.start), "to": str(query.span.end)})


def decode(body: bytes, _: Us) -> pl.DataFrame:
    rows = read(msgspec.json.Decoder(list[tuple[int, float]]), body)
    return table(MARKS, ts=micros([at for at, _ in rows], Us(1)), mark=[mark for _, mark in rows])


def listed(_: bytes) -> pl.DataFrame:
    return markets(symbol=["BTC/USDT"], market=["BTCUSDT"], active=[True])


EXCHANGE = Exchange(
    name="octopus",
    title="Octopus",
    rest_url="https://octopus.example",
    since=DAY,
    finality_delay=Us(5 * SECOND),
    limits=(Limit(8, SECOND),),
    kinds=frozenset({"spot"}),
    market=lambda symbol: symbol.base + symbol.quote,
    verdict=lambda _: None,
    markets=Markets("https://octopus.example/pairs", lambda: (Request("/pairs", {}),), listed),
    endpoints={
        MARKS: Endpoint(
            docs="https://octopus.example/marks",
            path="/marks",
            page_limit=100,
            paging=TimeWindows(),
            request=ask,
            decode=decode,
            spans=(MINUTE,),
            oldest=ask,
        )
    },
)
