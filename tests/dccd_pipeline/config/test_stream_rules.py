"""Each rule of an entry of ``stream``: what it refuses, and what it leaves alone."""

from dataclasses import replace
from typing import Any

import pytest

from dccd_core.adapter.contract import Exchange
from dccd_core.domain.timespan import parse_time
from dccd_core.exchanges import get
from dccd_core.tables import DataType
from dccd_pipeline.config import stream_rules
from dccd_pipeline.config.draft import Draft, Part
from dccd_pipeline.config.stream import StreamEntry
from dccd_pipeline.config.stream_rules import STREAM_RULES

NOW = parse_time("2026-11-01")
TRADES: dict[str, Any] = {
    "name": "majors",
    "exchange": "kraken",
    "symbols": ["BTC/USD"],
    "data_types": ["trades"],
}
BARS, BOOKS = {**TRADES, "data_types": ["ohlc"]}, {**TRADES, "data_types": ["orderbook"]}

TABLE: dict[str, list[tuple[dict[str, Any], str, str]]] = {
    "exchange_can_be_listened_to": [
        ({**TRADES, "exchange": "bitmex", "symbols": ["BTC/USD:BTC"]}, "exchange", "BitMEX closed on"),
    ],
    "symbols_are_traded": [
        ({**TRADES, "symbols": ["BTC/USD:USD"]}, "symbols", "kraken has no linear markets"),
    ],
    "data_types_are_pushed": [
        ({**TRADES, "exchange": "bybit"}, "data_types", "bybit pushes no trades of spot markets"),
    ],
    "data_types_are_named_once": [
        ({**TRADES, "data_types": ["trades", "trades"]}, "data_types", "trades is there twice"),
    ],
    "span_is_pushed": [
        (BARS, "span", "missing, ohlc needs one"),
        ({**BARS, "span": "7m"}, "span", "kraken pushes no 7m bars"),
        ({**TRADES, "span": "1m"}, "span", "only ohlc has a span"),
    ],
    "books_are_pushed": [
        ({**TRADES, "depth": 5}, "depth", "only orderbook has a depth"),
        ({**TRADES, "snapshot_every": "1s"}, "snapshot_every", "only orderbook has a snapshot_every"),
        ({**BOOKS, "depth": 1001}, "depth", "kraken pushes at most 1000 levels"),
    ],
    "stream_starts_in_the_past": [
        ({**TRADES, "start": "2026-11-02"}, "start", "2026-11-02 is in the future"),
    ],
}
ROWS = [(name, *row) for name, rows in TABLE.items() for row in rows]


@pytest.fixture(autouse=True)
def fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Bybit push no trades of spot markets: the real exchanges push all of them."""
    bybit = get("bybit")
    assert bybit.live
    live = replace(bybit.live, special={**bybit.live.special, ("spot", DataType.TRADES): None})
    poor = replace(bybit, live=live)

    def known(name: str) -> Exchange:
        return poor if name == "bybit" else get(name)

    monkeypatch.setattr(stream_rules, "get", known)


def said(raw: dict[str, Any], unsound: frozenset[tuple[str]] = frozenset()) -> list[tuple[str, str, str]]:
    draft = Draft({}, (), [Part(("stream", 3), StreamEntry.model_validate(raw), unsound)])
    found = [(rule.__name__, problem) for rule in STREAM_RULES for problem in rule(draft, NOW)]
    assert all(problem.where[:2] == ("stream", 3) for _, problem in found)
    assert all(problem.hint for _, problem in found), "each says what to do"
    return [(name, str(problem.where[2]), problem.said) for name, problem in found]


def test_each_rule_is_in_the_table() -> None:
    assert list(TABLE) == [rule.__name__ for rule in STREAM_RULES]


@pytest.mark.parametrize(("rule", "raw", "key", "text"), ROWS, ids=[f"{r[0]}-{r[2]}-{r[3]}" for r in ROWS])
def test_a_rule_refuses_and_no_other_does(rule: str, raw: dict[str, Any], key: str, text: str) -> None:
    ((by, where, what),) = said(raw)
    assert (by, where) == (rule, key)
    assert what.startswith(text)


@pytest.mark.parametrize("raw", [TRADES, {**BARS, "span": "1m"}, {**BOOKS, "depth": 1000}], ids=str)
def test_what_is_pushed_is_refused_by_none(raw: dict[str, Any]) -> None:
    assert said({**raw, "start": "2026-11-01"}) == []


def test_a_rule_does_not_go_by_what_is_unsound() -> None:
    wrong = {**TRADES, "span": "7m", "depth": 5, "start": "2999-01-01"}
    assert said(wrong, frozenset({("span",), ("depth",), ("start",)})) == []
