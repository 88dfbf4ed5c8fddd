"""Work for four processes that share a venue's limits, and how much of those limits they use."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from itertools import product
from pathlib import Path
from typing import Final
from unittest.mock import patch
from urllib.parse import urlencode

import httpx

from dccd_core.adapter.contract import Query
from dccd_core.domain.timespan import MINUTE, SECOND, TimeRange, Us, moment
from dccd_core.net import http
from dccd_core.net.clock import SystemClock
from dccd_core.net.virtual import VirtualClock, VirtualLoop, run_virtually
from dccd_core.testing.sandbox.limits import Rule
from dccd_core.testing.sandbox.options import OptionArguments, Options
from dccd_core.testing.sandbox.process import RunningSandbox, running_sandbox
from dccd_core.testing.sandbox.server import VENUES, Sandbox, app_of
from dccd_core.testing.sandbox.stats import Stats
from tests.promises.filler import Answered, Job, Report, filler, work_on_all

PROCESSES: Final = 4
MONTHS: Final = tuple(f"{year}-{month:02}" for year, month in product(range(2018, 2026), range(1, 13)))
DAYS: Final = tuple(f"2025-{month:02}-{day:02}" for month, day in product(range(7, 10), range(1, 31)))
DOLLAR: Final = ("BTC/USD", "ETH/USD", "DOGE/USD", "BTC/USDT")
TETHER: Final = ("BTC/USDT", "ETH/USDT", "SOL/USDT", "BNB/USDT")
DENSITY: Final = {"NEW/USDT": 300, "BTC/USDT:USDT": 400_000}
_LEARNING: Final = 5 * SECOND
"""In the first seconds of a new venue the budget finds out how long an answer takes."""


def days_ago(*numbers: int) -> tuple[str, ...]:
    today = moment(SystemClock().now())
    return tuple(f"{today - timedelta(days=number):%Y-%m-%d}" for number in numbers)


def month_of_6_hours_ago() -> str:
    return f"{moment(SystemClock().now()) - timedelta(hours=6):%Y-%m}"


@dataclass(frozen=True, kw_only=True)
class Load:
    """Work for a pool of limits: process n fills the n-th of ``symbols``, ``bars`` and, for trades, ``days``.

    Each process has a lake of its own; see ``Job`` for the rest.
    """

    exchange: str
    pool: str = ""
    symbols: tuple[str, ...] = TETHER
    bars: tuple[int | None, ...] = (MINUTE,)
    months: Sequence[str] = MONTHS
    days: Sequence[str] = DAYS
    page_limit: int | None = None
    in_flight: int = 32
    apart: bool = False

    def __str__(self) -> str:
        return "/".join(part for part in (self.exchange, self.pool) if part)

    @property
    def rule(self) -> Rule:
        venue = next(venue for venue in VENUES if venue.name == self.exchange)
        return venue.rule(self.pool)

    def job(self, number: int, url: str, folder: Path) -> Job:
        bar = self.bars[number % len(self.bars)]
        return Job(
            url=url,
            lake=str(folder / f"{self}-{number}".replace("/", "-")),
            keys=list(self.months if bar else self.days),
            exchange=self.exchange,
            symbol=self.symbols[number % len(self.symbols)],
            bar=bar,
            limit_weight=None,
            page_limit=self.page_limit,
            in_flight=self.in_flight,
            apart=self.apart,
        )


def _light(load: Load) -> Load:
    """Let pages be short and few under way: what queues in the sandbox and here is no venue's answer time."""
    return replace(load, page_limit=100, in_flight=4)


BINANCE: Final = Load(exchange="binance")
USDM: Final = Load(
    exchange="binance",
    pool="usdm",
    symbols=("ETH/USDT:USDT", "ETH/USDT:USDT", "BTC/USDT:USDT", "BTC/USDT:USDT"),
    bars=(MINUTE, MINUTE, None, None),
    days=days_ago(1, 0),
)
BITMEX: Final = Load(exchange="bitmex", bars=(MINUTE, None))
BITFINEX: Final = (
    Load(exchange="bitfinex", pool="candles", symbols=DOLLAR),
    Load(exchange="bitfinex", pool="trades", symbols=DOLLAR, bars=(None,)),
)
BY_THE_MINUTE: Final = (USDM, BITMEX, *BITFINEX)
SCALED: Final = (
    _light(BINANCE),
    _light(replace(USDM, bars=(MINUTE,))),  # a page of trades weighs 20: too coarse for so small a limit
    *map(_light, BITFINEX),
)
BYBIT: Final = _light(Load(exchange="bybit", symbols=("NEW/USDT",), months=MONTHS[-20:]))
BY_THE_SECOND: Final = (
    _light(Load(exchange="okx", pool="history-candles")),
    _light(Load(exchange="okx", pool="history-trades", bars=(None,), days=days_ago(*range(60, 0, -1)))),
    _light(Load(exchange="coinbase", symbols=DOLLAR, bars=(MINUTE, None))),
    # one answer holds all bars there are, so the same ones are asked for again and again
    Load(
        exchange="kraken",
        pool="ohlc",
        symbols=("BTC/USD",),
        months=[month_of_6_hours_ago()] * 100,
        apart=True,
    ),
    Load(exchange="kraken", pool="trades", symbols=("BTC/USD",), bars=(None,)),
)


@dataclass(frozen=True)
class Used:
    """How much of a limit four processes used.

    ``mean`` is the weight in a period wherever it begins, on average over whole periods; ``windows`` are the
    full ones of the venue's clock. The first period and the last are left out.
    """

    load: Load
    limit: int
    mean: float
    windows: list[int]
    reports: Sequence[Report]

    def __str__(self) -> str:
        shares = [report.requests for report in self.reports]
        return (
            f"{self.load}: {self.mean / self.limit:.1%} of {self.limit:,}; windows {self.windows};"
            f" requests {shares}"
        )


@dataclass(frozen=True)
class Trial:
    """Four processes are kept busy with all ``loads`` for so many seconds.

    ``scale``: what every limit is instead of the venue's own, a weight and a number of seconds.
    """

    loads: Sequence[Load]
    seconds: float
    scale: tuple[int, int] | None = None

    def run(self, folder: Path, rtt_ms: float = 100) -> tuple[list[Used], Stats]:
        """Return what was used of the limits, and what the venues saw."""
        with running_sandbox(**self._options(rtt_ms)) as sandbox, ExitStack() as stack:
            crews = [self._jobs(number, sandbox.rest_url, folder) for number in range(PROCESSES)]
            fillers = [stack.enter_context(filler(folder, *jobs)) for jobs in crews]
            _warm(sandbox, [job for jobs in crews for job in jobs])
            for each in fillers:
                each.ready()
            for each in fillers:
                each.go()
            reports = [each.reports() for each in fillers]
            stats = sandbox.stats()
        return self._all_used(reports, stats), stats

    def play(self, folder: Path, rtt_ms: float = 100) -> tuple[list[Used], Stats]:
        """Do the same in this process, on a clock that is given: how busy the machine is changes nothing."""

        async def main(loop: VirtualLoop) -> tuple[list[list[Report]], Stats]:
            now = SystemClock().now()
            clock = VirtualClock(loop, Us(now - now % MINUTE))
            sandbox = Sandbox(Options(**self._options(rtt_ms)), clock.now)
            crews = [self._jobs(number, "http://sandbox/{}".format, folder) for number in range(PROCESSES)]
            inside = partial(httpx.AsyncClient, transport=httpx.ASGITransport(app_of(sandbox)))
            with patch.object(http.httpx, "AsyncClient", inside):
                reports = await asyncio.gather(*(work_on_all(jobs, clock) for jobs in crews))
            return reports, sandbox.tally.stats(sandbox.connections.tally)

        reports, stats = run_virtually(main)
        return self._all_used(reports, stats), stats

    def _all_used(self, reports: Sequence[Sequence[Report]], stats: Stats) -> list[Used]:
        by_load = list(zip(*reports, strict=True))
        return [self._used(load, by_load, stats) for load in self.loads]

    def _options(self, rtt_ms: float) -> OptionArguments:
        weight, window_s = self.scale or (None, None)
        return OptionArguments(
            rtt_ms=rtt_ms,
            rate_limits=True,
            limit_weight=weight,
            window_s=window_s,
            trades_per_day=DENSITY,
        )

    def _jobs(self, number: int, url: Callable[[str], str], folder: Path) -> list[Job]:
        jobs = [load.job(number, url(load.exchange), folder) for load in self.loads]
        for job in jobs:
            job.stop_after_s = self.seconds
            if self.scale:
                job.limit_weight, job.window_s = self.scale
        return jobs

    def _used(self, load: Load, reports: Sequence[Sequence[Report]], stats: Stats) -> Used:
        limit, period = load.rule.amount, load.rule.period
        if self.scale:
            limit, period = self.scale[0], Us(self.scale[1] * SECOND)
        answered = self._answered(load, reports)
        places = {"/".join(part for part in (load.exchange, one.place) if part) for one in answered}
        [seen] = [windows for place, windows in stats.windows.items() if place in places]
        weights = [weight for _, weight in sorted(seen.items(), key=lambda item: int(item[0]))]
        mean = mean_of_periods(answered, period, self.seconds)
        return Used(load, limit, mean, weights[1:-1], reports[self.loads.index(load)])

    def _answered(self, load: Load, reports: Sequence[Sequence[Report]]) -> list[Answered]:
        """Return what was answered in the pool of ``load``; other work at the exchange may be among it."""
        return [
            one
            for other, theirs in zip(self.loads, reports, strict=True)
            if other.exchange == load.exchange
            for report in theirs
            for one in report.answered
            if one.place.partition("/")[0] == load.pool
        ]


def _warm(sandbox: RunningSandbox, jobs: list[Job]) -> None:
    """Let the sandbox work out the first rows of history: that takes it seconds, and nobody is answered."""
    for job in {(job.exchange, job.symbol, job.bar): job for job in jobs}.values():
        exchange, asked = job.venue(), job.dataset
        endpoint = exchange.endpoint(asked.symbol.market_type, asked.data_type)
        if endpoint and endpoint.oldest:
            span = TimeRange(Us(0), SystemClock().now())
            market, kind = exchange.market(asked.symbol), asked.symbol.market_type
            request = endpoint.oldest(Query(market, span, 1, bar=asked.span, market_type=kind))
            httpx.get(f"{job.url}{request.path}?{urlencode(request.params)}", timeout=60)
    sandbox.reset()


def mean_of_periods(answered: Iterable[Answered], period: int, seconds: float) -> float:
    """Return the weight in a period, averaged over every moment it may begin at; ``seconds`` is all there is.

    >>> mean_of_periods([Answered("", at, 2) for at in range(0, 20 * SECOND, SECOND // 2)], SECOND, 20)
    4.0
    """
    times = sorted((one.at, one.weight) for one in answered)
    skipped = max(period, _LEARNING)
    start = times[0][0] + skipped
    begins = (int(seconds * SECOND) - SECOND - skipped) // period * period - period
    assert begins > 0, "too short to be measured"
    # an answer is in the periods that begin less than a period before it
    moments = ((max(start, at - period), min(start + begins, at), weight) for at, weight in times)
    return sum(weight * max(0, until - since) for since, until, weight in moments) / begins


WINDOWS: Final = 3
_MINUTES: Final = (WINDOWS + 1.2) * 60
TRIALS: Final = {
    "by-the-second": Trial(BY_THE_SECOND, 15),
    "bybit": Trial([BYBIT], 16),
    "by-the-minute-scaled": Trial(SCALED, 14, scale=(40, 4)),
    "binance": Trial([BINANCE], _MINUTES),
    "by-the-minute": Trial(BY_THE_MINUTE, _MINUTES),
}
"""How long: the first period is not measured, nor the first seconds; then it takes two whole periods."""
