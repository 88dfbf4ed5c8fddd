"""Endpoints, rows and venues that answer as they like, for tests of pagers."""

import io
from abc import ABC, abstractmethod
from email.utils import format_datetime
from random import Random

import polars as pl
from hypothesis import strategies as st

from dccd_core.adapter.contract import (
    Endpoint,
    Keeps,
    Paging,
    Query,
    Request,
    Response,
    TimeWindows,
)
from dccd_core.domain.timespan import DAY, SECOND, Us, moment
from dccd_core.fetch.paging.page import Page, Pager
from dccd_core.tables import TIME, DataType

LATE = Us(100 * DAY)
SETTLE = Us(5 * SECOND)
CHANCE = st.randoms(use_true_random=False)


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
        schema=DataType.TRADES.table.schema,
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


def endpoint(paging: Paging) -> Endpoint:
    return Endpoint(
        docs="",
        path="/rows",
        page_limit=5,
        paging=paging,
        request=request,
        decode=lambda body, _: pl.read_ipc(io.BytesIO(body)).sort("ts", maintain_order=True),
    )


NEWEST = endpoint(TimeWindows(Keeps.NEWEST))


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


def followed(pager: Pager, venue: "Venue") -> list[Page]:
    pages: list[Page] = []
    while (asked := pager.request()) is not None:
        if (page := pager.receive(answer(venue.rows(asked), venue.now))) is not None:
            pages.append(page)
    return pages


class Venue(ABC):
    """Answers as it likes: short, repeated and shuffled pages."""

    def __init__(self, chance: Random, now: Us = LATE) -> None:
        self.chance = chance
        self.now = now
        self.asked: list[Request] = []

    @abstractmethod
    def rows(self, asked: Request) -> pl.DataFrame: ...

    def short(self, most: int) -> int:
        return self.chance.randint(1, most) if most else 0
