"""What the sandbox counts."""

from dccd_core.domain.timespan import Us
from dccd_core.testing.sandbox.live import Message
from dccd_core.testing.sandbox.stats import StreamStats, StreamTally, Struck, Tally


def test_requests_are_counted_by_path_weight_and_answer() -> None:
    tally = Tally()
    for path, weight, status in (("/x/klines", 2, 200), ("/x/klines", 3, 429), ("/y/trades", 1, 200)):
        tally.asked(path, "", weight)
        tally.answered(path, status)
    tally.refused("/x/klines")
    stats = tally.stats(StreamTally())
    assert (stats.paths["/x/klines"].requests, stats.paths["/x/klines"].weight) == (2, 5)
    assert stats.paths["/x/klines"].statuses == {"200": 1, "429": 1}
    assert (stats.count(), stats.count("klines"), stats.count("/y/trades"), stats.count("books")) == (
        3,
        2,
        1,
        0,
    )
    assert (stats.answered(200), stats.answered(429), stats.answered(418)) == (2, 1, 0)
    assert stats.refused() == 1


def test_what_was_asked_is_remembered_in_its_order_parameters_sorted_and_empty_ones_too() -> None:
    tally = Tally()
    tally.asked("/b", "z=1&a=%2F2&none=", 1)
    tally.asked("/a", "", 1)
    assert tally.stats(StreamTally()).requests == [
        ("/b", [("a", "/2"), ("none", ""), ("z", "1")]),
        ("/a", []),
    ]


def test_weight_adds_up_in_each_window_of_each_place() -> None:
    tally = Tally()
    for place, window, weight in (("x", 0, 2), ("x", 60, 1), ("x", 0, 3), ("y", 0, 7)):
        tally.used(place, window, weight)
    assert tally.stats(StreamTally()).windows == {"x": {"0": 5, "60": 1}, "y": {"0": 7}}


def test_what_is_open_is_what_was_opened_and_not_closed_for_any_reason() -> None:
    assert StreamStats(opened=5, refused=3, closed={"1000": 1, "1006": 2}).open == 2


def test_messages_are_counted_by_venue_and_topic_and_strikes_are_kept_in_order() -> None:
    tally = StreamTally()
    for venue, topic in (("x", "a"), ("x", "a"), ("x", ""), ("y", "a")):
        tally.sent(venue, topic)
    tally.struck("x", "late", Message(Us(5), "a", "{}"))
    tally.struck("y", "lost", Message(Us(3), "b", "[]"))
    stats = Tally().stats(tally)
    assert {name: one.messages for name, one in stats.streams.items()} == {
        "x": {"a": 2, "": 1},
        "y": {"a": 1},
    }
    assert stats.struck == [Struck("x", "a", "late", 5, "{}"), Struck("y", "b", "lost", 3, "[]")]
