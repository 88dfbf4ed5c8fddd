"""Backfill and record from Python, against the sandbox in a process of its own."""

import asyncio
import re
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from pathlib import Path

import polars as pl
import pytest

from dccd_core import ConfigError, Dataset, ExchangeError, IncompleteError, Lake, TimeRange
from dccd_core.adapter.contract import Exchange
from dccd_core.api import work
from dccd_core.domain.timespan import HOUR, parse_time
from dccd_core.lake.partition.ledger import Answer, Asked, Source
from dccd_core.net.http import HttpTransport
from dccd_core.net.sockets import Connect
from dccd_core.testing.sandbox.faults import Fault, FaultKind
from dccd_core.testing.sandbox.process import RunningSandbox, running_sandbox

NAME = "binance/ohlc/BTC-USDT/1h"
TRADES = "binance/trades/BTC-USDT"
DAYS = ("2024-01-01", "2024-01-03")
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def shared_sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox(trades_per_day={"BTC/USDT": 432_000}) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(
    shared_sandbox: RunningSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> RunningSandbox:
    monkeypatch.setenv("DCCD_STATE_DIR", str(tmp_path / "state"))
    shared_sandbox.reset()
    return shared_sandbox


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "data")


def record_until_stored(lake: Lake, rest_url: str | None = None, ws_url: str | None = None) -> None:
    """Record for four seconds as often as it takes: on a loaded machine once may bring nothing."""
    for _ in range(30):
        lake.record(TRADES, seconds=4, rest_url=rest_url, ws_url=ws_url)
        if lake.holds(Dataset.parse(TRADES)):
            return


def test_a_backfill_is_stored_told_of_and_not_repeated(lake: Lake, sandbox: RunningSandbox) -> None:
    told = list[work.Filling]()
    done = lake.backfill(NAME, *DAYS, progress=told.append, rest_url=sandbox.rest_url("binance"))
    assert done.rows == 48
    assert told[-1].share == 1.0
    assert str(told[-1]).startswith("100%: 2024")
    dataset, wanted = Dataset.parse(NAME), TimeRange(*map(parse_time, DAYS))
    assert dataset.span is not None
    truth = sandbox.market.truth_bars("binance", dataset.symbol, dataset.span, wanted)
    assert lake.read(NAME, *DAYS)["close"].to_list() == truth["close"].to_list()
    assert lake.coverage(NAME, *DAYS) == 1.0

    again = lake.backfill(NAME, wanted, rest_url=sandbox.rest_url("binance"))
    assert (again.rows, again.requests) == (0, 0)


def test_a_backfill_asks_for_nothing_that_the_tail_has_and_takes_it_into_the_file(
    lake: Lake, sandbox: RunningSandbox
) -> None:
    dataset, second = Dataset.parse(NAME), TimeRange(*map(parse_time, ("2024-01-02", "2024-01-03")))
    assert dataset.span is not None
    lake.backfill(NAME, "2024-01-01", "2024-01-02", rest_url=sandbox.rest_url("binance"))
    truth = sandbox.market.truth_bars("binance", dataset.symbol, dataset.span, second)
    answer = Answer((Asked(second, Source.REST, second.end, 1, truth.height),))
    rows = truth.with_columns(pl.lit("BTC/USDT").alias("symbol"))
    lake.tail(dataset).append(rows, {"BTC/USDT": [answer]}, second.end)
    assert lake.coverage(NAME, *DAYS) == 1.0
    done = lake.backfill(NAME, *DAYS, rest_url=sandbox.rest_url("binance"))
    assert (done.requests, done.rows) == (0, 24)
    state = lake.state(dataset, "2024")
    assert state
    assert (state.rows, state.ledger) == (48, lake.all_known(dataset)["2024"].ledger)


def test_the_servers_of_the_configuration_are_asked(
    tmp_path: Path, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file names a proxy for whoever reads it: at b59a4a8 the exchange itself was asked."""
    urls = f"{{rest_url: '{sandbox.rest_url('binance')}', ws_url: '{sandbox.ws_url('binance')}'}}"
    (tmp_path / "dccd.yaml").write_text(f"store: lake\nexchanges: {{binance: {urls}}}\n")
    monkeypatch.setenv("DCCD_CONFIG", str(tmp_path / "dccd.yaml"))
    assert Lake().backfill(NAME, *DAYS).rows == 48
    record_until_stored(Lake())
    assert Lake().read(TRADES).height > 0
    elsewhere = Lake(tmp_path / "other")
    assert elsewhere.backfill(NAME, *DAYS, rest_url=sandbox.rest_url("binance")).rows == 48


def test_in_a_notebook_it_is_awaited_or_just_called(lake: Lake, sandbox: RunningSandbox) -> None:
    url = sandbox.rest_url("binance")

    async def notebook() -> int:
        awaited = await lake.abackfill(NAME, "2024-01-01", "2024-01-02", rest_url=url)
        called = lake.backfill(NAME, "2024-01-02", "2024-01-03", rest_url=url)
        return awaited.rows + called.rows

    assert asyncio.run(notebook()) == 48


def test_what_cannot_be_had_is_raised(lake: Lake, sandbox: RunningSandbox) -> None:
    url = sandbox.rest_url("binance")
    with pytest.raises(ExchangeError, match="NOSUCH/USDT"):
        lake.backfill("binance/ohlc/NOSUCH-USDT/1h", *DAYS, rest_url=url)
    with pytest.raises(ConfigError, match="did you mean 'binance'"):
        lake.backfill("binanse/ohlc/BTC-USDT/1h", *DAYS)
    with pytest.raises(ConfigError, match="still to come"):
        lake.backfill(NAME, "2124-01-01", rest_url=url)
    with pytest.raises(ConfigError, match="snapshots of the present"):
        lake.backfill("binance/orderbook/BTC-USDT", *DAYS, rest_url=url)


def test_a_gap_that_nobody_can_explain_is_raised_and_listed(lake: Lake, sandbox: RunningSandbox) -> None:
    start = parse_time("2024-01-01")
    sandbox.faults([Fault(kind=FaultKind.GAPS, start=start + 5 * HOUR, end=start + 7 * HOUR)])
    with pytest.raises(IncompleteError, match=r"1 gaps, the first \[2024-01-01T05:00:00Z"):
        lake.backfill(NAME, *DAYS, rest_url=sandbox.rest_url("binance"))
    assert lake.gaps(NAME, *DAYS)["missing"].to_list() == [2]
    assert lake.read(NAME, *DAYS).height == 46


def test_a_stream_is_recorded_for_so_long_and_then_stored(lake: Lake, sandbox: RunningSandbox) -> None:
    url, ws_url = sandbox.rest_url("binance"), sandbox.ws_url("binance")
    record_until_stored(lake, url, ws_url)
    assert lake.recorded() == []  # all of it is in a partition
    assert [str(one) for one in lake.datasets()] == [TRADES]
    assert lake.read(TRADES).height > 0


def test_a_recording_that_is_cancelled_stores_what_came(lake: Lake, sandbox: RunningSandbox) -> None:
    url, ws_url = sandbox.rest_url("binance"), sandbox.ws_url("binance")

    async def interrupted() -> None:
        work = asyncio.ensure_future(lake.arecord(TRADES, rest_url=url, ws_url=ws_url))
        while not lake.recorded():  # noqa: ASYNC110 -- the recorder tells nobody
            await asyncio.sleep(0.1)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work

    asyncio.run(interrupted())
    assert lake.recorded() == []  # all of it is in a partition
    assert lake.read(TRADES).height > 0


@pytest.mark.parametrize("names", [(), (TRADES, "okx/trades/BTC-USDT")])
def test_one_call_records_one_exchange(lake: Lake, names: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="datasets of one exchange"):
        lake.record(*names)


def test_the_page_of_the_docs_runs_as_it_stands(
    sandbox: RunningSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport, sockets = work.open_transport, work.open_sockets

    def to_sandbox(exchange: Exchange, *, rest_url: None) -> AbstractAsyncContextManager[HttpTransport]:
        return transport(exchange, rest_url=sandbox.rest_url(exchange.name))

    def heard(exchange: Exchange, *, ws_url: None, share: float) -> AbstractContextManager[Connect]:
        return sockets(exchange, ws_url=sandbox.ws_url(exchange.name), share=share)

    monkeypatch.setattr(work, "open_transport", to_sandbox)
    monkeypatch.setattr(work, "open_sockets", heard)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DCCD_CONFIG", raising=False)
    said = list[object]()

    def show(*words: object) -> None:
        said.extend(words)

    page: dict[str, object] = {"print": show}
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "python.md").read_text(), re.DOTALL)
    assert len(blocks) == 8
    for block in blocks:
        exec(block, page)
    assert page["january"] == 1.0
    assert 168 in said
    lake = Lake(tmp_path / "data")
    assert "binance/ohlc/BTC-USDT/1h" in {str(one) for one in lake.datasets()}
