"""A page with bad rows, of a made-up format: ``[time, price, amount, id]`` in whatever stands around."""

from collections.abc import Callable

import msgspec
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dccd_core.adapter.contract import Response
from dccd_core.adapter.salvage import LATER, REASON, SKEW, Decode, Salvage, concerning
from dccd_core.adapter.wire import micros, read, table
from dccd_core.domain.errors import PayloadError, Unavailable
from dccd_core.domain.timespan import DAY, SECOND, Us
from dccd_core.tables import DataType

NOW = Us(1_717_545_600 * SECOND)
DATE = {"date": "Wed, 05 Jun 2024 00:00:00 GMT"}
BAD = '[%d,"?","1",%d]'


class Trade(msgspec.Struct, array_like=True):
    at: int
    price: str
    amount: str
    id: int


class Page(msgspec.Struct):
    result: dict[str, list[Trade]]


def rows_of(trades: list[Trade]) -> pl.DataFrame:
    return table(
        DataType.TRADES,
        ts=micros([one.at for one in trades], Us(1)),
        price=[one.price for one in trades],
        amount=[one.amount for one in trades],
        trade_id=[str(one.id) for one in trades],
    )


def plain(body: bytes, _: Us) -> pl.DataFrame:
    return rows_of(read(msgspec.json.Decoder(list[Trade]), body))


def wrapped(body: bytes, _: Us) -> pl.DataFrame:
    return rows_of(read(msgspec.json.Decoder(Page), body).result["list"])


def sides(body: bytes, _: Us) -> pl.DataFrame:
    page = read(msgspec.json.Decoder(Page), body).result
    return rows_of([*page["old"], *page["new"]])


def listed(body: bytes, _: Us) -> pl.DataFrame:
    pages = read(msgspec.json.Decoder(list[dict[str, list[Trade]]]), body)
    return rows_of([one for page in pages for some in page.values() for one in some])


def whole(texts: list[str]) -> str:
    return f"[{','.join(texts)}]"


def within(texts: list[str]) -> str:
    return f'{{"result": {{"list": {whole(texts)}}}, "code": 0}}'


def halved(texts: list[str]) -> str:
    middle = len(texts) // 2
    return f'{{"result": {{"old": {whole(texts[:middle])}, "new": {whole(texts[middle:])}}}}}'


def in_list(texts: list[str]) -> str:
    middle = len(texts) // 2
    return f'[{{"bids": {whole(texts[:middle])}, "asks": {whole(texts[middle:])}}}]'


Format = tuple[Decode, Callable[[list[str]], str]]
FORMATS: list[Format] = [
    (plain, whole),
    (wrapped, within),
    (sides, halved),
    (listed, in_list),
]


def text(number: int, *, bad: bool = False) -> str:
    return BAD % (NOW - 100 + number, number) if bad else f'[{NOW - 100 + number},"1.{number}","2",{number}]'


def answer(body: str, headers: dict[str, str] = DATE, received: Us = NOW) -> Response:
    return Response(200, headers, body.encode(), received)


@given(st.sampled_from(FORMATS), st.lists(st.booleans(), min_size=1, max_size=40))
def test_every_good_row_is_given_and_every_bad_one_told_apart(page: Format, bad: list[bool]) -> None:
    decode, around = page
    texts = [text(number, bad=one) for number, one in enumerate(bad)]
    salvage, body = Salvage(decode), answer(around(texts))
    if 2 * sum(bad) > len(bad):
        with pytest.raises(PayloadError):
            salvage.read(body)
        return
    found = salvage.read(body)
    assert found.rows["trade_id"].to_list() == [str(n) for n, one in enumerate(bad) if not one]
    assert found.refused.height == sum(bad)
    shown = [why.rpartition(": ")[2] for why in found.refused[REASON]]
    assert shown == [texts[n] for n, one in enumerate(bad) if one]


def test_a_good_page_costs_no_query(monkeypatch: pytest.MonkeyPatch) -> None:
    """One costs as much as the columns of a page do."""

    def query(_: pl.DataFrame) -> pl.LazyFrame:
        raise AssertionError

    monkeypatch.setattr(pl.DataFrame, "lazy", query)
    assert Salvage(plain).read(answer(whole([text(1), text(2)]))).rows.height == 2


def test_what_does_not_depend_on_the_bad_cell_is_told() -> None:
    found = Salvage(plain).read(answer(whole([text(1), text(2, bad=True), text(3), text(4)])))
    [row] = found.refused.to_dicts()
    assert (row["ts"], row["trade_id"]) == (pl.Series([NOW - 98]).cast(found.rows.schema["ts"])[0], "2")
    assert (row["price"], row["side"]) == (None, None)


def test_what_may_come_from_the_row_it_was_tried_in_is_not_told() -> None:
    """Its amount is that of both good rows: nobody knows whether it was read or lent."""
    found = Salvage(plain).read(answer(whole([text(1), text(2, bad=True), text(3), '[7,"1","3",9]'])))
    assert found.refused["amount"].to_list() == [1.0]
    found = Salvage(plain).read(answer(whole([text(1), text(2, bad=True).replace('"1"', '"2"'), text(3)])))
    assert found.refused["amount"].to_list() == [None]


@pytest.mark.parametrize("before", [0, 1, 5])
def test_a_page_of_bad_rows_alone_is_believed_after_as_many_good_ones(before: int) -> None:
    salvage = Salvage(plain)
    if before:
        salvage.read(answer(whole([text(number) for number in range(before)])))
    last = answer(whole([text(90, bad=True)]))
    if not before:
        with pytest.raises(PayloadError):
            salvage.read(last)
        return
    found = salvage.read(last)
    assert (found.rows.height, found.refused["trade_id"].to_list()) == (0, ["90"])


def test_good_rows_of_before_give_credit_for_a_few_bad_ones_only() -> None:
    salvage = Salvage(plain)
    salvage.read(answer(whole([text(number) for number in range(99)])))
    with pytest.raises(PayloadError):
        salvage.read(answer(whole([text(number, bad=True) for number in range(21)])))
    assert salvage.read(answer(whole([text(n, bad=True) for n in range(20)]))).refused.height == 20


def test_a_bare_nan_spoils_its_own_row_alone() -> None:
    body = whole([text(1), f'[{NOW - 9},NaN,"1",7]', text(2), text(3).replace('"2"', '"NaN of \\" mine"')])
    found = Salvage(plain).read(answer(body))
    assert found.rows["trade_id"].to_list() == ["1", "2"]
    assert found.refused["trade_id"].to_list() == ["7", "3"]


@pytest.mark.parametrize(
    ("body", "error"),
    [("<html>", Unavailable), ('{"result": 7}', PayloadError), ('{"rows": [[1,"1","1",1]]}', PayloadError)],
)
def test_where_it_is_not_the_rows_that_cannot_be_read_the_answer_is_refused(
    body: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        Salvage(wrapped).read(answer(body))


@pytest.mark.parametrize(
    ("headers", "horizon"), [(DATE, NOW + SKEW), ({}, NOW + DAY)], ids=["dated", "only our clock"]
)
def test_rows_later_than_the_clock_are_told_apart(headers: dict[str, str], horizon: int) -> None:
    rows = [f'[{at},"1","1",{number}]' for number, at in enumerate((NOW, horizon, horizon + 1))]
    found = Salvage(plain).read(answer(whole(rows), headers))
    assert found.rows["trade_id"].to_list() == ["0", "1"]
    assert found.refused.select("trade_id", REASON).rows() == [("2", LATER)]


def test_of_a_page_with_both_kinds_of_bad_rows_all_are_told() -> None:
    late = f'[{NOW + DAY},"1","1",8]'
    found = Salvage(plain).read(answer(whole([text(1), text(2, bad=True), text(3), late])))
    assert found.rows["trade_id"].to_list() == ["1", "3"]
    assert found.refused["trade_id"].to_list() == ["2", "8"]


@given(st.lists(st.integers(-3, 3) | st.none(), max_size=8), st.integers(-3, 3), st.integers(0, 4))
def test_refused_rows_concern_the_span_that_may_be_theirs(
    times: list[int | None], start: int, length: int
) -> None:
    ts = pl.Series("ts", times, dtype=pl.Int64).cast(pl.Datetime("us", "UTC"))
    rows = pl.DataFrame([ts]).with_columns(pl.lit("x").alias(REASON))
    kept = concerning(rows, Us(start), Us(start + length))["ts"].to_physical().to_list()
    assert kept == [at for at in times if at is None or start <= at < start + length]
    late = rows.with_columns(pl.lit(LATER).alias(REASON))
    assert concerning(late, Us(start), Us(start + length)).height == len(times)
