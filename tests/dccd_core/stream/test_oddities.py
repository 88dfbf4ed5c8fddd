"""What is odd is said at once, then seldom; the first messages of each cause are kept."""

from dccd_core.domain.timespan import HOUR, MINUTE, SECOND, Us, parse_time
from dccd_core.stream.oddities import Oddities, Seldom
from tests.dccd_core.stream.pushing import BOOK

AT = parse_time("2024-06-05T12:00")


def steady(seconds: float) -> Us:
    return Us(round(seconds * SECOND))


def refuse(odd: Oddities, seconds: float, *bad: tuple[bytes, str]) -> list[str]:
    return odd.refuse("x wss://x", "wss://x", bad, (Us(AT + steady(seconds)), steady(seconds)))


def test_a_flood_of_bad_messages_is_a_line_then_one_after_a_minute_and_ever_fewer() -> None:
    odd, said = Oddities(), list[tuple[float, str]]()
    for half_seconds in range(2 * 3_600):
        now = half_seconds / 2
        said += [(now, text) for text in odd.seldom.due(steady(now))]
        said += [(now, text) for text in refuse(odd, now, (b"?", f"no JSON at byte {half_seconds}"))]
    assert [at for at, _ in said] == [0, 60, 180, 420, 900, 1_500, 2_100, 2_700, 3_300]
    assert said[0][1].startswith(
        "x wss://x: 1 messages could not be understood, the first begins b'?': no JSON"
    )
    assert said[1][1].startswith("x wss://x: 119 messages could not be understood")
    assert said[1][1].endswith(" (in the last 60 s)")


def test_each_cause_is_said_for_itself() -> None:
    odd = Oddities()
    assert len(refuse(odd, 0, (b"a", "no JSON"), (b"b", "no price"), (b"c", "no JSON"))) == 2
    assert refuse(odd, 1, (b"a", "no JSON")) == []
    assert len(refuse(odd, 2, (b"a", "no time"))) == 1


def test_what_did_not_happen_for_a_while_is_said_at_once_when_it_does_again() -> None:
    seldom = Seldom()
    assert seldom.say("cause", 1, lambda count: f"{count} x", steady(0)) == "1 x"
    assert seldom.due(steady(61)) == []
    assert seldom.say("cause", 3, lambda count: f"{count} x", steady(62)) == "3 x"


def test_causes_without_number_are_one() -> None:
    seldom = Seldom()
    said = [seldom.say(f"cause {n}", 1, lambda count: f"{count} x", steady(0)) for n in range(1_000)]
    assert 0 < len([one for one in said if one]) < 100


def test_the_first_messages_of_each_cause_are_kept_in_each_hour() -> None:
    odd = Oddities()
    for n in range(500):
        refuse(odd, 0, (b"%d" % n, f"no JSON at {n}"), (b"%d" % n, "no price"))
    kept = odd.taken()
    assert {one.reason for one in kept[1::2]} == {"no price"}
    assert [one.frame for one in kept] == [b"%d" % (n // 2) for n in range(40)]
    assert odd.taken() == []
    odd.restore(kept)
    refuse(odd, HOUR // SECOND, (b"next", "no price"))
    assert [one.frame for one in odd.taken()][-2:] == [b"19", b"next"]


def test_rows_that_came_before_their_time_are_said_as_seldom() -> None:
    odd = Oddities()
    misplaced = [(BOOK.dataset, 2, AT)]
    assert odd.misplaced(misplaced, steady(0)) == [
        f"{BOOK.dataset}: 2 rows came before their time, 2024-06-05T12:00:00Z, and are kept aside"
    ]
    assert odd.misplaced(misplaced, steady(1)) == []
    assert odd.seldom.due(Us(MINUTE)) == [
        f"{BOOK.dataset}: 2 rows came before their time, 2024-06-05T12:00:00Z, and are kept aside "
        "(in the last 60 s)"
    ]
