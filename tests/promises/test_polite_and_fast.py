"""Four processes at once: the venue never has to refuse, and hardly anything of its limit is left unused."""

from contextlib import ExitStack
from itertools import product
from pathlib import Path

import pytest

from dccd_core.domain.timespan import MINUTE
from dccd_core.testing.sandbox.process import running_sandbox
from tests.promises.filler import Job, filler

pytestmark = pytest.mark.alone

SYMBOLS = ["BTC/USDT", "ETH/USDT", "SOL/USDT", "BNB/USDT"]
MONTHS = [f"{year}-{month:02}" for year, month in product(range(2018, 2026), range(1, 13))]


@pytest.mark.parametrize(
    ("limit_weight", "window_s", "windows"),
    [(300, 5, 2), pytest.param(6_000, 60, 3, marks=pytest.mark.slow)],
    ids=["scaled", "binance"],
)
def test_the_budget_is_used_and_never_exceeded(
    tmp_path: Path, limit_weight: int, window_s: int, windows: int
) -> None:
    with (
        running_sandbox(
            rtt_ms=100, rate_limits=True, limit_weight=limit_weight, window_s=window_s
        ) as sandbox,
        ExitStack() as stack,
    ):
        jobs = [
            Job(
                url=sandbox.rest_url("binance"),
                lake=str(tmp_path / "lake"),
                keys=MONTHS,
                symbol=symbol,
                bar=MINUTE,
                limit_weight=limit_weight,
                window_s=window_s,
                stop_after_s=(windows + 1.2) * window_s,  # a window begins somewhere in it
            )
            for symbol in SYMBOLS
        ]
        fillers = [stack.enter_context(filler(tmp_path, job)) for job in jobs]
        for each in fillers:
            each.go()
        reports = [each.report() for each in fillers]
        stats = sandbox.stats()
    used = [weight for _, weight in sorted(stats.windows["binance"].items(), key=lambda item: int(item[0]))]
    full = used[1:-1]
    print(f"weight per window {used}, of {limit_weight}; requests {[r.requests for r in reports]}")  # noqa: T201
    assert [report.errors for report in reports] == [[]] * len(SYMBOLS)
    assert stats.answered(429) == stats.answered(418) == 0
    assert max(used) <= limit_weight
    assert len(full) >= windows
    assert min(full) >= 0.9 * limit_weight
    shares = [report.requests for report in reports]
    assert min(shares) > 0.1 * sum(shares), "one process got hardly anything"
