from dccd_core.domain.timespan import DAY, MINUTE, SECOND, Ns
from dccd_core.testing.sandbox.limits import WeightMeter, WeightRule

RULE = WeightRule(amount=10, window=MINUTE, patience=2, enforced=True)
START = Ns(1_000 * MINUTE)


def statuses(meter: WeightMeter, now: int, count: int) -> list[int]:
    return [meter.charge(4, Ns(now)).status for _ in range(count)]


def test_more_than_the_limit_is_refused_until_the_window_ends() -> None:
    meter = WeightMeter(RULE)
    assert statuses(meter, START, 3) == [200, 200, 429]
    refused = meter.charge(1, Ns(START + 20 * SECOND + 1))
    assert (refused.status, refused.used) == (429, 13)
    assert refused.wait_s(Ns(START + 20 * SECOND + 1)) == 40
    assert meter.charge(4, Ns(START + MINUTE)).status == 200


def test_carrying_on_ends_in_a_ban_of_two_windows() -> None:
    meter = WeightMeter(RULE)
    assert statuses(meter, START, 6) == [200, 200, 429, 429, 429, 418]
    banned = meter.charge(1, Ns(START + MINUTE + SECOND))
    assert (banned.status, banned.until) == (418, START + 2 * MINUTE)
    assert banned.wait_s(Ns(START + MINUTE + SECOND)) == 59
    assert meter.charge(1, Ns(START + 2 * MINUTE)).status == 200


def test_each_ban_is_twice_as_long_and_none_is_longer_than_three_days() -> None:
    meter, now, lengths = WeightMeter(RULE), START, list[int]()
    for _ in range(14):
        statuses(meter, now, 6)
        until = meter.charge(1, now).until
        lengths.append((until - now) // MINUTE)
        now = until
    assert lengths[:3] == [2, 4, 8]
    assert lengths[-1] == 3 * DAY // MINUTE


def test_without_enforcement_weight_is_only_counted() -> None:
    meter = WeightMeter(WeightRule(10, MINUTE, 2, enforced=False))
    assert statuses(meter, START, 50) == [200] * 50
    assert meter.charge(1, START).used == 201
