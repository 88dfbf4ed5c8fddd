"""Adding an exchange takes its file, its line, its test data and its simulation: here, a made-up one.

The conformance suite runs as it is, in a copy of what it looks at.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAME = "octopus"
FILE = '''"""Octopus, an exchange that does not exist. Docs: https://octopus.example/docs

Quirks:
- It has eight arms and one endpoint.
"""

import msgspec
import polars as pl

from dccd_core.adapter.contract import Endpoint, Exchange, Limit, Markets, Query, Request, Response
from dccd_core.adapter.contract import TimeWindows
from dccd_core.adapter.wire import Millis, markets, micros, read, table
from dccd_core.tables import DataType
from dccd_core.domain.errors import DccdError, Rejected, Throttled, Unavailable
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import MINUTE, SECOND, Us, parse_time


class Bar(msgspec.Struct, array_like=True):
    time: Millis
    open: str
    high: str
    low: str
    close: str
    volume: str


class Pair(msgspec.Struct):
    base: str
    quote: str


def bars_request(query: Query) -> Request:
    asked = {"pair": query.market, "from": str(query.span.start), "rows": str(query.limit)}
    return Request("/bars", asked)


def decode_bars(body: bytes, _: Us) -> pl.DataFrame:
    rows = read(msgspec.json.Decoder(list[Bar]), body)
    columns = {name: [getattr(row, name) for row in rows] for name in Bar.__struct_fields__[1:]}
    return table(DataType.OHLC, ts=micros([row.time for row in rows]), **columns)


def decode_pairs(body: bytes) -> pl.DataFrame:
    rows = read(msgspec.json.Decoder(list[Pair]), body)
    return markets(
        symbol=[f"{row.base}/{row.quote}" for row in rows],
        market=[row.base + row.quote for row in rows],
        active=[True] * len(rows),
    )


def market(symbol: Symbol) -> str:
    return symbol.base + symbol.quote


def verdict(response: Response) -> DccdError | None:
    if response.status == 200:
        return None
    text = f"HTTP {response.status}: {response.body.decode()}"
    if response.status == 429:
        return Throttled(text, wait_s=8, hint="ask with fewer arms")
    return (Unavailable if response.status >= 500 else Rejected)(text, hint="ask otherwise, or later")


EXCHANGE = Exchange(
    name="octopus",
    title="Octopus",
    rest_url="https://octopus.example",
    since=parse_time("2024-01-01"),
    finality_delay=Us(5 * SECOND),
    limits=(Limit(8, SECOND),),
    kinds=frozenset({"spot"}),
    market=market,
    verdict=verdict,
    markets=Markets("https://octopus.example/docs", lambda: (Request("/pairs", {}),), decode_pairs),
    endpoints={
        DataType.OHLC: Endpoint(
            docs="https://octopus.example/docs",
            path="/bars",
            page_limit=800,
            paging=TimeWindows(),
            request=bars_request,
            decode=decode_bars,
            spans=(MINUTE,),
            oldest=bars_request,
        )
    },
)
'''
DATA = {
    "ohlc/case.toml": 'via = "rest"\nendpoint = "ohlc"\n',
    "ohlc/payload.json": '[[1706659200000,"1.5","2.5","1.25","2.0","8.0"]]',
    "ohlc/expected.csv": (
        "ts,open,high,low,close,volume,quote_volume,trades\n"
        "2024-01-31T00:00:00.000000,1.5,2.5,1.25,2.0,8.0,,\n"
    ),
    "markets/case.toml": 'via = "markets"\n',
    "markets/payload.json": '[{"base":"BTC","quote":"USDT"}]',
    "markets/expected.csv": (
        "symbol,market,active,listed,contract,price_decimals,amount_decimals,live_name\nBTC/USDT,BTCUSDT,true,,,,,\n"
    ),
    "error_busy/case.toml": 'via = "error"\nstatus = 429\nerror = "Throttled"\nwait_s = 8\nsaid = "busy"\n',
    "error_busy/payload.json": "all arms are busy",
}
SUITE = Path("tests") / "conformance" / "test_exchanges.py"
REGISTRY = Path("dccd_core") / "exchanges" / "__init__.py"
SANDBOX = Path("dccd_core") / "testing" / "sandbox"
DIALECTS = "DIALECTS: Final[Mapping[str, Dialect]] = _Dialects(\n"


def project(root: Path) -> None:
    """Copy what the suite looks at."""
    without_caches = shutil.ignore_patterns("__pycache__")
    for folder in (Path("dccd_core"), Path("tests") / "data"):
        shutil.copytree(ROOT / folder, root / folder, ignore=without_caches)
    (root / SUITE).parent.mkdir()
    shutil.copy(ROOT / SUITE, root / SUITE)


def add(root: Path, *parts: str) -> None:
    if "file" in parts:
        (root / REGISTRY).with_name(f"{NAME}.py").write_text(FILE)
    if "line" in parts:
        text = (root / REGISTRY).read_text()
        assert text.count("NAMES: Final = (\n") == 1
        (root / REGISTRY).write_text(text.replace("NAMES: Final = (\n", f'NAMES: Final = (\n    "{NAME}",\n'))
    if "simulation" in parts:
        (root / SANDBOX / f"{NAME}.py").write_text('"""What it answers is for its own tests to say."""\n')
    if "dialect" in parts:
        text = (root / SANDBOX / "dialect.py").read_text()
        assert text.count(DIALECTS) == 1
        added = text.replace(DIALECTS, f"{DIALECTS}    {NAME}=Dialect(),\n")
        (root / SANDBOX / "dialect.py").write_text(added)
    if "data" in parts:
        for name, text in DATA.items():
            path = root / "tests" / "data" / NAME / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)


def said_by_suite(root: Path) -> tuple[int, str]:
    """Return the exit code of the suite and its output."""
    options = [
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "-c",
        "pytest.ini",
        "--import-mode=importlib",
    ]
    (root / "pytest.ini").write_text("[pytest]\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(SUITE)],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return done.returncode, done.stdout + done.stderr


def test_these_parts_are_all_it_takes(tmp_path: Path) -> None:
    project(tmp_path)
    add(tmp_path, "file", "line", "data", "simulation", "dialect")
    code, output = said_by_suite(tmp_path)
    assert code == 0, output


@pytest.mark.parametrize(
    ("parts", "named"),
    [
        (("line", "data"), [f"No module named 'dccd_core.exchanges.{NAME}'"]),
        (("file", "data"), ["test_the_registry_lists_the_folder", f"add '{NAME}' to NAMES in"]),
        (
            ("file", "line"),
            [
                rf"make tests/data/{NAME}/ohlc with case.toml, expected.csv, payload.json",
                rf'tests/data/{NAME}/error with case.toml \(via = "error"\), payload.json',
                rf"make dccd_core/testing/sandbox/{NAME}.py",
            ],
        ),
        (("file", "line", "data", "simulation"), [rf"add '{NAME}' to DIALECTS in \S+/dialect.py"]),
    ],
    ids=["no-file", "no-line", "no-data", "no-dialect"],
)
def test_a_part_that_is_missing_is_named(tmp_path: Path, parts: tuple[str, ...], named: list[str]) -> None:
    project(tmp_path)
    add(tmp_path, *parts)
    code, output = said_by_suite(tmp_path)
    assert code != 0
    for text in named:
        assert re.search(text, output), output
