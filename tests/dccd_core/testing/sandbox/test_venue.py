"""What a simulated venue is made of."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dccd_core.domain.timespan import MINUTE
from dccd_core.testing.sandbox.limits import Rule
from dccd_core.testing.sandbox.venue import Answer, Route, Venue, VenueError

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
