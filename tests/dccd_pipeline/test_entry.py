import sys
from dataclasses import replace
from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from dccd_core import exchanges
from dccd_core.domain.barspan import parse_bar_span
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.datatype import DataType
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import HOUR, MINUTE, parse_time
from dccd_core.exchanges.binance import EXCHANGE
from dccd_pipeline.entry import Entry

BASIC: dict[str, Any] = {"exchange": "binance", "symbols": ["BTC/USDT", "ETH/USDT"], "data_type": "trades"}
BARS: dict[str, Any] = {**BASIC, "data_type": "ohlc", "span": "1m"}
BOOK: dict[str, Any] = {**BASIC, "data_type": "orderbook"}


@pytest.fixture
def venue(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register an exchange that serves inverse perpetuals, 1h bars and a book of 25 levels, since 2020."""
    endpoints = {
        DataType.OHLC: replace(EXCHANGE.endpoints[DataType.OHLC], spans=(HOUR,)),
        DataType.ORDERBOOK: replace(EXCHANGE.endpoints[DataType.ORDERBOOK], page_limit=25),
    }
    exchange = replace(
        EXCHANGE,
        name="venue",
        since=parse_time("2020-05-04T12:00:00"),
        kinds=frozenset({"inverse"}),
        endpoints=endpoints,
    )
    monkeypatch.setattr(exchanges, "NAMES", ("binance", "venue"))
    monkeypatch.setitem(sys.modules, "dccd_core.exchanges.venue", SimpleNamespace(EXCHANGE=exchange))


def refused(raw: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(ValidationError) as e:
        Entry.model_validate(raw)
    found = [mistake for mistake in e.value.errors() if mistake["type"] == "value_error"]
    return {".".join(map(str, mistake["loc"])): str(mistake.get("ctx", {})["error"]) for mistake in found}


def test_datasets_are_one_per_symbol() -> None:
    btc, eth = Symbol("BTC", "USDT"), Symbol("ETH", "USDT")
    assert Entry.model_validate(BARS).datasets == (
        Dataset("binance", btc, DataType.OHLC, MINUTE),
        Dataset("binance", eth, DataType.OHLC, MINUTE),
    )
    assert Entry.model_validate(BASIC).datasets == (
        Dataset("binance", btc, DataType.TRADES),
        Dataset("binance", eth, DataType.TRADES),
    )


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (BARS, "binance_ohlc_1m"),
        ({**BARS, "span": 3600}, "binance_ohlc_1h"),
        (BASIC, "binance_trades"),
        ({**BASIC, "name": "Majors_2"}, "Majors_2"),
    ],
)
def test_names(raw: dict[str, Any], name: str) -> None:
    assert Entry.model_validate(raw).name == name


@pytest.mark.parametrize(
    ("typed", "near"),
    [("my majors!", "my_majors"), ("2nd-try", "n2nd_try"), ("_x", "x"), ("", "n"), ("é", "n")],
)
def test_names_refused_come_with_one_that_would_do(typed: str, near: str) -> None:
    assert refused({**BASIC, "name": typed}) == {
        "name": f"{typed!r} is not letters, digits and _ after a letter -> write {near}"
    }
    assert Entry.model_validate({**BASIC, "name": near}).name == near


@pytest.mark.parametrize("typed", ["1h", 3600, "3600s", "60m"])
def test_spans_are_normalised(typed: str | int) -> None:
    assert Entry.model_validate({**BARS, "span": typed}).span == HOUR


def test_every_span_the_exchange_serves_is_taken() -> None:
    for span in EXCHANGE.endpoints[DataType.OHLC].spans:
        assert Entry.model_validate({**BARS, "span": span // 1_000_000_000}).span == span


@pytest.mark.parametrize(
    ("when", "cron"),
    [
        ({}, "0 * * * *"),
        ({"every": "5m"}, "*/5 * * * *"),
        ({"every": 86400}, "0 0 * * *"),
        ({"cron": "7 2 * * 1"}, "7 2 * * 1"),
    ],
)
def test_when_it_runs(when: dict[str, Any], cron: str) -> None:
    assert Entry.model_validate({**BASIC, **when}).cron_schedule == cron


def test_start_is_where_the_exchange_begins_unless_given() -> None:
    assert Entry.model_validate(BASIC).start == date(2017, 7, 14)
    assert Entry.model_validate({**BASIC, "start": "2017-07-14"}).start == date(2017, 7, 14)
    assert Entry.model_validate({**BASIC, "start": date(2024, 1, 1)}).start == date(2024, 1, 1)


@pytest.mark.usefixtures("venue")
def test_depth_is_100_or_all_there_is() -> None:
    assert Entry.model_validate(BASIC).depth is None
    assert Entry.model_validate(BOOK).depth == 100
    assert Entry.model_validate({**BOOK, "depth": 5000}).depth == 5000
    assert Entry.model_validate({**BOOK, "exchange": "venue", "symbols": ["BTC/USD:BTC"]}).depth == 25


@pytest.mark.usefixtures("venue")
def test_what_the_exchange_does_not_serve_is_refused() -> None:
    at_venue = {"exchange": "venue", "symbols": ["BTC/USD"], "start": "2020-05-03"}
    no_spot = "venue has no spot markets, so no BTC/USD -> its inverse market would be BTC/USD:BTC"
    too_early = "venue has nothing before 2020-05-04 -> write 2020-05-04 or later"
    assert refused({**BARS, **at_venue, "span": "4m"}) == {
        "symbols.0": no_spot,
        "span": "venue serves no 4m bars -> nearest is 1h, it serves 1h",
        "start": too_early,
    }
    assert refused({**BASIC, **at_venue}) == {
        "data_type": "venue serves no trades -> it serves ohlc, orderbook",
        "symbols.0": no_spot,
        "start": too_early,
    }
    assert refused({**BOOK, **at_venue, "depth": 26}) == {
        "symbols.0": no_spot,
        "start": too_early,
        "depth": "venue serves at most 25 levels, not 26 -> write 25",
    }


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("BTCUSDT", "write BTC/USDT"),
        ("BTC-USDT", "write BTC/USDT"),
        ("btc_usdt", "write BTC/USDT"),
        ("ETHBTC", "write ETH/BTC"),
        ("USDTUSD", "write USDT/USD"),
        ("DOTUSD", "write DOT/USD"),
        ("BTCFDUSD", "write BTC/FDUSD"),
        ("BTC-USDT_USDT", "write BTC/USDT:USDT"),
        ("USDT", "write it like BTC/USDT"),
        ("XBTH26", "write it like BTC/USDT"),
        (5, "write it like BTC/USDT"),
    ],
)
def test_symbols_in_another_notation_are_refused_with_ours(typed: str | int, hint: str) -> None:
    said = refused({**BASIC, "symbols": ["ETH/USDT", typed]})
    assert said == {"symbols.1": f"symbol {str(typed)!r} is not in unified notation -> {hint}"}


def test_lower_case_symbols_are_refused_but_mixed_case_is_a_name() -> None:
    assert refused({**BASIC, "symbols": ["btc/usdt"]}) == {
        "symbols.0": "symbol 'btc/usdt' is in lower case -> write BTC/USDT"
    }
    assert Entry.model_validate({**BASIC, "symbols": ["TSLAx/USD"]}).symbols == (Symbol("TSLAx", "USD"),)


def test_what_hangs_on_an_unknown_exchange_is_still_checked_as_far_as_it_can_be() -> None:
    said = refused(
        {**BARS, "exchange": "binanc", "span": None, "depth": 3, "every": "7m", "cron": "0 2 * * *"}
    )
    assert said == {
        "exchange": "unknown exchange 'binanc' -> did you mean 'binance'?",
        "span": "missing, ohlc needs one -> write it like 1m",
        "every": "cannot run every 7m -> write 6m or 10m, or a cron",
        "cron": "cron and every exclude each other -> keep one of the two",
        "depth": "ohlc takes no depth -> remove it, only orderbook has one",
    }


def test_entries_are_frozen_values() -> None:
    entry = Entry.model_validate(BARS)
    assert entry == Entry.model_validate({**BARS, "span": 60})
    assert hash(entry) == hash(Entry.model_validate(BARS))
    with pytest.raises(ValidationError, match="frozen"):
        entry.__setattr__("span", parse_bar_span("5m"))
