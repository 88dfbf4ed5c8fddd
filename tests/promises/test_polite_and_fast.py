"""Four processes at once: no venue ever has to refuse, and hardly anything of its limits is left unused."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from itertools import product
from pathlib import Path

import pytest

from dccd_core.domain.timespan import MINUTE, SECOND, Ns, moment
from dccd_core.net.clock import SystemClock
from dccd_core.testing.sandbox.limits import Rule, Style
from dccd_core.testing.sandbox.options import Options
from dccd_core.testing.sandbox.process import RunningSandbox, running_sandbox
from dccd_core.testing.sandbox.server import VENUES
from dccd_core.testing.sandbox.stats import Stats
from tests.promises.filler import Answered, Job, Report, filler

pytestmark = pytest.mark.alone

PROCESSES = 4
DOLLAR = ("BTC/USD", "ETH/USD", "DOGE/USD", "BTC/USDT")
TETHER = ("BTC/USDT", "ETH/USDT", "SOL/USDT", "BNB/USDT")
LINEAR = ("BTC/USDT:USDT", "ETH/USDT:USDT")
MONTHS = tuple(f"{year}-{month:02}" for year, month in product(range(2018, 2026), range(1, 13)))
SHORTEST = 10
"""Seconds that are measured at least: a period of a second is as often a bit longer as a bit shorter."""


def days(count: int, until: int = 0) -> list[str]:
    """Name the last days, today's the last of them; ``until`` leaves out so many."""
    today = moment(SystemClock().now())
    return [f"{today - timedelta(days=ago):%Y-%m-%d}" for ago in range(count - 1 + until, until - 1, -1)]


def month_of_6_hours_ago() -> str:
    return f"{moment(SystemClock().now()) - timedelta(hours=6):%Y-%m}"


@dataclass(frozen=True)
class Load:
    """Work for one pool of an exchange's limits: process n fills the n-th of ``symbols`` and ``bars``.

    ``keys`` are for bars, ``days`` for trades; each process has a lake of its own.
    """

    exchange: str
    pool: str = ""
    symbols: tuple[str, ...] = TETHER
    bars: tuple[int | None, ...] = (MINUTE,)
    keys: Sequence[str] = MONTHS
    days: Sequence[str] = ()
    page_limit: int | None = None
    apart: bool = False

    def __str__(self) -> str:
        return f"{self.exchange}/{self.pool}" if self.pool else self.exchange

    def job(self, number: int, folder: Path, sandbox: RunningSandbox) -> Job:
        bar = self.bars[number % len(self.bars)]
        return Job(
            url=sandbox.rest_url(self.exchange),
            lake=str(folder / f"{self}-{number}".replace("/", "-")),
            keys=list(self.keys if bar else self.days),
            exchange=self.exchange,
            symbol=self.symbols[number % len(self.symbols)],
            bar=bar,
            limit_weight=None,
            page_limit=self.page_limit,
            apart=self.apart,
        )

    @property
    def rule(self) -> Rule:
        venue = next(venue for venue in VENUES if venue.name == self.exchange)
        return venue.rule(self.pool)


BINANCE = Load("binance")
USDM = Load("binance", "usdm", LINEAR, (MINUTE, MINUTE, None, None), days=days(2))
BITMEX = Load("bitmex", symbols=LINEAR, bars=(MINUTE, MINUTE, None, None), days=days(60))
BITFINEX = [
    Load("bitfinex", "candles", DOLLAR),
    Load("bitfinex", "trades", DOLLAR, (None,), days=days(60)),
]
LONG = [USDM, BITMEX, *BITFINEX]
SHORT = [
    Load("bybit", symbols=("NEW/USDT",), keys=[m for m in MONTHS if m > "2024-02"], page_limit=100),
    Load("okx", "history-candles"),
    Load("okx", "history-trades", bars=(None,), days=days(60, 1)),
    Load("coinbase", symbols=DOLLAR, bars=(MINUTE, MINUTE, None, None), days=days(60)),
    # one answer holds all there is: it is asked again and again
    Load("kraken", "ohlc", DOLLAR[:1], keys=[month_of_6_hours_ago()] * 100, apart=True),
    Load("kraken", "trades", DOLLAR[:1], (None,), days=days(60)),
]


def run(folder: Path, loads: list[Load], options: Options, stop_after_s: float):
    import time

    with (
        running_sandbox(
            rtt_ms=100,
            rate_limits=True,
            limit_weight=options.limit_weight,
            window_s=options.window_s,
            trades_per_day={"NEW/USDT": 300, **{name: 500_000 for name in LINEAR}},
        ) as sandbox,
        ExitStack() as stack,
    ):
        t = time.time()
        import httpx
        from urllib.parse import urlencode
        from dccd_core.adapter.contract import Query
        from dccd_core.domain.timespan import TimeSpan
        for job in {(j.exchange, j.symbol, j.bar): j for n in range(PROCESSES) for j in [l.job(n, folder, sandbox) for l in loads]}.values():
            ex, ds = job.venue(), job.dataset
            ep = ex.endpoint(ds.symbol.market, ds.data_type)
            if ep.oldest:
                r = ep.oldest(Query(ex.market(ds.symbol), TimeSpan(Ns(0), SystemClock().now()), 1, bar=ds.span, kind=ds.symbol.market))
                httpx.get(f"{job.url}{r.path}?{urlencode(r.params)}", timeout=60)
        sandbox.reset()
        print("warm", time.time() - t)
        fillers = []
        for n in range(PROCESSES):
            jobs = [load.job(n, folder, sandbox) for load in loads]
            for job in jobs:
                job.stop_after_s = stop_after_s
                if options.limit_weight:
                    job.limit_weight, job.window_s = options.limit_weight, options.window_s
            fillers.append(stack.enter_context(filler(folder, *jobs)))
        for each in fillers:
            each.go()
        reports = [each.reports() for each in fillers]
        import sqlite3
        for path in sorted(folder.glob("*.sqlite")):
            print(path.name[:60], sqlite3.connect(path).execute("select fastest/1e6 from way").fetchall())
        return reports, sandbox.stats()


def mean(answered: list[Answered], period: int) -> float:
    times = sorted((one.at, one.weight) for one in answered)
    first, last = times[0][0] + period, times[-1][0] - period
    first_end = first + period
    # windows [t, t+P) for t in [first, last - P]; request at x counted for t in (x-P, x]
    total = 0
    for x, w in times:
        lo, hi = max(first, x - period), min(last - period, x)
        total += w * max(0, hi - lo)
    return total / (last - period - first)


if __name__ == "__main__":
    import sys, tempfile, os

    which = {"short": SHORT, "long": LONG, "binance": [BINANCE]}
    loads = []
    for name in sys.argv[1].split(","):
        if name in which:
            loads += which[name]
        else:
            loads += [l for l in SHORT + LONG if str(l) == name]
    opts = (
        Options(limit_weight=int(sys.argv[3]), window_s=int(sys.argv[4])) if len(sys.argv) > 3 else Options()
    )
    with tempfile.TemporaryDirectory() as d:
        t0 = os.times()
        reports, stats = run(Path(d), loads, opts, float(sys.argv[2]))
    for i, load in enumerate(loads):
        mine = [r[i] for r in reports]
        period = (opts.window_s * SECOND) if opts.window_s else load.rule.period
        amount = opts.limit_weight or load.rule.amount
        ans = [a for r in reports for j, o in enumerate(loads) if o.exchange == load.exchange for a in r[j].answered if a.place.split("/")[0] == load.pool]
        m = mean(ans, period)
        place = str(load)
        wins = {
            k: [w for _, w in sorted(v.items(), key=lambda i: int(i[0]))]
            for k, v in stats.windows.items()
            if k.startswith(place)
        }
        print(
            f"{place:22} mean {m:.2f} of {amount} = {m / amount:.1%}  requests {[r.requests for r in mine]} idle {[r.idle for r in mine]} errors {[r.errors for r in mine if r.errors]} cpu {[round(r.cpu_s, 1) for r in mine]}"
        )
        for k, v in wins.items():
            print("    ", k, v)
    print("refused", stats.refused(), {p: s.statuses for p, s in stats.paths.items()})
