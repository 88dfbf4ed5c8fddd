import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from dccd_core.domain.errors import ConfigError
from dccd_core.domain.symbol import Symbol
from dccd_core.exchanges import get
from dccd_pipeline.config.collect import TypedEntry
from dccd_pipeline.config.fields import SymbolLife
from dccd_pipeline.config.read import SettingsError, settings_of
from dccd_pipeline.config.settings import Alerts, ExchangeSettings, Origin, Settings

BARS: dict[str, Any] = {"exchange": "binance", "symbols": ["BTC/USDT"], "data_type": "ohlc", "span": "1m"}


def said(raw: dict[str, Any]) -> list[tuple[str, str]]:
    with pytest.raises(SettingsError) as e:
        settings_of(raw)
    found = (line.partition(": ") for line in e.value.lines)
    return [(re.sub(r"\[(\d+)\]", r".\1", place), text) for place, _, text in found]


def test_everything_has_a_default() -> None:
    settings = Settings()
    assert (settings.store, settings.exchanges, settings.collect, settings.alerts) == ("./data", {}, (), None)
    assert settings.source == ""
    assert ExchangeSettings() == ExchangeSettings(rest_url=None, budget=None)
    assert Alerts(webhook_url="https://example.org/x?token=y").after_failures == 3


@pytest.mark.parametrize(
    ("typed", "store"),
    [
        ("./data", "/etc/dccd/data"),
        ("lake/of data", "/etc/dccd/lake/of data"),
        ("/srv/lake", "/srv/lake"),
        ("~/lake", "/home/someone/lake"),
        ("s3://bucket", "s3://bucket"),
        ("s3://my-bucket.1/some/prefix/", "s3://my-bucket.1/some/prefix"),
    ],
)
def test_store_is_relative_to_the_file(typed: str, store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    origin = Origin("dccd.yaml", Path("/etc/dccd"))
    settings = settings_of({"store": typed}, origin)
    assert (settings.store, settings.source) == (store, "dccd.yaml")


@pytest.mark.parametrize(
    "typed", ["gs://bucket", "file:///srv", "s3:/bucket", "s3://", "s3://Bucket_", "", "https://x"]
)
def test_other_stores_are_refused(typed: str) -> None:
    hint = "write a folder like ./data, or s3://bucket/prefix"
    assert said({"store": typed}) == [("store", f"{typed!r} is no place for the data -> {hint}")]


def test_a_home_that_does_not_exist_is_refused() -> None:
    assert said({"store": "~no-such-user/x"}) == [
        ("store", "'~no-such-user/x': no such home folder -> write the path out")
    ]


@pytest.mark.parametrize("url", ["http://127.0.0.1:8900/binance", "https://u:p@[::1]:1/x", "http://proxy"])
def test_addresses_lose_only_their_last_slash(url: str) -> None:
    assert ExchangeSettings(rest_url=f"{url}/").rest_url == url
    assert ExchangeSettings(rest_url=url).rest_url == url


@pytest.mark.parametrize(
    "url", ["ftp://h", "127.0.0.1:8900", "http://", "http://h:x", "http://[::1", "h", ""]
)
def test_what_is_no_http_address_is_refused_and_not_repeated(url: str) -> None:
    line = "is no http address -> write it like https://example.org/path"
    assert said({"alerts": {"webhook_url": url}}) == [("alerts.webhook_url", line)]
    assert said({"exchanges": {"binance": {"rest_url": url}}}) == [("exchanges.binance.rest_url", line)]


def test_a_prefix_has_no_query() -> None:
    assert said({"exchanges": {"binance": {"rest_url": "http://h/?a=b"}}}) == [
        (
            "exchanges.binance.rest_url",
            "is more than scheme, host and prefix -> let it end before the ? or #",
        )
    ]


@pytest.mark.parametrize("url", ["ws://127.0.0.1:8900/binance", "wss://proxy"])
def test_addresses_of_sockets_are_prefixes_too(url: str) -> None:
    assert ExchangeSettings(ws_url=f"{url}/").ws_url == url
    line = "is no ws address -> write it like wss://example.org/path"
    assert said({"exchanges": {"binance": {"ws_url": url.replace("ws", "http", 1)}}}) == [
        ("exchanges.binance.ws_url", line)
    ]


def test_the_webhook_is_not_in_the_repr() -> None:
    assert "secret" not in repr(Settings(alerts=Alerts(webhook_url="https://example.org/secret")))


@pytest.mark.parametrize("budget", [0, -0.1, 1.01, 90, float("nan"), True, "0.9"])
def test_budgets_refused(budget: object) -> None:
    places = [place for place, _ in said({"exchanges": {"binance": {"budget": budget}}})]
    assert places == ["exchanges.binance.budget"]


def test_a_dataset_is_collected_once() -> None:
    symbols = ["ETH/USDT", "BTC/USDT", "ETH/USDT"]
    assert said({"collect": [BARS, {**BARS, "symbols": symbols, "span": 60, "name": "other"}]}) == [
        (
            "collect.1.symbols.1",
            "binance/ohlc/BTC-USDT/1m is already collected by collect[0].symbols[0] -> remove one of the two",
        ),
        (
            "collect.1.symbols.2",
            "binance/ohlc/ETH-USDT/1m is already collected by collect[1].symbols[0] -> remove one of the two",
        ),
    ]


def test_names_are_unique_given_or_not() -> None:
    eth, xrp = {**BARS, "symbols": ["ETH/USDT"]}, {**BARS, "symbols": ["XRP/USDT"], "name": "binance_ohlc_1m"}
    taken = "binance_ohlc_1m is already the name of collect[0] -> give one of the two a name of its own, like"
    assert said({"collect": [BARS, eth, xrp]}) == [
        ("collect.1.name", f"{taken} binance_ohlc_1m_2"),
        ("collect.2.name", f"{taken} binance_ohlc_1m_3"),
    ]
    named = [BARS, {**eth, "name": "eth"}, {**xrp, "name": "xrp"}]
    assert len(settings_of({"collect": named}).collect) == 3


def test_clashes_show_beside_other_mistakes_even_of_the_same_entry() -> None:
    wrong = {**BARS, "every": "7m", "colour": "red"}
    assert said({"collect": [BARS, wrong, 5, {**BARS, "span": None}]}) == [
        (
            "collect.1.symbols.0",
            "binance/ohlc/BTC-USDT/1m is already collected by collect[0].symbols[0] -> remove one of the two",
        ),
        ("collect.1.every", "cannot run every 7m -> write 6m or 10m, or a cron"),
        (
            "collect.1.name",
            "binance_ohlc_1m is already the name of collect[0]"
            " -> give one of the two a name of its own, like binance_ohlc_1m_2",
        ),
        ("collect.1.colour", f"unknown key -> known here: {', '.join(TypedEntry.model_fields)}"),
        ("collect.2", "should be keys with values, not 5"),
        (
            "collect.3.span",
            "missing, ohlc needs one"
            " -> write one of 1s, 1m, 3m, 5m, 15m, 30m, 1h, 2h, 4h, 6h, 8h, 12h, 1d, 3d, 1w",
        ),
    ]


def test_an_entry_whose_name_is_wrong_is_not_compared_by_its_default_name() -> None:
    eth = {**BARS, "symbols": ["ETH/USDT"], "name": "no name"}
    assert [place for place, _ in said({"collect": [BARS, eth]})] == ["collect.1.name"]


@pytest.mark.parametrize("collect", [None, "binance", {}, 5])
def test_collect_is_a_list(collect: object) -> None:
    assert said({"collect": collect}) == [("collect", f"should be a list, not {collect!r}")]


TRADES: dict[str, Any] = {"exchange": "kraken", "symbols": ["BTC/USD", "ETH/USD"], "data_type": "trades"}
DERIVED: dict[str, Any] = {**TRADES, "data_type": "ohlc", "span": "1m", "derive_from": "trades"}


def test_derived_bars_need_their_trades() -> None:
    missing = "no entry collects the kraken trades of {0}, of which to build bars -> add"
    add = "{{exchange: kraken, symbols: [{0}], data_type: trades}}"
    line = f"{missing} {add}"
    assert said({"collect": [DERIVED]}) == [
        ("collect.0.symbols.0", line.format("BTC/USD")),
        ("collect.0.symbols.1", line.format("ETH/USD")),
    ]
    some = {**TRADES, "symbols": ["BTC/USD"]}
    assert said({"collect": [some, DERIVED]}) == [("collect.1.symbols.1", line.format("ETH/USD"))]
    elsewhere = {**TRADES, "exchange": "coinbase"}
    assert len(said({"collect": [elsewhere, DERIVED]})) == 2
    assert len(settings_of({"collect": [DERIVED, TRADES]}).collect) == 2


def test_derived_bars_start_no_earlier_than_their_trades() -> None:
    trades, bars = {**TRADES, "start": "2024-06-01"}, {**DERIVED, "start": "2024-01-01"}
    line = "the trades of {} are collected from 2024-06-01 on only -> write 2024-06-01, or let the trades"
    assert [text.removesuffix(" start earlier") for _, text in said({"collect": [trades, bars]})] == [
        line.format("BTC/USD"),
        line.format("ETH/USD"),
    ]
    assert settings_of({"collect": [trades, {**bars, "start": "2024-06-01"}]})


def test_trades_that_cannot_be_read_are_not_said_to_be_missing() -> None:
    unread = {**TRADES, "symbols": ["BTCUSD"]}
    places = {place for place, _ in said({"collect": [unread, DERIVED]})}
    assert places == {"collect.0.symbols.0"}


def test_bars_of_bars_need_those_and_begin_with_them() -> None:
    """In chains, and in any order of the entries."""
    hours = {**DERIVED, "span": "1h", "derive_from": "1m"}
    weeks = {**DERIVED, "span": "1w", "derive_from": "1h"}
    minutes = {**DERIVED, "start": "2024-06-01"}
    trades = {**TRADES, "start": "2024-01-01"}
    settings = settings_of({"collect": [weeks, hours, minutes, trades]})
    assert [entry.start for entry in settings.collect] == [*[date(2024, 6, 1)] * 3, date(2024, 1, 1)]
    (dataset, _), symbol = settings.collect[0].datasets, settings.collect[0].symbols[0]
    assert settings.collect[0].asked_for(dataset) == settings.collect[3].datasets[0]
    assert settings.collect[0].origins[symbol].name == "kraken_ohlc_1h"
    missing = "no entry collects the kraken 1h bars of {0}, of which to build bars -> add {1}"
    add = "{{exchange: kraken, symbols: [{0}], data_type: ohlc, span: 1h}}"
    assert said({"collect": [weeks, minutes, trades]}) == [
        (f"collect.0.symbols.{n}", missing.format(symbol, add.format(symbol)))
        for n, symbol in enumerate(TRADES["symbols"])
    ]
    early = {**hours, "start": "2024-01-01"}
    line = "the 1m bars of {} are collected from 2024-06-01 on only"
    assert [text.partition(" -> ")[0] for _, text in said({"collect": [early, minutes, trades]})] == [
        line.format(symbol) for symbol in TRADES["symbols"]
    ]


def test_bars_that_cannot_be_read_are_not_said_to_be_missing() -> None:
    hours = {**BARS, "span": "1h", "derive_from": "1m"}
    assert {place for place, _ in said({"collect": [hours, {**BARS, "symbols": ["BTCUSDT"]}]})} == {
        "collect.1.symbols.0"
    }


BITMEX: dict[str, Any] = {"exchange": "bitmex", "symbols": ["BTC/USD:BTC"], "data_type": "trades"}


def test_a_closed_exchange_needs_a_server_in_its_stead() -> None:
    bars = {**BITMEX, "data_type": "ohlc", "span": "1h"}
    hint = "set exchanges.bitmex.rest_url to a server that still has its history"
    assert said({"collect": [BARS, BITMEX, bars]}) == [
        ("collect.1.exchange", f"BitMEX closed on 2026-09-23 -> {hint}")
    ]
    exchanges = {"bitmex": {"rest_url": "http://127.0.0.1:8900/bitmex"}}
    assert settings_of({"exchanges": exchanges, "collect": [BITMEX, bars]})
    with pytest.raises(ConfigError, match="BitMEX closed on 2026-09-23"):
        Settings().require_open(get("bitmex"))
    Settings(exchanges={"bitmex": ExchangeSettings(rest_url="http://h")}).require_open(get("bitmex"))
    Settings().require_open(get("kraken"))


LIVES: dict[str, Any] = {
    "binance": {"symbols": {"MATIC/USDT": {"delisted": "2024-09-10", "renamed_to": "POL/USDT"}}}
}


def test_what_is_known_of_a_symbol_is_found_where_it_is_needed() -> None:
    matic = {**BARS, "symbols": ["MATIC/USDT"], "name": "matic"}
    settings = settings_of({"exchanges": LIVES, "collect": [BARS, matic]})
    symbol, other = Symbol("MATIC", "USDT"), Symbol("BTC", "USDT")
    life = settings.life_of("binance", symbol)
    assert (life.delisted, str(life.renamed_to)) == (date(2024, 9, 10), "POL/USDT")
    assert [entry.life_of(symbol) for entry in settings.collect] == [life, life]
    assert settings.collect[1].life_of(other) == settings.life_of("kraken", symbol) == SymbolLife()


def test_a_symbol_that_was_gone_before_the_start_is_refused() -> None:
    gone = {**BARS, "symbols": ["BTC/USDT", "MATIC/USDT"], "start": "2024-09-11"}
    line = "MATIC/USDT was delisted on 2024-09-10, before the start, 2024-09-11 -> it is called POL/USDT now"
    assert said({"exchanges": LIVES, "collect": [gone]}) == [("collect.0.symbols.1", line)]
    assert settings_of({"exchanges": LIVES, "collect": [{**gone, "start": "2024-09-10"}]})
