import json
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from dccd_core import exchanges
from dccd_core.domain.datatype import DataType
from dccd_core.domain.errors import ConfigError
from dccd_core.exchanges.binance import EXCHANGE
from dccd_pipeline.matrix import exchange_table, matrix_markdown


@pytest.fixture
def venue(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register an exchange that serves nothing but trades."""
    trades = {DataType.TRADES: EXCHANGE.endpoints[DataType.TRADES]}
    exchange = replace(
        EXCHANGE, name="venue", title="Venue", kinds=frozenset({"spot", "linear"}), endpoints=trades
    )
    monkeypatch.setattr(exchanges, "NAMES", ("binance", "venue"))
    monkeypatch.setitem(sys.modules, "dccd_core.exchanges.venue", SimpleNamespace(EXCHANGE=exchange))


def test_a_row_says_what_the_exchange_file_says() -> None:
    bars, trades, book = exchange_table(["binance"])
    assert bars == {
        "exchange": "binance",
        "title": "Binance",
        "kinds": ["spot"],
        "since": "2017-07-14",
        "limits": ["6000 per 1m"],
        "data_type": "ohlc",
        "reach": "full history",
        "spans": [
            "1s",
            "1m",
            "3m",
            "5m",
            "15m",
            "30m",
            "1h",
            "2h",
            "4h",
            "6h",
            "8h",
            "12h",
            "1d",
            "3d",
            "1w",
        ],
        "page_limit": 1000,
        "paging": "time windows",
        "docs": EXCHANGE.endpoints[DataType.OHLC].docs,
    }
    assert (trades["paging"], trades["spans"], book["reach"], book["paging"], book["page_limit"]) == (
        "id windows",
        [],
        "the present only",
        "snapshot",
        5000,
    )


def test_every_exchange_has_a_row_for_every_data_type() -> None:
    rows = exchange_table()
    assert [(row["exchange"], row["data_type"]) for row in rows] == [
        (name, data_type.value) for name in exchanges.NAMES for data_type in DataType
    ]
    assert json.loads(json.dumps(rows)) == rows


@pytest.mark.usefixtures("venue")
def test_what_is_not_served_is_said() -> None:
    bars, trades, book = exchange_table(["venue"])
    for row in (bars, book):
        assert (row["reach"], row["spans"], row["page_limit"], row["paging"], row["docs"]) == (
            None,
            [],
            None,
            None,
            None,
        )
    assert trades["reach"] == "full history"
    docs = EXCHANGE.endpoints[DataType.TRADES].docs
    about = "Venue | linear, spot | 2017-07-14 | 6000 per 1m"
    assert matrix_markdown(["venue"]) == (
        "| exchange | markets | data since | rate limits "
        "| data type | reach | bars | rows a page | paging |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n"
        f"| {about} | ohlc | - | - | - | - |\n"
        f"| {about} | trades | [full history]({docs}) | - | 1000 | id windows |\n"
        f"| {about} | orderbook | - | - | - | - |\n"
    )


def test_an_unknown_exchange_is_an_error() -> None:
    with pytest.raises(ConfigError, match="did you mean 'binance'"):
        exchange_table(["binanc"])
