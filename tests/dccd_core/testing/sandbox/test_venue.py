"""What a simulated venue is made of."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, MINUTE, Us
from dccd_core.testing.sandbox.limits import Rule
from dccd_core.testing.sandbox.market import Market
from dccd_core.testing.sandbox.venue import Answer, Ask, Hidden, Route, Venue, VenueError

BOOK = Route("/depth", lambda _: b"", numbers=re.compile(rb'("last":)(\d+)'))
SPOT, ORDERS = Rule(1, MINUTE), Rule(2, MINUTE, pool="orders")


@given(st.integers(0, 10**18), st.integers(-5, 10**6))
def test_the_number_of_a_book_moves_and_nothing_else(number: int, by: int) -> None:
    body = b'{"last":%d,"asks":[["%d","1"]]}' % (number, number)
    assert BOOK.renumbered(body, by) == b'{"last":%d,"asks":[["%d","1"]]}' % (number + by, number)


def test_an_answer_without_a_number_of_a_book_stays_as_it_is() -> None:
    assert Route("/trades", lambda _: b"").renumbered(b'{"last":7}', 3) == b'{"last":7}'
    assert BOOK.renumbered(b'{"code":"7"}', 3) == b'{"code":"7"}'


def test_each_pool_has_its_rule_and_a_pool_without_one_is_a_mistake() -> None:
    venue = Venue("x", (), (SPOT, ORDERS), lambda _, __, ___: Answer(b""), lambda _: b"")
    assert (venue.rule(""), venue.rule("orders")) == (SPOT, ORDERS)
    with pytest.raises(StopIteration):
        venue.rule("books")


def test_an_error_of_a_venue_is_its_answer() -> None:
    error = VenueError(418, b"banned")
    assert str(error) == "banned"
    assert error.answer == Answer(b"banned", 418)


def test_a_market_whose_first_trade_lies_ahead_has_not_begun() -> None:
    market, new = Market(), Symbol.parse("NEW/USDT")
    first = market.tape("binance", new).first_time
    after, before = (Ask(market, {}, Us(first + more), SPOT, Hidden()) for more in (1, 0))
    assert after.first_trade("binance", new) == first
    assert before.first_trade("binance", new) > first + 3_650 * DAY
