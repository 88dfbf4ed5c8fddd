"""The effective configuration, without secrets."""

from pathlib import Path

import pytest
import yaml

from dccd_pipeline.config.read import parse_settings, settings_of, typed_text
from dccd_pipeline.config.settings import Origin
from dccd_pipeline.config.shown import HIDDEN, shown

TEXT = """
store: ./${WHERE}
exchanges:
  binance: {rest_url: "http://me:${PASSWORD}@127.0.0.1:8900/binance", budget: 0.5}
  okx: {rest_url: "http://me:open-sesame@127.0.0.1:8900/okx"}
collect:
  - {exchange: binance, symbols: [BTC/USDT, "${SYMBOL}"], data_type: ohlc, span: 60, fold_every: 0}
  - {exchange: kraken, symbols: [BTC/USD], data_type: trades, start: 2024-06-01, every: never}
stream:
  - {name: all, exchange: bybit, symbols: ["BTC/USDT:USDT"], data_types: [orderbook], snapshot_every: 100ms}
alerts: {webhook_url: "https://example.org/hook/s3cr3t"}
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in (("WHERE", "lake"), ("PASSWORD", "swordfish"), ("SYMBOL", "ETH/USDT")):
        monkeypatch.setenv(name, value)
    (tmp_path / "dccd.yaml").write_text(TEXT)
    return tmp_path / "dccd.yaml"


def test_no_secret_is_shown_and_variables_are_named(file: Path) -> None:
    settings = parse_settings(TEXT, Origin(str(file), file.parent))
    found = shown(settings, typed_text(settings))
    text = yaml.safe_dump(found)
    for secret in ("swordfish", "open-sesame", "s3cr3t"):
        assert secret not in text
    assert found["store"] == "./${WHERE}"
    assert found["exchanges"]["binance"]["rest_url"] == "http://me:${PASSWORD}@127.0.0.1:8900/binance"
    assert found["exchanges"]["okx"]["rest_url"] == f"http://{HIDDEN}@127.0.0.1:8900/okx"
    assert found["collect"][0]["symbols"] == ["BTC/USDT", "${SYMBOL}"]
    assert (found["alerts"]["webhook_url"], found["alerts"]["after_failures"]) == (HIDDEN, 3)


def test_lengths_are_written_as_they_are_read_and_what_was_left_out_is_filled_in(file: Path) -> None:
    settings = parse_settings(TEXT, Origin(str(file), file.parent))
    bars, trades = shown(settings)["collect"]
    assert (bars["span"], bars["fold_every"], bars["name"]) == ("1m", 0, "binance_ohlc_1m")
    assert (trades["every"], trades["start"], trades["name"]) == ("never", "2024-06-01", "kraken_trades")
    (majors,) = shown(settings)["stream"]
    assert (majors["snapshot_every"], majors["depth"], majors["silent_after"]) == ("100ms", 50, "10m")


def test_what_is_shown_can_be_used_as_it_is(file: Path) -> None:
    settings = parse_settings(TEXT.replace("alerts:", "#"), Origin(str(file), file.parent))
    again = settings_of(shown(parse_settings(yaml.safe_dump(shown(settings)), Origin("x", file.parent))))
    assert [entry.name for entry in again.collect] == [entry.name for entry in settings.collect]
    assert again.stream == settings.stream


def test_settings_made_in_python_have_no_text() -> None:
    assert typed_text(settings_of({})) is None
    assert shown(settings_of({}))["collect"] == []
