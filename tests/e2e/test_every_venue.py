"""What every exchange owes whoever types ``dccd backfill``: partitions that equal the truth, value by value.

The command is the real one, called in this process, with a project, a Dagster instance, a lake and a budget
of its own. One thing is changed: the budget takes the venues' limits for far higher than they are, since
with their own this would take an hour (Bitfinex: 15 requests a minute). Paging, retries and clocks are the
real ones. One case runs in a process of its own, with nothing changed.
"""

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from click.testing import CliRunner, Result

from dccd_core.adapter.contract import FULL, NOW, Endpoint, Exchange, Keeps, Recent, TimeWindows
from dccd_core.domain.barspan import format_bar_span
from dccd_core.domain.dataset import Dataset, partition_key, partition_keys
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, MINUTE, SECOND, TimeRange, Us, iso, parse_time
from dccd_core.exchanges import NAMES, get
from dccd_core.lake.partition.ledger import Condition
from dccd_core.net.ratelimit.limiter import RateLimiters
from dccd_core.tables import DataType
from dccd_core.testing.sandbox.faults import Fault, FaultKind
from dccd_core.testing.sandbox.process import RunningSandbox, running_sandbox
from dccd_pipeline.cli.main import main
from dccd_pipeline.config.capabilities import present, served
from tests.dccd_core.fetch.world import transient
from tests.e2e.project import ROOT, Project, stored

pytestmark = pytest.mark.e2e
IN_USD = ("coinbase", "kraken", "bitfinex")
SYMBOLS = {"spot": "BTC/USDT", "linear": "BTC/USDT:USDT", "inverse": "BTC/USD:BTC"}
FIRST_DAYS = {DataType.OHLC: ("2022-01-01", "2022-04-01"), DataType.TRADES: ("2022-03-01", "2022-03-04")}
TROUBLE = 0.01
"""The share of requests that each of five kinds of trouble strikes."""


@dataclass(frozen=True)
class Case:
    dataset: Dataset
    endpoint: Endpoint

    def __str__(self) -> str:
        return str(self.dataset)

    @property
    def span(self) -> TimeRange | None:
        """Three partitions that the venue has all of; None where it only shows the newest rows."""
        if self.endpoint.reach == FULL:
            start, end = FIRST_DAYS[self.dataset.data_type]
            return TimeRange(parse_time(start), parse_time(end))
        if (period := self.endpoint.reach.period) and period > 4 * DAY:
            today = Us(present() // DAY * DAY)
            return TimeRange(Us(today - 3 * DAY), today)
        return None


def cases() -> Iterator[Case]:
    for name in NAMES:
        for data_type in DataType:
            for kind, endpoint in served(get(name), data_type, present()).items():
                symbol = "BTC/USD" if kind == "spot" and name in IN_USD else SYMBOLS[kind]
                bar = min((one for one in endpoint.spans if one >= MINUTE), default=None)
                yield Case(Dataset(name, Symbol.parse(symbol), data_type, bar), endpoint)


CASES = list(cases())
DENSITY = {str(case.dataset.symbol): 2_000 for case in CASES}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox(trades_per_day=DENSITY) as running:
        yield running


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of an instance without runs: a copy is ready in a fifth of the time."""
    home = tmp_path_factory.mktemp("home")
    shutil.copy(ROOT / "dagster.yaml", home)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        assert instance.get_runs_count() == 0
    return home


@pytest.fixture
def project(sandbox: RunningSandbox, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    sandbox.reset()
    project = configured(sandbox, tmp_path / "project")
    shutil.copytree(home, project.folder / "home", dirs_exist_ok=True)
    for name in ("DAGSTER_HOME", "DCCD_STATE_DIR", "DCCD_CONFIG"):
        monkeypatch.setenv(name, project.environment[name])
    monkeypatch.setattr("dccd_core.net.http.RateLimiters", roomy)
    return project


def configured(sandbox: RunningSandbox, folder: Path) -> Project:
    """Make a project that collects nothing by itself and finds every exchange in the sandbox."""
    project = Project.make(folder, sandbox.rest_url("binance"))
    urls = [f"  {name}: {{rest_url: {sandbox.rest_url(name)}}}" for name in NAMES]
    (folder / "dccd.yaml").write_text("\n".join(["store: ./data", "exchanges:", *urls]))
    return project


def roomy(exchange: Exchange, *arguments: Any, **options: Any) -> RateLimiters:
    """Make the budgets of an exchange that allows ten thousand times as much."""
    limits = tuple(replace(limit, amount=10_000 * limit.amount) for limit in exchange.limits)
    return RateLimiters(replace(exchange, limits=limits), *arguments, **options)


def question(case: Case, start: str, end: str | None = None) -> list[str]:
    dataset = case.dataset
    span = ["--span", format_bar_span(dataset.span)] if dataset.span else []
    what = [dataset.exchange, str(dataset.symbol), "--data-type", dataset.data_type.value, *span]
    return ["backfill", *what, "--start", start, *(["--end", end] if end else []), "--json"]


def dccd(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, catch_exceptions=False)


@cache
def truth(sandbox: RunningSandbox, dataset: Dataset, span: TimeRange) -> pl.DataFrame:
    if dataset.span:
        return sandbox.market.truth_bars(dataset.exchange, dataset.symbol, dataset.span, span)
    return sandbox.market.truth_trades(dataset.exchange, dataset.symbol, span)


@pytest.mark.parametrize(
    "hostile",
    [pytest.param(False, id="as they come", marks=pytest.mark.slow), pytest.param(True, id="hostile")],
)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_partitions_equal_the_truth(
    case: Case, sandbox: RunningSandbox, project: Project, *, hostile: bool
) -> None:
    if hostile:
        sandbox.faults([*transient(TROUBLE), *shuffled(case)])
    if case.endpoint.reach == NOW:
        check_book(case, sandbox, project)
    elif case.span:
        done = dccd(*question(case, iso(case.span.start), iso(case.span.end)))
        check_whole(case, sandbox, project, done.exit_code, done.stdout)
    else:
        check_newest(case, sandbox, project)


def test_in_a_process_of_its_own_at_the_pace_that_the_venue_allows(tmp_path: Path) -> None:
    """Coinbase allows ten requests a second, and here it refuses more."""
    [case] = [one for one in CASES if str(one) == "coinbase/trades/BTC-USD"]
    with running_sandbox(rate_limits=True, trades_per_day=DENSITY) as strict:
        project = configured(strict, tmp_path / "project")
        assert case.span
        done = project.dccd(*question(case, iso(case.span.start), iso(case.span.end)))
        check_whole(case, strict, project, done.returncode, done.stdout)
        assert strict.stats().refused() == 0


def shuffled(case: Case) -> Iterator[Fault]:
    """Yield what makes pages of random sizes, with rows twice and in any order; ties are there anyway."""
    if case.dataset.data_type is DataType.ORDERBOOK:
        return
    path, often = case.endpoint.path.rsplit("/", 1)[-1], 0.1 if case.dataset.span else 0.5  # of few pages
    if case.endpoint.paging not in (Recent(), TimeWindows(Keeps.ALL)):
        # a page that keeps its newest rows may be cut, but not the weeks of which the first is the listing
        interval = "1" if case.dataset.exchange == "bybit" else ""
        yield Fault(kind=FaultKind.SHORT_PAGE, path=path, probability=often, symbol=interval)
    yield Fault(kind=FaultKind.DUPLICATED, path=path, probability=often)
    yield Fault(kind=FaultKind.REORDERED, path=path, probability=often)


def check_whole(case: Case, sandbox: RunningSandbox, project: Project, code: int, said: str) -> None:
    assert case.span
    keys = list(partition_keys(case.dataset.grain, case.span))
    assert len(keys) == 3
    told = json.loads(said)
    assert told["failure"] == ""
    assert told["partitions"] == {f"{case.dataset} {key}": Condition.AVAILABLE for key in keys}
    assert code == 0
    assert_same(stored(project, case.dataset), truth(sandbox, case.dataset, case.span), case)


def check_newest(case: Case, sandbox: RunningSandbox, project: Project) -> None:
    """What the venue still shows of the newest partitions is there, to the last row that is final."""
    dataset, bar = case.dataset, case.dataset.span or 0
    delay = get(dataset.exchange).finality_delay
    start, began = earliest_start(case), present()
    done = dccd(*question(case, start))
    ended = present()
    assert done.exit_code == 0  # of the open partition all is there that can be final
    told = json.loads(done.stdout)
    assert told["failure"] == ""
    assert told["partitions"][f"{dataset} {partition_key(dataset.grain, ended)}"] != Condition.AVAILABLE
    assert f"{dataset} {partition_key(dataset.grain, began)}" in told["partitions"]

    rows = stored(project, dataset)
    first, last = (Us(int(rows["ts"].to_physical()[at])) for at in (0, -1))
    expected = truth(sandbox, dataset, TimeRange(first, Us(last + 1)))
    assert_same(rows, expected.tail(rows.height), case)  # of the first moment some may not be shown any more
    asked = parse_time(start)  # nothing before it is asked for
    before, after = (max(asked, shown_since(case, sandbox, at)) for at in (began, ended))
    assert first >= before - bar
    assert truth(sandbox, dataset, TimeRange(min(first, Us(after + (bar or 1))), first)).is_empty()
    final = Us(began - delay - SECOND - bar)  # the venue tells its time in whole seconds
    assert truth(sandbox, dataset, TimeRange(Us(last + 1), max(final, Us(last + 1)))).is_empty()


def earliest_start(case: Case) -> str:
    """Return from when on to ask: as a refusal says, where it can be known beforehand."""
    if case.endpoint.reach.rows and not case.dataset.span:
        return iso(Us(present() - 10 * MINUTE))
    return suggested(case)


def shown_since(case: Case, sandbox: RunningSandbox, at: Us) -> Us:
    """Return from when on the venue shows rows at a moment."""
    reach, dataset = case.endpoint.reach, case.dataset
    since = reach.since(at, dataset.span)
    if since is not None:
        return since
    assert reach.rows
    shown = truth(sandbox, dataset, TimeRange(Us(at - 2 * DAY), at))["ts"].to_physical().tail(reach.rows)
    return Us(int(shown[0]))


def check_book(case: Case, sandbox: RunningSandbox, project: Project) -> None:
    dataset, asked = case.dataset, question(case, suggested(case))
    began, done, ended = present(), dccd(*asked), present()
    today = partition_key(dataset.grain, began)
    assert done.exit_code == 0
    assert json.loads(done.stdout)["partitions"] == {f"{dataset} {today}": Condition.AVAILABLE}
    rows = stored(project, dataset)
    (at,) = rows["ts"].to_physical().unique()
    assert began - MINUTE < at <= ended
    bids, asks = (rows.filter(side=side).drop("ts", "side") for side in ("bid", "ask"))
    depth = min(100, case.endpoint.page_limit)
    book = sandbox.market.orders(dataset.exchange, dataset.symbol)
    # Not all venues say when a book was as it is: it is one of those that were there meanwhile.
    shown = map(book.time, range(book.version(began), book.version(ended) + 1))
    truths = (sandbox.market.truth_book(dataset.exchange, dataset.symbol, then, depth) for then in shown)
    assert any(rows.drop("ts").equals(truth.drop("ts")) for truth in truths)
    assert bids["level"].to_list() == asks["level"].to_list() == list(range(depth))
    assert bids["price"].is_sorted(descending=True)
    assert asks["price"].is_sorted()
    assert bids["price"][0] < asks["price"][0]
    assert (rows["amount"] > 0).all()


def suggested(case: Case) -> str:
    """Ask from a time on that is long gone; return the one that the refusal says."""
    done = dccd(*question(case, "2024-01-01"))
    assert done.exit_code == 2
    found = re.search(r" -> write --start ([^\s,]+)", done.stderr)
    assert found, done.stderr
    return found[1]


def assert_same(rows: pl.DataFrame, expected: pl.DataFrame, case: Case) -> None:
    assert rows.schema == expected.schema
    assert rows.height == expected.height
    if case.dataset.exchange == "bitmex" and case.dataset.data_type is DataType.TRADES:
        # its ids tell no order: what is shuffled inside of a moment stays so
        rows, expected = (frame.sort("ts", "trade_id") for frame in (rows, expected))
    assert rows.equals(expected)
