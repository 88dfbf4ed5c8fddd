"""The venue's clock is what the venue says of it, however wrong ours is."""

from dccd_core.domain.timespan import DAY, SECOND, ZERO, Us
from dccd_core.stream.venuetime import VenueTime


def s(count: float) -> Us:
    return Us(round(count * SECOND))


def test_until_anybody_told_it_is_our_wall_clock_as_it_was_and_nothing_is_too_late() -> None:
    time = VenueTime(s(1_000), s(10))
    assert time.now(s(25)) == s(1_015)
    assert time.latest(s(25)) > 10 * DAY


def test_rest_tells_it_whatever_our_clock_shows() -> None:
    time = VenueTime(s(5), ZERO)
    time.tell(s(1_000), s(10))
    assert time.now(s(10)) == s(1_001)  # its seconds are cut off: it is at least as late as this
    assert time.latest(s(20)) == s(1_016)


def test_messages_tell_it_where_rest_does_not_once_there_are_enough() -> None:
    time = VenueTime(s(5), ZERO)
    for at in (100, 101, 102, 103):
        time.sample(s(at), s(at - 100))
    assert time.now(s(3)) == s(8)
    assert time.latest(s(3)) > DAY
    time.sample(s(104), s(4))
    assert time.now(s(4)) == s(104)
    assert time.latest(s(4)) == s(109)


def test_one_wrong_message_among_many_moves_nothing() -> None:
    time = VenueTime(ZERO, ZERO)
    for at in range(10):
        time.sample(s(100 + at), s(at))
    time.sample(s(100_000), s(10))
    assert time.now(s(10)) == s(110)


def test_late_messages_do_not_hold_back_what_rest_told() -> None:
    time = VenueTime(ZERO, ZERO)
    time.tell(s(100), ZERO)
    for at in range(40):
        time.sample(s(90 + at), s(at))
    assert time.now(s(40)) == s(141)


def test_messages_may_lead_a_little_but_not_to_tomorrow() -> None:
    time = VenueTime(ZERO, ZERO)
    time.tell(s(100), ZERO)
    for at in range(40):
        time.sample(s(104 + at), s(at))
    assert time.now(s(40)) == s(144)
    for at in range(40, 80):
        time.sample(Us(DAY + s(at)), s(at))
    assert time.now(s(80)) == s(184)
    assert time.latest(s(80)) == s(189)


def test_rest_has_the_last_word() -> None:
    time = VenueTime(ZERO, ZERO)
    for at in range(10):
        time.sample(s(500 + at), s(at))
    time.tell(s(100), s(10))
    assert time.now(s(10)) == s(101)
    time.sample(s(520), s(11))
    assert time.now(s(11)) == s(102)
