import pytest

from dccd_core.domain.timespan import SECOND, Us, parse_time
from dccd_core.testing.sandbox.clock import SandboxClock

START = parse_time("2024-06-05T12:00")
THEN = parse_time("2022-01-01T00:00:00.123456")


class Machine:
    now = int(START) * 1_000

    def time_ns(self) -> int:
        return self.now


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()
    monkeypatch.setattr("dccd_core.testing.sandbox.clock.time", machine)
    return machine


def test_it_follows_the_machine(machine: Machine) -> None:
    clock = SandboxClock()
    assert clock.now() == START
    machine.now += SECOND * 1_000
    assert clock.now() == START + SECOND


def test_it_stands_still_or_runs_on_from_where_it_is_set(machine: Machine) -> None:
    clock = SandboxClock()
    for frozen, later in ((True, THEN), (False, THEN + SECOND)):
        clock.set(THEN, frozen=frozen)
        assert clock.now() == THEN
        machine.now += SECOND * 1_000
        assert clock.now() == later


def test_it_runs_many_times_as_fast_to_the_microsecond(machine: Machine) -> None:
    clock = SandboxClock()
    clock.set(THEN, frozen=False, rate=60)
    machine.now += (10 * SECOND + 1) * 1_000
    assert clock.now() == THEN + 600 * SECOND + 60
    clock.set(clock.now(), frozen=False)
    machine.now += 7_000
    assert clock.now() == THEN + 600 * SECOND + 67


@pytest.mark.parametrize("frozen", [True, False])
def test_the_machine_s_time_comes_back_and_does_not_stop(machine: Machine, *, frozen: bool) -> None:
    clock = SandboxClock()
    clock.set(THEN, frozen=True)
    clock.set(None, frozen=frozen)
    machine.now += SECOND * 1_000
    assert clock.now() == START + SECOND
    clock.set(None, frozen=frozen, rate=10)
    machine.now += SECOND * 1_000
    assert clock.now() == Us(START + 11 * SECOND)
