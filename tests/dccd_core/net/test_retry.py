import asyncio
import pickle
from collections.abc import Callable

import pytest

from dccd_core.domain.errors import Banned, DccdError, PayloadError, Rejected, Throttled, Unavailable
from dccd_core.domain.timespan import SECOND, parse_time
from dccd_core.net.clock import ManualClock
from dccd_core.net.retry import Policy, retry

NOON = parse_time("2026-11-22T12:00:00Z")


class Action:
    """Fails as told, then succeeds; notes the seconds at which it was called."""

    def __init__(self, *errors: DccdError) -> None:
        self.clock = ManualClock(NOON)
        self.errors = list(errors)
        self.called: list[float] = []

    async def __call__(self) -> str:
        self.called.append((self.clock.now() - NOON) / SECOND)
        if self.errors:
            raise self.errors.pop(0)
        return "done"

    def retry(self, policy: Policy | None = None, chance: Callable[[], float] = lambda: 1.0) -> str:
        return asyncio.run(retry(self, self.clock, policy or Policy(), chance))


def unavailable(times: int) -> list[DccdError]:
    return [Unavailable(f"HTTP 502 number {n}", hint="later") for n in range(times)]


def test_success_needs_one_attempt() -> None:
    action = Action()
    assert action.retry() == "done"
    assert action.called == [0]


def test_pauses_double_up_to_the_longest() -> None:
    action = Action(*unavailable(5))
    assert action.retry(Policy(first_s=1, longest_s=6)) == "done"
    assert action.called == [0, 1, 3, 7, 13, 19]


def test_pauses_are_random_between_nothing_and_their_end() -> None:
    action = Action(*unavailable(3))
    chances = iter([0.5, 0.0, 0.25])
    action.retry(Policy(first_s=1), lambda: next(chances))
    assert action.called == [0, 0.5, 0.5, 1.5]


@pytest.mark.parametrize("error", [Rejected("HTTP 400", hint="ask right"), PayloadError("other shape")])
def test_what_waiting_does_not_help_goes_up_at_once(error: DccdError) -> None:
    action = Action(error)
    text = str(error)
    with pytest.raises(type(error)) as caught:
        action.retry()
    assert caught.value is error
    assert str(error) == text
    assert action.called == [0]


def test_the_last_error_goes_up_and_says_how_often_it_was_tried() -> None:
    errors = unavailable(3)
    action = Action(*errors)
    with pytest.raises(Unavailable) as caught:
        action.retry(Policy(attempts=3))
    assert caught.value is errors[2]
    assert str(caught.value) == "HTTP 502 number 2 -> gave up after 3 attempts in 3 s; later"
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_no_pause_ends_after_the_total_time() -> None:
    action = Action(*unavailable(9))
    with pytest.raises(Unavailable, match="4 attempts in 7 s"):
        action.retry(Policy(attempts=9, total_s=10))
    assert action.called == [0, 1, 3, 7]


def test_the_venue_s_own_wait_is_honoured() -> None:
    action = Action(Throttled("HTTP 429", wait_s=17), Throttled("HTTP 429", wait_s=0), Throttled("HTTP 429"))
    assert action.retry() == "done"
    assert action.called == [0, 17, 19, 23]


def test_a_ban_longer_than_our_patience_goes_up_at_once() -> None:
    action = Action(Banned("HTTP 418", wait_s=3_600))
    with pytest.raises(Banned, match="1 attempt in 0 s") as caught:
        action.retry()
    assert caught.value.wait_s == 3_600
    assert action.called == [0]
