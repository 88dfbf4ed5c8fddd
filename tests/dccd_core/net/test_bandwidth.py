from concurrent.futures import ThreadPoolExecutor

import pytest

from dccd_core.net.bandwidth import Bandwidth


class Time:
    """A clock that moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_no_more_is_let_through_than_the_limit() -> None:
    time = Time()
    pace = Bandwidth(1_000, lambda: time.now, time.sleep)
    for _ in range(50):
        pace(100)
    assert 4.7 <= time.now <= 5.0


def test_what_was_not_used_is_no_credit_for_later() -> None:
    time = Time()
    pace = Bandwidth(1_000, lambda: time.now, time.sleep)
    time.now = 3_600.0
    for _ in range(50):
        pace(100)
    assert 4.7 <= time.now - 3_600.0 <= 5.0


def test_threads_share_a_limit() -> None:
    waited = list[float]()
    pace = Bandwidth(1_000, lambda: 0.0, waited.append)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(pace, [100] * 40))
    assert max(waited) == pytest.approx(4.0)
