"""Each rule that spans entries or sections: what it refuses, when, and that one tuple names all of them."""

from typing import Any

import pytest

from dccd_core.domain.timespan import Us, parse_time
from dccd_pipeline.config.collect_rules import COLLECT_RULES
from dccd_pipeline.config.draft import sound_part, whole_draft
from dccd_pipeline.config.rules import RULES, problems_of
from dccd_pipeline.config.settings import TypedSettings
from dccd_pipeline.config.stream_rules import STREAM_RULES

OPEN, CLOSED = parse_time("2026-03-01"), parse_time("2026-11-01")
"""Before and after BitMEX closed."""
TRADES: dict[str, Any] = {"exchange": "kraken", "symbols": ["BTC/USD"], "data_type": "trades"}
DERIVED: dict[str, Any] = {**TRADES, "data_type": "ohlc", "span": "1h", "derive_from": "trades"}
BITMEX: dict[str, Any] = {"exchange": "bitmex", "symbols": ["BTC/USD:BTC"], "data_type": "trades"}
STREAM: dict[str, Any] = {
    "name": "majors",
    "exchange": "kraken",
    "symbols": ["BTC/USD"],
    "data_types": ["trades"],
}
GAP: dict[str, Any] = {"dataset": "kraken/trades/BTC-USD", "why": "x"}


def lives(**life: str) -> dict[str, Any]:
    return {"kraken": {"symbols": {"BTC/USD": life}}}


TABLE: dict[str, tuple[dict[str, Any], Us, str]] = {
    "symbols_live_forwards": (
        {"exchanges": lives(listed="2020-01-02", delisted="2020-01-01")},
        OPEN,
        "exchanges.kraken.symbols.BTC/USD.delisted: 2020-01-01 is before it was listed, 2020-01-02"
        " -> exchange the two",
    ),
    "accepted_gaps_end_after_they_start": (
        {"accepted": [{**GAP, "start": "2020-01-01", "end": "2020-01-01"}]},
        OPEN,
        "accepted[0].end: 2020-01-01 is not after start, 2020-01-01 -> end is the first moment not meant",
    ),
    "datasets_are_collected_once": (
        {"collect": [TRADES, {**TRADES, "name": "other"}]},
        OPEN,
        "collect[1].symbols[0]: kraken/trades/BTC-USD is already collected by collect[0].symbols[0]"
        " -> remove one of the two",
    ),
    "entries_have_names_of_their_own": (
        {"collect": [TRADES, {**TRADES, "symbols": ["ETH/USD"]}]},
        OPEN,
        "collect[1].name: kraken_trades is already the name of collect[0]"
        " -> give one of the two a name of its own, like kraken_trades_2",
    ),
    "datasets_are_recorded_once": (
        {"stream": [STREAM, {**STREAM, "name": "other"}]},
        OPEN,
        "stream[1].symbols[0]: kraken/trades/BTC-USD is already recorded by stream[0]"
        " -> remove one of the two",
    ),
    "streams_have_names_of_their_own": (
        {"collect": [{**TRADES, "name": "stream_majors"}], "stream": [STREAM]},
        OPEN,
        "stream[0].name: its job would be called like that of collect[0]"
        " -> give one of the two another name, like majors_live",
    ),
    "remotes_have_names_of_their_own": (
        {"remotes": [{"name": "nas", "to": "/a"}, {"name": "nas", "to": "/b"}]},
        OPEN,
        "remotes[1].name: nas is already the name of remotes[0] -> give one of the two a name of its own, "
        "like nas_2",
    ),
    "remotes_are_apart": (
        {"store": "/data", "remotes": [{"name": "nas", "to": "/data/copy"}]},
        OPEN,
        "remotes[0].to: /data/copy is not apart from the place of store -> choose a place of its own",
    ),
    "derived_bars_have_their_source": (
        {"collect": [DERIVED]},
        OPEN,
        "collect[0].symbols[0]: no entry collects the kraken trades of BTC/USD, of which to build bars"
        " -> add {exchange: kraken, symbols: [BTC/USD], data_type: trades}",
    ),
    "closed_exchanges_are_answered_for": (
        {"collect": [BITMEX]},
        CLOSED,
        "collect[0].exchange: BitMEX closed on 2026-09-23"
        " -> set exchanges.bitmex.rest_url to a server that still has its history",
    ),
    "symbols_lived_at_the_start": (
        {"collect": [{**TRADES, "start": "2024-01-01"}], "exchanges": lives(delisted="2023-12-31")},
        OPEN,
        "collect[0].symbols[0]: BTC/USD was delisted on 2023-12-31, before the start, 2024-01-01"
        " -> remove it, or start earlier",
    ),
    "lives_are_of_symbols_that_are_collected": (
        {"collect": [{**TRADES, "symbols": ["XBTC/USD"]}], "exchanges": lives(listed="2020-01-01")},
        OPEN,
        "collect[0].symbols: exchanges.kraken.symbols.BTC/USD is of no entry -> did you mean XBTC/USD?",
    ),
}


def lines(raw: dict[str, Any], now: Us) -> list[tuple[str, str]]:
    draft = whole_draft(TypedSettings.model_validate(raw))
    return [(rule.__name__, str(problem)) for rule in RULES for problem in problems_of(draft, now, [rule])]


def test_all_rules_are_in_one_tuple_and_those_of_the_whole_file_in_this_table() -> None:
    alone = {*COLLECT_RULES, *STREAM_RULES}
    assert alone <= set(RULES)
    assert list(TABLE) == [rule.__name__ for rule in RULES if rule not in alone]


@pytest.mark.parametrize(("rule", "raw", "now", "line"), [(name, *row) for name, row in TABLE.items()])
def test_a_rule_refuses_and_no_other_does(rule: str, raw: dict[str, Any], now: Us, line: str) -> None:
    assert lines(raw, now) == [(rule, line)]


def test_bars_start_no_earlier_than_what_they_are_built_of() -> None:
    source = {**TRADES, "start": "2024-06-01"}
    assert lines({"collect": [source, {**DERIVED, "start": "2024-06-01"}]}, OPEN) == []
    ((rule, line),) = lines({"collect": [source, DERIVED]}, OPEN)
    assert rule == "derived_bars_have_their_source"
    assert line.startswith("collect[1].start: the trades of BTC/USD are collected from 2024-06-01 on only")


def test_two_streams_have_two_names() -> None:
    ((rule, line),) = lines({"stream": [STREAM, {**STREAM, "symbols": ["ETH/USD"]}]}, OPEN)
    assert rule == "streams_have_names_of_their_own"
    assert line.startswith("stream[1].name: majors is already the name of stream[0]")


def test_an_exchange_that_closes_one_day_is_open_until_then() -> None:
    assert lines({"collect": [BITMEX]}, OPEN) == []
    rest_url = {"bitmex": {"rest_url": "http://127.0.0.1:8900/bitmex"}}
    assert lines({"collect": [BITMEX], "exchanges": rest_url}, CLOSED) == []


def test_in_a_chain_of_bars_each_needs_the_one_before() -> None:
    chain = [{**DERIVED, "span": "1d", "derive_from": "1h"}, DERIVED, TRADES]
    assert lines({"collect": chain}, OPEN) == []
    ((rule, line),) = lines({"collect": [chain[0], TRADES]}, OPEN)
    assert rule == "derived_bars_have_their_source"
    assert line.startswith("collect[0].symbols[0]: no entry collects the kraken 1h bars of BTC/USD, of which")
    late = [{**chain[0], "start": "2024-01-01"}, DERIVED, {**TRADES, "start": "2024-06-01"}]
    assert [line.partition(": ")[0] for _, line in lines({"collect": late}, OPEN)] == ["collect[1].start"]


def test_what_other_mistakes_hide_is_not_said_to_be_missing() -> None:
    days = {**DERIVED, "span": "1d", "derive_from": "1h"}
    raw = {"collect": [{**DERIVED, "symbols": ["BTCUSD"]}, days, TRADES]}
    assert problems_of(sound_part(raw, [("collect", 0, "symbols", 0)]), OPEN) == []
