from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, MILLISECOND, MINUTE, SECOND, TimeRange, Us, parse_time
from dccd_core.testing.sandbox.books import BOOK_PERIOD, Levels, OrderBook
from dccd_core.testing.sandbox.hashing import Ints
from dccd_core.testing.sandbox.market import Market

NOON = parse_time("2024-06-05T12:00")
OUTAGE = TimeRange(Us(NOON + 2 * SECOND), Us(NOON + 3 * SECOND))
BUSY = {"ETH/USDT": 20_000_000, "LOW/USDT": 1_000_000}
MARKET = Market(trades_per_day=BUSY, outages=[OUTAGE])
MARKETS = [
    ("binance", Symbol.parse("ETH/USDT")),
    ("bybit", Symbol.parse("BTC/USDT:USDT")),
    ("okx", Symbol.parse("LOW/USDT")),
    ("kraken", Symbol.parse("DOGE/USD")),
    ("bitmex", Symbol.parse("BTC/USD:BTC")),
]
BOOKS = [MARKET.orders(exchange, symbol) for exchange, symbol in MARKETS]
FIRST = NOON // BOOK_PERIOD
books = st.sampled_from(BOOKS)
versions = st.one_of(
    st.integers(FIRST - 5, FIRST + 40),  # the outage is among them
    st.integers(parse_time("2017-08-01") // BOOK_PERIOD, parse_time("2030-01-01") // BOOK_PERIOD),
)
depths = st.sampled_from([1, 2, 10, 25, 400, 1_000])


def as_dict(levels: Levels) -> dict[int, int]:
    return dict(zip(levels.price.tolist(), levels.amount.tolist(), strict=True))


def columns(levels: Levels) -> list[Ints]:
    return [levels.price, levels.amount, levels.orders, levels.since]


def same(left: Levels, right: Levels) -> bool:
    return all(np.array_equal(*both) for both in zip(columns(left), columns(right), strict=True))


def applied(kept: dict[int, int], changes: Levels) -> dict[int, int]:
    left = {**kept, **as_dict(changes)}
    return {price: amount for price, amount in left.items() if amount}


def cut(kept: dict[int, int], depth: int, *, falling: bool) -> dict[int, int]:
    return dict(sorted(kept.items(), reverse=falling)[:depth])


@given(book=books, first=versions, count=st.integers(1, 40), depth=depths, told=st.booleans())
@settings(max_examples=150)
def test_a_snapshot_and_all_changes_make_every_later_version(
    book: OrderBook, first: int, count: int, depth: int, *, told: bool
) -> None:
    sides = [as_dict(side) for side in book.levels(first, depth)]
    for version in range(first + 1, first + count + 1):
        changes = book.changes(version, depth, tell_pushed_out=told)
        for number, (now, truth) in enumerate(zip(changes, book.levels(version, depth), strict=True)):
            sides[number] = applied(sides[number], now)
            if not told:
                sides[number] = cut(sides[number], depth, falling=number == 0)
            assert sides[number] == as_dict(truth)


@given(book=books, version=versions, depth=depths)
def test_changes_are_only_what_differs_best_first(book: OrderBook, version: int, depth: int) -> None:
    before, after = book.levels(version - 1, depth), book.levels(version, depth)
    silent = book.changes(version, depth, tell_pushed_out=False)
    for number, told in enumerate(book.changes(version, depth)):
        old, new, away = as_dict(before[number]), as_dict(after[number]), (-1, 1)[number]
        assert (np.diff(told.price * away) > 0).all()
        assert (told.orders[told.amount == 0] == 0).all()
        assert (told.since[told.amount == 0] == version).all()
        for price, amount in as_dict(told).items():
            assert new.get(price, 0) == amount
            assert amount or price in old
        assert {price for price in {*old, *new} if old.get(price) != new.get(price)} <= set(
            told.price.tolist()
        )
        unsaid = set(told.price.tolist()) - set(silent[number].price.tolist())
        worst = max((price * away for price in new), default=0)
        assert all(price * away > worst and len(new) == depth for price in unsaid)


def test_what_is_pushed_out_of_the_depth_is_told_only_if_asked_for() -> None:
    book = BOOKS[0]
    lost = [
        np.setdiff1d(told.price, silent.price).size
        for version in range(FIRST, FIRST + 20)
        for told, silent in zip(
            book.changes(version, 10), book.changes(version, 10, tell_pushed_out=False), strict=True
        )
    ]
    assert sum(lost) > 20


@given(book=books, version=versions, depth=depths)
def test_a_version_is_the_same_whenever_it_is_read(book: OrderBook, version: int, depth: int) -> None:
    exchange, symbol = MARKETS[BOOKS.index(book)]
    anew = OrderBook(exchange, MARKET.tape(exchange, symbol), MARKET.outages)
    anew.changes(version + 7, 3)
    for read, again, deeper in zip(
        book.levels(version, depth),
        anew.levels(version, depth),
        anew.levels(version, depth + 100),
        strict=True,
    ):
        assert same(read, again)
        assert same(read, deeper.rows(slice(depth)))


@given(book=books, version=versions, depth=depths)
def test_the_sides_lie_around_the_last_price_and_never_cross(
    book: OrderBook, version: int, depth: int
) -> None:
    exchange, symbol = MARKETS[BOOKS.index(book)]
    tape = MARKET.tape(exchange, symbol)
    before, bids_asks = tape.count_before(book.time(version)), book.levels(version, depth)
    for levels, away in zip(bids_asks, (-1, 1), strict=True):
        assert (np.diff(levels.price * away) > 0).all()
        assert (levels.price > 0).all()
        assert (levels.amount >= levels.orders).all()
        assert (levels.orders > 0).all()
        assert ((version - 520 < levels.since) & (levels.since <= version)).all()
        if levels.price.size:
            assert (levels.price * away > int(tape.by_id(before - 1, 1).price[0]) * away).all()


@pytest.mark.parametrize("exchange", ["binance", "bybit", "okx", "coinbase", "kraken", "bitfinex", "bitmex"])
def test_a_side_has_a_thousand_levels(exchange: str) -> None:
    for symbol in Market().instruments:
        book = MARKET.orders(exchange, symbol)
        for start in ("2021-06-01", "2024-06-05", "2026-03-01"):
            version = book.version(parse_time(start))
            if MARKET.tape(exchange, symbol).count_before(book.time(version)):
                assert [side.price.size for side in book.levels(version, 1_000)] == [1_000, 1_000]


def test_no_version_lacks_levels() -> None:
    for version in range(FIRST + 1_000, FIRST + 600_000, 1_000):
        assert [side.price.size for side in BOOKS[1].levels(version, 10)] == [10, 10]


def test_where_prices_end_at_zero_a_side_is_shorter_and_what_is_gone_there_is_told() -> None:
    book, depth, lowest = BOOKS[3], 6_000, list[int]()
    kept = as_dict(book.levels(FIRST + 1_750, depth)[0])
    for version in range(FIRST + 1_751, FIRST + 1_850):
        kept = applied(kept, book.changes(version, depth, tell_pushed_out=False)[0])
        bids, asks = book.levels(version, depth)
        assert 2_000 < bids.price.size < asks.price.size == depth
        assert 0 < bids.price[-1] < 20
        assert kept == as_dict(bids)
        lowest.append(int(bids.price[-1]))
    assert sorted(lowest, reverse=True) != lowest, "not once was the lowest level gone"


@pytest.mark.parametrize("depth", [50, 200])
@pytest.mark.parametrize("book", BOOKS[1:], ids=[str(symbol) for _, symbol in MARKETS[1:]])
def test_a_modest_number_of_levels_changes(book: OrderBook, depth: int) -> None:
    counts = [
        sum(side.price.size for side in book.changes(version, depth))
        for version in range(FIRST + 100, FIRST + 400)
    ]
    assert 0.01 * depth < np.mean(counts) < 0.15 * depth
    assert max(counts) < depth


def test_an_amount_stays_until_it_is_drawn_anew() -> None:
    book, version = BOOKS[3], FIRST + 600
    middle = book.levels(version, 200)
    seen = 0
    for levels in middle:
        for price, amount, since in zip(levels.price, levels.amount, levels.since, strict=True):
            then, before = (
                {**as_dict(bids), **as_dict(asks)}
                for bids, asks in (book.levels(int(at), 1_000) for at in (since, since - 1))
            )
            seen += then.get(int(price)) == amount
            assert before.get(int(price)) != amount
    assert seen > 390  # the others were the last trade's price


def test_while_the_venue_is_shut_and_before_the_first_trade_there_is_none() -> None:
    book = BOOKS[0]
    shut = [book.version(at) for at in (OUTAGE.start, Us(OUTAGE.end - 1))]
    for version in (*shut, parse_time("2017-01-01") // BOOK_PERIOD):
        assert [side.price.size for side in book.levels(version, 10)] == [0, 0]
    assert [side.amount.tolist() for side in book.changes(shut[0], 10)] == [[0] * 10] * 2
    last, opened = book.levels(shut[0] - 1, 10), shut[1] + 1
    assert set(book.changes(shut[0], 10)[0].price.tolist()) == set(last[0].price.tolist())
    for told, there in zip(book.changes(opened, 10), book.levels(opened, 10), strict=True):
        assert there.price.size == 10
        assert same(told, there)


def test_a_version_lasts_a_tenth_of_a_second() -> None:
    book = BOOKS[0]
    assert book.version(Us(NOON + 199 * MILLISECOND)) == FIRST + 1
    assert book.time(FIRST + 1) == NOON + 100 * MILLISECOND
    assert book.version(Us(book.time(FIRST) - 1)) == FIRST - 1


def test_every_market_has_a_book_of_its_own() -> None:
    prices = [as_dict(MARKET.orders(name, MARKETS[0][1]).levels(FIRST, 100)[0]) for name in ("okx", "kraken")]
    days = [as_dict(BOOKS[3].levels(FIRST + n * (DAY // BOOK_PERIOD), 100)[0]) for n in range(3)]
    assert all(one != other for one, other in (prices, *pairwise(days)))


def test_nobody_can_change_what_others_read() -> None:
    bids, _ = BOOKS[0].levels(FIRST, 10)
    with pytest.raises(ValueError, match="read-only"):
        bids.amount[0] = 0


def test_the_truth_lasts_as_long_as_a_version() -> None:
    exchange, symbol = MARKETS[1]
    one, same_version, next_minute = (
        MARKET.truth_book(exchange, symbol, Us(NOON + later), 20).drop("ts")
        for later in (0, 99 * MILLISECOND, MINUTE)
    )
    assert one.equals(same_version)
    assert not one.equals(next_minute)
