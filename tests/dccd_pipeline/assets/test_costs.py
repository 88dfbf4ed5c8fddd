import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner, Result

from dccd_core.lake.lake import LakeStore
from dccd_core.testing.sandbox.process import RunningSandbox, running_sandbox
from dccd_pipeline.cli.main import main
from dccd_pipeline.config.capabilities import present
from dccd_pipeline.config.read import entry_of

CONFIG = """
store: ./lake
exchanges: {binance: {rest_url: "%s"}}
collect: [{exchange: binance, symbols: [BTC/USDT], data_type: trades%s}]
"""


class Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox() as running:
        yield running


@pytest.fixture(autouse=True)
def project(sandbox: RunningSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DCCD_CONFIG", raising=False)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DCCD_STATE_DIR", str(tmp_path / "state"))
    (tmp_path / "dccd.yaml").write_text(CONFIG % (sandbox.rest_url("binance"), ""))
    sandbox.reset()
    return tmp_path


def little(monkeypatch: pytest.MonkeyPatch) -> None:
    def usage(_: object) -> Usage:
        return Usage(10**9, 10**9 - 1_000_000, 1_000_000)

    monkeypatch.setattr(shutil, "disk_usage", usage)


def dccd(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, catch_exceptions=False)


def test_d10_the_check_says_what_no_start_costs(project: Path, sandbox: RunningSandbox) -> None:
    """0e899d4 says nothing, and the schedule is on."""
    said = dccd("config", "check")
    assert said.exit_code == 0
    line = said.stdout.splitlines()[-1]
    assert line.startswith("binance/trades/BTC-USDT: no start: about ")
    assert " rows, " in line
    assert " of asking, since 2017-07-14" in line
    rows = int(line.split("about ")[1].split(" rows")[0].replace(",", ""))
    assert 10_000_000 < rows < 30_000_000  # six thousand a day since 2017
    assert sandbox.stats().count() < 20

    (project / "dccd.yaml").write_text(CONFIG % (sandbox.rest_url("binance"), ", start: 2024-01-01"))
    assert len(dccd("config", "check").stdout.splitlines()) == 1
    (project / "dccd.yaml").write_text(CONFIG % ("http://127.0.0.1:9", ""))
    assert "what it costs nobody says" in dccd("config", "check").stdout


def test_d10_what_does_not_fit_on_the_disk_is_refused(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    little(monkeypatch)
    said = dccd("config", "check")
    assert said.exit_code == 2
    assert "binance/trades/BTC-USDT needs about " in said.stderr
    assert said.stderr.endswith("-> write a start, the first day that you need\n")


def test_d10_so_does_the_first_tick(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    little(monkeypatch)
    done = dccd("collect")
    assert done.exit_code == 1
    assert "binance/trades/BTC-USDT needs about " in done.stderr
    assert LakeStore(project / "lake").datasets() == []


ENTRY: dict[str, Any] = {"exchange": "binance", "symbols": ["BTC/USDT"], "data_type": "ohlc", "span": "1h"}


def test_an_entry_may_end_be_off_or_by_hand_only(project: Path, sandbox: RunningSandbox) -> None:
    assert entry_of(ENTRY, present()).scheduled
    assert not entry_of({**ENTRY, "enabled": False}, present()).scheduled
    assert not entry_of({**ENTRY, "every": "never"}, present()).scheduled
    entries = [
        "{%s, start: 2024-01-01, end: 2024-02-10}",
        "{%s, name: idle, start: 2024-01-01, enabled: false}",
        "{%s, name: hand, start: 2024-01-01, every: never}",
    ]
    symbols = ("BTC/USDT", "ETH/USDT", "SOL/USDT")
    told = [
        entry % f"exchange: binance, symbols: [{symbol}], data_type: ohlc, span: 1m"
        for entry, symbol in zip(entries, symbols, strict=True)
    ]
    reach = f'exchanges: {{binance: {{rest_url: "{sandbox.rest_url("binance")}"}}}}'
    (project / "dccd.yaml").write_text(
        "\n".join(["store: ./lake", reach, "collect:", *map("  - {}".format, told)])
    )
    status = dccd("status").stdout
    assert "idle: off (enabled: false); `dccd collect idle` brings it up to date" in status
    assert "hand: off (every: never)" in status

    assert dccd("collect", "binance_ohlc_1m").exit_code == 0
    (dataset,) = LakeStore(project / "lake").datasets()
    rows = LakeStore(project / "lake").scan(dataset).collect()
    assert rows.height == (31 + 9) * 1_440  # up to the first day not wanted
    asked = sandbox.stats().count()
    assert "everything is up to date" in dccd("collect", "binance_ohlc_1m").stdout
    assert sandbox.stats().count() == asked


def test_what_is_traded_is_listed_and_remembered(project: Path, sandbox: RunningSandbox) -> None:
    lines = dccd("symbols", "Binance", "btc/*").stdout.splitlines()
    assert "BTC/USDT" in [line.split()[0] for line in lines]
    assert all(line.startswith("BTC/") for line in lines)
    asked = sandbox.stats().count()
    assert asked >= 1
    assert '"ETH/USDT"' in dccd("symbols", "binance", "ETH", "--json").stdout
    assert sandbox.stats().count() == asked
    nothing = dccd("symbols", "binance", "ZZZ*")
    assert (nothing.exit_code, nothing.stdout) == (1, "")
    assert nothing.stderr.startswith("nothing at binance matches 'ZZZ*'\nconfiguration: ")
