import pytest

from dccd_core.domain.timespan import DAY, MINUTE, SECOND, Us
from dccd_core.testing.sandbox.limits import BucketMeter, Meter, Rule, SlidingMeter, Style, WindowMeter, meter

START = Us(1_000 * MINUTE)


def at(seconds: float) -> Us:
    return Us(START + round(seconds * 1_000) * SECOND // 1_000)


def statuses(counter: Meter, now: int, count: int, weight: int = 4) -> list[int]:
    return [counter.charge(weight, Us(now)).status for _ in range(count)]


@pytest.mark.parametrize(
    ("style", "kind"),
    [(Style.WINDOW, WindowMeter), (Style.SLIDING, SlidingMeter), (Style.BUCKET, BucketMeter)],
)
def test_a_rule_is_kept_as_its_venue_counts(style: Style, kind: type[Meter]) -> None:
    assert type(meter(Rule(10, MINUTE, style), enforced=True)) is kind


def test_without_enforcement_weight_is_only_counted_by_windows() -> None:
    counter = meter(Rule(10, MINUTE, Style.BUCKET), enforced=False)
    assert statuses(counter, START, 50) == [200] * 50
    assert counter.charge(1, START).used == 201
    assert counter.charge(1, at(60)).used == 1


class TestWindows:
    RULE = Rule(10, MINUTE, Style.WINDOW, patience=2)

    def test_more_than_the_limit_is_refused_until_the_window_ends(self) -> None:
        counter = WindowMeter(self.RULE)
        assert statuses(counter, START, 3) == [200, 200, 429]
        refused = counter.charge(1, Us(at(20) + 1))
        assert (refused.status, refused.used) == (429, 13)
        assert refused.wait_s(Us(at(20) + 1)) == 40
        assert counter.charge(4, at(60)).status == 200

    def test_two_windows_worth_fit_around_the_end_of_one(self) -> None:
        counter = WindowMeter(self.RULE)
        assert statuses(counter, at(59), 2, weight=5) == [200, 200]
        assert statuses(counter, at(60), 2, weight=5) == [200, 200]

    def test_carrying_on_ends_in_a_ban_of_two_windows(self) -> None:
        counter = WindowMeter(self.RULE)
        assert statuses(counter, START, 6) == [200, 200, 429, 429, 429, 418]
        banned = counter.charge(1, at(61))
        assert (banned.status, banned.until) == (418, at(120))
        assert banned.wait_s(at(61)) == 59
        assert counter.charge(1, at(120)).status == 200

    def test_each_ban_is_twice_as_long_and_none_is_longer_than_three_days(self) -> None:
        counter, now, lengths = WindowMeter(self.RULE), START, list[int]()
        for _ in range(14):
            statuses(counter, now, 6)
            until = counter.charge(1, now).until
            lengths.append((until - now) // MINUTE)
            now = until
        assert lengths[:3] == [2, 4, 8]
        assert lengths[-1] == 3 * DAY // MINUTE

    def test_without_patience_nobody_is_banned(self) -> None:
        counter = WindowMeter(Rule(1, MINUTE, Style.WINDOW))
        assert statuses(counter, START, 100, weight=1) == [200, *[429] * 99]


class TestAnyPeriod:
    RULE = Rule(3, Us(10 * SECOND))

    def test_no_ten_seconds_hold_more_wherever_they_begin(self) -> None:
        counter = SlidingMeter(self.RULE)
        assert [counter.charge(1, at(seconds)).status for seconds in (5, 9, 14)] == [200] * 3
        assert counter.charge(1, at(14.999)).status == 429
        assert counter.charge(1, at(15)).status == 200, "what was spent at 5 s is ten seconds old"
        assert counter.charge(1, at(18.9)).status == 429
        assert counter.charge(1, at(19)).status == 200

    def test_what_is_refused_weighs_nothing_and_is_told_when_to_come_back(self) -> None:
        counter = SlidingMeter(self.RULE)
        statuses(counter, START, 3, weight=1)
        refused = [counter.charge(1, at(seconds)) for seconds in (1, 2, 3)]
        assert {(charge.status, charge.used, charge.until) for charge in refused} == {(429, 3, at(10))}
        assert refused[-1].wait_s(at(3)) == 7
        assert statuses(counter, at(10), 4, weight=1) == [200, 200, 200, 429]

    def test_a_block_shuts_everything_out_even_after_there_is_room_again(self) -> None:
        counter = SlidingMeter(Rule(3, Us(10 * SECOND), block=MINUTE))
        assert statuses(counter, START, 3, weight=1) == [200] * 3
        blocked = counter.charge(1, at(1))
        assert (blocked.status, blocked.until) == (429, at(61))
        assert counter.charge(1, at(60)).until == at(61), "asking again does not make it longer"
        assert counter.charge(1, at(61)).status == 200

    def test_a_request_heavier_than_the_limit_never_passes(self) -> None:
        counter = SlidingMeter(self.RULE)
        assert statuses(counter, START, 2, weight=4) == [429, 429]
        assert counter.charge(3, START).status == 200


class TestTokens:
    RULE = Rule(2, SECOND, Style.BUCKET, burst=6)

    def test_a_full_bucket_is_spent_at_once_then_tokens_flow_back_evenly(self) -> None:
        counter = BucketMeter(self.RULE)
        assert statuses(counter, START, 7, weight=1) == [*[200] * 6, 429]
        assert counter.charge(1, at(0.499)).status == 429
        assert counter.charge(1, at(0.5)).status == 200
        assert counter.charge(1, at(0.5)).until == at(1)
        assert statuses(counter, at(1.5), 3, weight=1) == [200, 200, 429]

    def test_a_bucket_holds_no_more_than_its_burst(self) -> None:
        counter = BucketMeter(self.RULE)
        statuses(counter, START, 6, weight=1)
        assert statuses(counter, at(3_600), 7, weight=1) == [*[200] * 6, 429]

    def test_what_was_used_is_told(self) -> None:
        counter = BucketMeter(self.RULE)
        assert [counter.charge(2, START).used for _ in range(3)] == [2, 4, 6]
        assert counter.charge(1, START).used == 6
        assert counter.charge(1, at(1)).used == 5
