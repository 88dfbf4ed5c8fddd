import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from dccd_core import exchanges
from dccd_core.adapter.contract import Reach
from dccd_core.domain.errors import ConfigError
from dccd_core.domain.timespan import DAY, parse_time
from dccd_core.exchanges import get
from dccd_core.exchanges.binance import EXCHANGE
from dccd_core.exchanges.binance_live import LIVE
from dccd_core.fetch.paging import STYLES
from dccd_core.tables import DataType
from dccd_pipeline.cli.capability_table import (
    DOCUMENTS,
    exchange_table,
    matrix_markdown,
    short_markdown,
    updated,
)
from tests.dccd_core.fetch.paging import numbered_pages
from tests.dccd_core.fetch.paging.numbered_pages import NumberedPages


@pytest.fixture
def venue(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register an exchange that serves nothing but trades, of linear markets in another way."""
    trades = EXCHANGE.endpoints[DataType.TRADES]
    exchange = replace(
        EXCHANGE,
        name="venue",
        title="Venue",
        kinds=frozenset({"spot", "linear"}),
        endpoints={DataType.TRADES: trades},
        special={("linear", DataType.TRADES): replace(trades, reach=Reach(period=DAY))},
        closed=parse_time("2024-03-01"),
    )
    monkeypatch.setattr(exchanges, "NAMES", ("binance", "venue"))
    monkeypatch.setitem(sys.modules, "dccd_core.exchanges.venue", SimpleNamespace(EXCHANGE=exchange))


def test_a_row_says_what_the_exchange_file_says() -> None:
    rows = exchange_table(["binance"])
    spot = [row for row in rows if row["kinds"] == ["spot"]]
    bars, trades, book = spot
    assert bars == {
        "exchange": "binance",
        "title": "Binance",
        "since": "2017-07-14",
        "closed": None,
        "data_type": "ohlc",
        "kinds": ["spot"],
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
        "limits": ["6000 per 60s"],
        "docs": EXCHANGE.endpoints[DataType.OHLC].docs,
        "live": "final bars",
        "live_docs": LIVE.channels[DataType.OHLC].docs,
    }
    assert (trades["live"], book["live"]) == ("every trade", "all levels")
    assert (trades["paging"], trades["spans"], book["reach"], book["paging"], book["page_limit"]) == (
        "id windows",
        [],
        "the present only",
        "snapshot",
        5000,
    )
    (linear,) = [row for row in rows if row["kinds"] == ["linear"] and row["data_type"] == "trades"]
    assert (linear["reach"], linear["limits"]) == ("the last 24 hours", ["2400 per 60s (usdm)"])


def test_every_exchange_has_a_row_for_every_data_type_and_kind_of_market() -> None:
    rows = exchange_table()
    assert sorted(
        (row["exchange"], row["data_type"], kind) for row in rows for kind in row["kinds"]
    ) == sorted(
        (name, data_type.value, kind)
        for name in exchanges.NAMES
        for data_type in DataType
        for kind in get(name).kinds
    )
    assert json.loads(json.dumps(rows)) == rows


def test_what_is_pushed_is_said_in_short() -> None:
    rows = {(row["exchange"], row["data_type"]): row["live"] for row in exchange_table()}
    assert rows["coinbase", "ohlc"] == "final bars, built from trades"
    assert rows["okx", "orderbook"] == "400 levels"
    assert rows["bitmex", "trades"] is None


@pytest.mark.usefixtures("venue")
def test_what_is_not_served_is_said() -> None:
    bars, most, linear, book = exchange_table(["venue"])
    for row in (bars, book):
        assert (row["reach"], row["spans"], row["page_limit"], row["paging"], row["docs"], row["limits"]) == (
            None,
            [],
            None,
            None,
            None,
            [],
        )
    assert (most["kinds"], most["reach"]) == (["spot"], "full history")
    assert (linear["kinds"], linear["reach"]) == (["linear"], "the last 24 hours")
    docs = EXCHANGE.endpoints[DataType.TRADES].docs
    about = "Venue | 2017-07-14 to 2024-02-29"
    paged, futures = "- | 1000 | id windows | 6000 per 60s", "- | 1000 | id windows | 2400 per 60s (usdm)"
    assert matrix_markdown(["venue"]) == (
        "| exchange | data | data type | markets | reach | bars | rows a page | paging | rate limits |"
        " live |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n"
        f"| {about} | ohlc | spot, linear | - | - | - | - | - | - |\n"
        f"| {about} | trades | spot | [full history]({docs}) | {paged} | - |\n"
        f"| {about} | trades | linear | [the last 24 hours]({docs}) | {futures} | - |\n"
        f"| {about} | orderbook | spot, linear | - | - | - | - | - | - |\n"
    )
    assert short_markdown(["venue"]).splitlines()[2:] == [
        "| Venue (closed 2024-02-29) | spot, linear | - "
        "| spot: full history; linear: the last 24 hours | - | - |"
    ]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_tables_in_the_documents_are_current(document: str) -> None:
    text = (Path(__file__).parents[3] / document).read_text("utf-8")
    assert "Kraken" in text
    assert updated(text) == text, "run python -m dccd_pipeline.cli.capability_table"


def test_a_document_keeps_what_stands_outside_the_markers() -> None:
    text = "a\n<!-- exchanges -->\nold\n<!-- /exchanges -->\nb\n<!-- matrix -->\n<!-- /matrix -->\n"
    assert updated(text) == (
        f"a\n<!-- exchanges -->\n\n{short_markdown()}\n<!-- /exchanges -->\nb\n"
        f"<!-- matrix -->\n\n{matrix_markdown()}\n<!-- /matrix -->\n"
    )


def test_an_unknown_exchange_is_an_error() -> None:
    with pytest.raises(ConfigError, match="did you mean 'binance'"):
        exchange_table(["binanc"])


@pytest.mark.usefixtures("venue")
def test_a_made_up_way_of_paging_is_called_as_its_file_says(monkeypatch: pytest.MonkeyPatch) -> None:
    trades = replace(EXCHANGE.endpoints[DataType.TRADES], paging=NumberedPages(parse_time("2024-01-01")))
    served = {DataType.TRADES: trades}
    exchange = replace(get("venue"), kinds=frozenset({"spot"}), endpoints=served, special={})
    monkeypatch.setitem(sys.modules, "dccd_core.exchanges.venue", SimpleNamespace(EXCHANGE=exchange))
    with pytest.raises(KeyError, match="NumberedPages"):
        exchange_table(["venue"])
    monkeypatch.setitem(STYLES, NumberedPages, numbered_pages.STYLE)
    [row] = [row for row in exchange_table(["venue"]) if row["data_type"] == "trades"]
    assert (row["paging"], row["limits"]) == (numbered_pages.STYLE.name, ["6000 per 60s"])
