"""A store that dccd 3.8.1 wrote is taken over whole, in little memory, and a backfill proves it."""

import subprocess
import sys
from pathlib import Path
from typing import Final

import polars as pl
import pytest

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import DAY, HOUR, MINUTE, TimeRange, Us
from dccd_core.imports.quirks import Refusal, Remark, Repair
from dccd_core.imports.run import import_store
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.partition.ledger import Condition
from dccd_core.net.clock import SystemClock
from dccd_core.testing.sandbox.process import RunningSandbox, running_sandbox
from tests.dccd_core.fetch.world import NOW, World, bars, truth
from tests.dccd_core.imports.old import NS, Old, at
from tests.promises.memory import GIVES_BACK

ROOT: Final = Path(__file__).parents[2]


def as_dccd_3_has_them(rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows of ours with the names and times of dccd 3."""
    named = rows.rename({"trade_id": "tid"}, strict=False).drop("received", strict=False)
    return named.select((pl.col("ts").to_physical() * NS).alias("TS"), pl.exclude("ts")).cast(
        {pl.Enum(["buy", "sell"]): pl.String}
    )


def test_a_backfill_replaces_trades_that_were_imported_without_ids(tmp_path: Path) -> None:
    world = World(tmp_path, exchange="kraken", trades_per_day={"BTC/USD": 1_500})
    dataset = Dataset.parse("kraken/trades/BTC-USD")
    day = "2024-06-03"
    whole = world.truth(dataset, day)
    theirs = as_dccd_3_has_them(whole).with_columns(tid=pl.lit(None, pl.String)).unique(maintain_order=True)
    Old(tmp_path / "old").put(f"kraken/trades/BTC-USD/{day}.parquet", theirs)
    import_store(tmp_path / "old", world.lake, NOW)
    assert world.lake.scan(dataset).collect().height == theirs.height
    assert world.condition(dataset, day) is Condition.PENDING
    world.fill(dataset, day)
    assert world.stored(dataset, day).equals(whole)
    assert world.condition(dataset, day) is Condition.AVAILABLE


def test_a_backfill_mends_bars_that_were_not_over_and_drops_those_that_never_were(tmp_path: Path) -> None:
    world, dataset = World(tmp_path), bars(HOUR)
    whole = world.truth(dataset, "2024", Us(NOW - HOUR))
    half = as_dccd_3_has_them(whole).with_row_index("n")
    half = half.with_columns(close=pl.when(pl.col("n") == 99).then("low").otherwise("close")).drop("n")
    Old(tmp_path / "old").put("binance/ohlc/BTC-USDT/1h/2024.parquet", half)
    import_store(tmp_path / "old", world.lake, NOW)
    assert not world.lake.scan(dataset).collect().head(whole.height).equals(whole)
    world.fill(dataset, "2024")
    assert world.stored(dataset, "2024").head(whole.height).equals(whole)


WRITES = """
import asyncio, sys
from importlib import import_module
binance = import_module("dccd.sources.binance")
jobs = import_module("dccd.application.jobs")
operations = import_module("dccd.application.operations")
ratelimit = import_module("dccd.transport.ratelimit")
records = import_module("dccd.domain.records")
ids = import_module("dccd.domain.dataset")
Symbol = import_module("dccd.domain.symbol").Symbol
DataType = import_module("dccd.domain.types").DataType
wiring = import_module("dccd.application.service_factory")

url, folder, start, end = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
binance._BASE_REST = url + "/api/v3"
operations.ns_now = lambda: end
ratelimit.shared_limiter()._rates["binance"] = 1e9
store = wiring.build_store(folder)

def backfill(kind, span):
    pair = Symbol.parse("BTC/USDT")
    target = jobs.JobTarget(exchange="binance", symbol=pair, data_type=DataType(kind), span=span)
    spec = jobs.JobSpec(id=kind, operation="backfill", target=target, trigger=jobs.Trigger(kind="once"),
                        params=jobs.JobParams(start=str(start)))
    done = asyncio.run(operations.backfill(spec, registry=wiring.build_registry(), store=store,
                                           coverage_store=wiring.build_coverage_store(folder)))
    assert "error" not in done, done

def save(exchange, pair, kind, rows, span=None):
    name = ids.DatasetId(exchange=exchange, symbol=Symbol.parse(pair), data_type=DataType(kind), span=span)
    store.save(name, rows, ids.Provenance(source="test"))

backfill("ohlc", 60)
backfill("trades", None)
bar = lambda ts: records.OHLCBar(ts=ts, open=10, high=12, low=9, close=11, volume=100)
save("bitmex", "BTC/USD", "ohlc", [bar(start + (n + 1) * 60 * 10**9) for n in range(3)], 60)
save("okx", "BTC/USDT", "ohlc", [bar(start - 8 * 3600 * 10**9 + n * 86400 * 10**9) for n in range(3)], 86400)
same = [records.Trade(ts=start, price=1.0, amount=1.0, side="buy")] * 2
save("kraken", "BTC/USD", "trades", same)
level = lambda price: records.OrderBookLevel(price=price, amount=1.0)
save("binance", "BTC/USDT", "orderbook",
     [records.OrderBookSnapshot(ts=start, bids=[level(9), level(8)], asks=[level(10), level(11)])])
save("binance", "BTC/USDT:perp", "funding", [records.FundingRate(ts=start, rate=0.1)])
"""


@pytest.fixture(scope="module")
def dccd_3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with dccd 3.8.1 from the package index; the test is skipped without."""
    folder, uv = tmp_path_factory.mktemp("dccd3"), ROOT / ".uv" / "bin" / "uv"
    if not uv.exists():
        pytest.skip("there is no uv to install dccd 3.8.1 with")
    python, index = folder / "bin" / "python", ["pip", "install", "--quiet", "dccd==3.8.1"]
    for order in (
        ["venv", "--quiet", "--allow-existing", "--python", sys.executable, str(folder)],
        [*index, "-p", str(python)],
    ):
        done = subprocess.run([str(uv), *order], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"dccd 3.8.1 cannot be installed: {done.stderr.strip()[-200:]}")
    return python


@pytest.mark.slow
def test_a_store_that_dccd_3_8_1_wrote_itself_has_equal_rows_here(dccd_3: Path, tmp_path: Path) -> None:
    start, end = at("2024-03-05"), at("2024-03-05T02:00Z")
    old, lake = tmp_path / "old", LakeStore(tmp_path / "lake")
    with running_sandbox(trades_per_day={"BTC/USDT": 50_000}) as sandbox:
        order = [
            str(dccd_3),
            "-c",
            WRITES,
            sandbox.rest_url("binance"),
            str(old),
            str(start * NS),
            str(end * NS - 1),
        ]
        subprocess.run(order, check=True, timeout=300)
        report = import_store(old, lake, SystemClock().now(), trust=["bitmex/ohlc/BTC-USD_BTC/1m"])
        _same_as_the_truth(sandbox, lake, TimeRange(start, end))
    told = {one.dataset: one for one in report.datasets}
    print(report.to_builtins())  # noqa: T201 -- what the test is about
    assert told["binance/ohlc/BTC-USDT/1m"].taken == 120
    assert told["bitmex/ohlc/BTC-USD_BTC/1m"].repaired[Repair.CLOSE] == 3
    moved = lake.scan(Dataset.parse("bitmex/ohlc/BTC-USD_BTC/1m")).collect()
    assert moved["ts"].to_physical().to_list() == [start + n * MINUTE for n in range(3)]
    assert told["okx/ohlc/BTC-USDT/1d"].refused == {Refusal.HONG_KONG: 3}
    assert (told["kraken/trades/BTC-USD"].taken, told["kraken/trades/BTC-USD"].remarks) == (1, {Remark.NO_ID})
    book = lake.scan(Dataset.parse("binance/orderbook/BTC-USDT")).collect()
    assert book["price"].to_list() == [9.0, 8.0, 10.0, 11.0]
    assert [one.name for one in report.left_out] == ["binance/funding"]
    assert not report.whole


def _same_as_the_truth(sandbox: RunningSandbox, lake: LakeStore, span: TimeRange) -> None:
    for name in ("binance/ohlc/BTC-USDT/1m", "binance/trades/BTC-USDT"):
        dataset = Dataset.parse(name)
        right = truth(sandbox.market, dataset, span)
        assert right.height > 100
        assert lake.scan(dataset).collect().equals(right), name


TAKES = """
import sys
from pathlib import Path
from dccd_core.imports.run import import_store
from dccd_core.lake.lake import LakeStore
from tests.dccd_core.imports.old import NOW
from tests.promises.memory import peak_mb
(one,) = import_store(Path(sys.argv[1]), LakeStore(sys.argv[2]), NOW).datasets
print(one.taken, peak_mb())
"""


@pytest.mark.slow
@pytest.mark.parametrize("shuffled", [False, True])
def test_a_day_of_ten_million_trades_takes_little_memory(tmp_path: Path, shuffled: bool) -> None:  # noqa: FBT001
    count = 10_000_000
    ids = pl.int_range(count, eager=True)
    rows = pl.select(
        TS=(at("2024-01-31") + ids * (DAY // count)) * NS,
        price=(ids * 7919 % 10_007).cast(pl.Float64) / 100,
        amount=(ids * 104_729 % 100_003).cast(pl.Float64) / 1e5 + 1e-5,
        side=pl.lit("buy"),
        tid=ids.cast(pl.String),
    ).filter(pl.col("price") > 0)
    rows = rows.sample(fraction=1.0, shuffle=True, seed=7) if shuffled else rows
    Old(tmp_path / "old").put("binance/trades/BTC-USDT/2024-01-31.parquet", rows)
    taken = rows.height
    del rows, ids
    order = [sys.executable, "-c", TAKES, str(tmp_path / "old"), str(tmp_path / "lake")]
    environment = {"PATH": "", "DCCD_STATE_DIR": str(tmp_path / "state"), **GIVES_BACK}
    done = subprocess.run(order, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    print(done.stdout)  # noqa: T201 -- the measurement
    count, peak = map(int, done.stdout.split())
    assert count == taken
    assert peak < 500
