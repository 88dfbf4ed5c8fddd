"""Configurations of dccd 2 and 3 become ones of ours that pass, and nothing is dropped in silence."""

from pathlib import Path

import pytest
import yaml

from dccd_core.domain.errors import ConfigError
from dccd_core.domain.timespan import MINUTE, parse_time
from dccd_pipeline.config.older import Translated, translate
from dccd_pipeline.config.read import parse_settings
from dccd_pipeline.config.settings import Origin, Settings

NOW = parse_time("2026-11-29T12:00Z")
THREE = """
settings:
  data_path: ~/crypto
  timezone: Europe/Paris
  ui_host: 0.0.0.0
  ui_auth_token: secret
  ui_readonly: true
  runs_retention_days: 60
alerts: {webhook_url: "https://example.org/hook", max_consecutive_errors: 5}
jobs:
  - {exchange: binance, pairs: [BTC/USDT, ETH-USDT], data_type: ohlc, span: 60, start: "2024-01-01", every: 300}
  - {exchange: binance, pairs: ["BTC/USDT:perp", "BTC/USDT:quarter"], span: 3600, trigger_kind: cron, cron: "0 2 * * *", start: origin}
  - {exchange: kraken, pairs: [XBT/USD], data_type: ohlc, span: 60, start: "2020-01-01", every: 77}
  - {exchange: okx, pairs: [BTC/USDT], data_type: trades, start: last, trigger_kind: manual}
  - {exchange: binance, pairs: [BTC/USDT], data_type: funding}
  - {exchange: krakenfutures, pairs: [BTC/USD], span: 3600}
  - {exchange: kraken, pairs: [BTC/USD], data_type: ohlc, span: 77, evry: 5}
  - {exchange: binance, pairs: [BTC/USDT], data_type: ohlc, span: 60, start: "2024-01-01"}
  - {exchange: bybit, pairs: [BTC/USDT], data_type: orderbook, operation: stream, trigger_kind: supervised, depth: 50, snapshot_interval: 5}
  - {exchange: kraken, pairs: [BTC/USD], data_type: trades, operation: stream}
  - {exchange: bitmex, pairs: [BTC/USD], data_type: trades, operation: stream}
"""  # noqa: E501 -- as they are typed
TWO = """
settings: {data_path: ./data/crypto, timezone: local, ui_port: 8080}
storage: {remotes: [], sync_interval: 3600}
histo_jobs:
  - {exchange: binance, pairs: [BTC/USDT, ETH/USDT], span: 3600, format: csv, max_retries: 3, retry_delay: 2.0}
stream_jobs:
  - {exchange: okx, pairs: [BTC/USDT], channels: [trades, book], time_step: 60}
"""  # noqa: E501

MEANT = """# What `dccd import-config` made of config.yml.
store: ./data
collect:
  - {name: binance_ohlc_1m, exchange: binance, symbols: [BTC/USDT, ETH/USDT], data_type: ohlc, span: 1m, every: 5m, start: 2024-01-01}
  - {name: binance_ohlc_1h, exchange: binance, symbols: ['BTC/USDT:USDT'], data_type: ohlc, span: 1h, cron: 0 2 * * *}
  - {name: kraken_ohlc_1m, exchange: kraken, symbols: [BTC/USD], data_type: ohlc, span: 1m, every: 2m, start: recent}
  - {name: okx_trades, exchange: okx, symbols: [BTC/USDT], data_type: trades, every: never, start: recent}
stream:
  - {name: bybit_orderbook, exchange: bybit, symbols: [BTC/USDT], data_types: [orderbook], depth: 50, snapshot_every: 5s}
  - {name: kraken_trades, exchange: kraken, symbols: [BTC/USD], data_types: [trades]}
timezone: Europe/Paris
keep_runs: {days: 60}
alerts: {webhook_url: 'https://example.org/hook', after_failures: 5}
"""  # noqa: E501


def settings(made: Translated) -> Settings:
    return parse_settings(made.text, Origin(folder=Path("/x")), NOW)


def test_a_configuration_of_dccd_3_means_the_same_here() -> None:
    made = translate(THREE, NOW, name="config.yml")
    read = settings(made)
    assert (read.timezone, read.keep_runs.days) == ("Europe/Paris", 60)
    assert made.text == MEANT


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("settings.data_path", "dccd import ~/crypto"),
        ("settings.ui_host", "dagster-webserver"),
        ("settings.ui_auth_token", "proxy"),
        ("settings.ui_readonly", "--read-only"),
        ("jobs[1].pairs BTC/USDT:quarter", "quarterly"),
        ("jobs[4]", "no data type funding"),
        ("jobs[5]", "no exchange krakenfutures"),
        ("jobs[6].evry", "not known"),
        ("jobs[6].pairs BTC/USD", "kraken serves no 77s bars"),
        ("jobs[7].pairs BTC/USDT", "already collected"),
        ("jobs[10].pairs BTC/USD", "BitMEX closed"),
    ],
)
def test_what_is_dropped_says_why(place: str, why: str) -> None:
    made = translate(THREE, NOW)
    assert why in made.dropped[place]
    assert made.lost


def test_what_means_something_else_here_is_said() -> None:
    notes = translate(THREE, NOW).notes
    assert "never read '0 2 * * *'" in notes["jobs[1].cron"]
    assert "last is no day, so start: recent is written" in notes["jobs[3].start"]


def test_what_is_asked_too_much_is_loosened_and_said() -> None:
    made = translate(
        """
jobs:
  - {exchange: binance, pairs: [BTC/USDT, BTC-USDT, BTC/USDT], data_type: trades, start: "2024-01-01"}
  - {exchange: binance, pairs: [BTC/USDT], data_type: orderbook, every: 60, depth: 99999}
  - {exchange: binance, pairs: [BTC/USDT], span: 60, start: origin, trigger_kind: cron, cron: no cron}
  - {exchange: bybit, pairs: [BTC/USDT], data_type: trades, start: "2024-01-01", every: 300}
""",
        NOW,
    )
    trades, book, bars, recent = settings(made).collect
    assert [len(one.symbols) for one in (trades, book, bars, recent)] == [1, 1, 1, 1]
    assert bars.cron is None
    assert {place: note.split(";")[-1].strip() for place, note in made.notes.items()} == {
        "jobs[1].depth": "no depth is written",
        "jobs[2].cron": "no cron is written",
        "jobs[3].start": "start: recent is written",
    }
    assert not made.lost


def test_remotes_are_kept_beside_the_old_copy() -> None:
    made = translate("storage: {remotes: [{remote: 'nas:crypto/'}], sync_interval: 1000}", NOW)
    (remote,) = settings(made).remotes
    assert (remote.name, remote.to, remote.every) == ("nas_crypto", "rclone:nas:crypto/lake", 20 * MINUTE)
    assert "the old copy stays as it is" in made.notes["storage.remotes[0]"]


def test_a_configuration_of_dccd_2_means_the_same_here() -> None:
    made = translate(TWO, NOW)
    settings(made)
    assert made.text.splitlines()[2:] == [
        "collect:",
        "  - {name: binance_ohlc_1h, exchange: binance, symbols: [BTC/USDT, ETH/USDT], data_type: ohlc, span: 1h, every: 1h}",  # noqa: E501
        "stream:",
        "  - {name: okx_trades, exchange: okx, symbols: [BTC/USDT], data_types: [trades]}",
        "  - {name: okx_orderbook, exchange: okx, symbols: [BTC/USDT], data_types: [orderbook], snapshot_every: 60s}",  # noqa: E501
    ]
    assert not made.lost
    for key in ("format", "max_retries", "retry_delay"):
        assert f"histo_jobs[0].{key}" in made.dropped
    assert "Europe/Paris" in made.dropped["settings.timezone"]


@pytest.mark.parametrize("text", ["", "a: b", "- a", "jobs: ["])
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        translate(text, NOW)


@pytest.mark.parametrize(
    "text",
    [
        "jobs: 3",
        "jobs: [3]",
        "jobs: [{exchange: binance, pairs: 3}]",
        "jobs: [{}]",
        "settings: 4",
        "jobs: [{exchange: binance, pairs: [x], span: no}]",
    ],
)
def test_what_is_wrong_in_it_breaks_nothing(text: str) -> None:
    settings(translate(text, NOW))


@pytest.mark.parametrize(
    ("start", "written"),
    [("1704067200000000000", "2024-01-01"), ("2024-01-01 12:00:00", "2024-01-01"), ("2010-01-01", None)],
)
def test_starts_are_read_as_dccd_3_does(start: str, written: str | None) -> None:
    made = translate(f"jobs: [{{exchange: okx, pairs: [BTC/USDT], span: 3600, start: '{start}'}}]", NOW)
    (entry,) = yaml.safe_load(made.text)["collect"]
    assert (str(entry["start"]) if "start" in entry else None) == written
