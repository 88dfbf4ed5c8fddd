"""What may never help is tried ever more rarely; what stands for a while is well again."""

from dccd_core.domain.timespan import MINUTE, SECOND, ZERO, Us
from dccd_core.stream.attempts import Attempts


def test_the_first_time_is_now_and_each_later_one_comes_later() -> None:
    tries, now, waited = Attempts(), ZERO, list[int]()
    assert tries.due("a", now)
    assert not tries.again("a")
    for _ in range(8):
        tries.tries("a", now)
        assert tries.again("a")
        before = now
        while not tries.due("a", now):
            now = Us(now + SECOND)
        waited.append((now - before) // SECOND)
    assert waited == [10, 20, 40, 80, 160, 300, 300, 300]


def test_names_are_tried_each_by_itself() -> None:
    tries = Attempts()
    tries.tries("a", ZERO)
    assert (tries.due("a", Us(SECOND)), tries.due("b", Us(SECOND))) == (False, True)


def test_it_is_waited_from_when_a_try_takes_effect() -> None:
    tries = Attempts()
    tries.tries("a", ZERO)
    tries.restart("a", Us(8 * SECOND))
    tries.restart("b", Us(8 * SECOND))
    assert not tries.due("a", Us(17 * SECOND))
    assert tries.due("a", Us(18 * SECOND))
    assert not tries.again("b")


def test_what_stood_for_a_while_is_well() -> None:
    tries = Attempts()
    tries.tries("a", ZERO)
    tries.stand({"a"}, Us(20 * SECOND))
    tries.stand(set(), Us(40 * SECOND))
    tries.stand(set(), Us(70 * SECOND))
    assert tries.again("a")
    tries.stand(set(), Us(71 * SECOND))
    assert not tries.again("a")


def test_what_fails_again_soon_never_stood() -> None:
    tries, now = Attempts(), ZERO
    for _ in range(6):
        tries.tries("a", now)
        tries.stand(set(), Us(now + SECOND))  # it seems well
        tries.stand(set(), Us(now + 29 * SECOND))
        tries.due("a", Us(now + 30 * SECOND))  # and fails again
        now = Us(now + 5 * MINUTE)
        tries.stand(set(), now)
    tries.tries("a", now)
    assert not tries.due("a", Us(now + 5 * MINUTE - 1))
    assert tries.due("a", Us(now + 5 * MINUTE))
