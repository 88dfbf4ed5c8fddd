"""What is spent is told to those who only look."""

from pathlib import Path

from dccd_core.adapter.contract import Limit
from dccd_core.domain.timespan import MINUTE, SECOND, Us, parse_time
from dccd_core.net.clock import ManualClock
from dccd_core.net.ratelimit.sharedwindow import Booking, SharedWindow
from dccd_core.net.ratelimit.spent import Spent, spent

NOW = parse_time("2026-02-01")


def test_what_was_answered_and_what_flies_is_spent(tmp_path: Path) -> None:
    clock = ManualClock(NOW)
    window = SharedWindow(tmp_path / "binance.sqlite", (Limit(100, MINUTE),), 1, clock)
    for weight in (5, 7):
        booking = window.book(weight)
        assert isinstance(booking, Booking)
        if weight == 5:
            window.settle(booking, None, NOW)
    assert list(spent(tmp_path, MINUTE, Us(NOW + SECOND))) == [Spent("binance", 12, Us(0))]
    assert list(spent(tmp_path, MINUTE, Us(NOW + 2 * MINUTE))) == [Spent("binance", 0, Us(0))]
    until = Us(NOW + 5 * SECOND)
    window.trip(until, "HTTP 429")
    assert [one.closed_until for one in spent(tmp_path, MINUTE, NOW)] == [until]
    assert [one.closed_until for one in spent(tmp_path, MINUTE, until)] == [Us(0)]
    window.close()


def test_what_cannot_be_read_tells_nothing(tmp_path: Path) -> None:
    (tmp_path / "odd.sqlite").write_text("no database")
    assert list(spent(tmp_path, MINUTE, NOW)) == []
    assert list(spent(tmp_path / "nowhere", MINUTE, NOW)) == []
