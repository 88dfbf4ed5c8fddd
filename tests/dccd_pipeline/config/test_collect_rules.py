"""Each rule of an entry of ``collect``: what it refuses, when, and what it leaves alone."""

from typing import Any

import pytest

from dccd_core.domain.timespan import Us, parse_time
from dccd_pipeline.config.collect import TypedEntry
from dccd_pipeline.config.collect_rules import COLLECT_RULES
from dccd_pipeline.config.draft import Draft, Part

OPEN, CLOSED = parse_time("2026-03-01"), parse_time("2026-11-01")
"""Before and after BitMEX closed."""
BARS: dict[str, Any] = {"exchange": "kraken", "symbols": ["BTC/USD"], "data_type": "ohlc", "span": "1h"}
BITMEX: dict[str, Any] = {"exchange": "bitmex", "symbols": ["BTC/USD:BTC"], "data_type": "trades"}

TABLE: dict[str, list[tuple[dict[str, Any], Us, str, str]]] = {
    "data_type_is_served": [
        ({**BITMEX, "data_type": "orderbook"}, CLOSED, "data_type", "bitmex serves no orderbook, it closed"),
    ],
    "symbols_are_served": [
        ({**BARS, "symbols": ["BTC/USD:USD"]}, OPEN, "symbols", "kraken has no linear markets"),
    ],
    "bars_can_be_derived": [
        ({**BITMEX, "derive_from": "trades"}, OPEN, "derive_from", "trades takes no derive_from"),
    ],
    "span_is_served": [
        ({**BARS, "span": None}, OPEN, "span", "missing, ohlc needs one"),
        ({**BARS, "span": "7m"}, OPEN, "span", "kraken serves no 7m bars"),
        ({**BARS, "span": "7m", "derive_from": "trades"}, OPEN, "span", "7m bars of trades do not divide"),
        ({**BITMEX, "span": "1h"}, OPEN, "span", "trades takes no span"),
    ],
    "start_can_be_served": [
        ({**BARS, "start": "2026-03-02"}, OPEN, "start", "2026-03-02 is in the future"),
        ({**BARS, "start": "2026-01-05"}, OPEN, "start", "kraken serves the last 720 rows of 1h bars"),
        ({**BITMEX, "start": "2026-10-01"}, CLOSED, "start", "BitMEX closed on 2026-09-23"),
        ({**BITMEX, "start": "2001-01-01"}, OPEN, "start", "bitmex has nothing before 2014-11-22"),
        ({**BITMEX, "start": "recent"}, OPEN, "start", "bitmex serves the full history"),
    ],
    "end_is_after_the_start": [
        ({**BITMEX, "start": "2024-01-02", "end": "2024-01-02"}, OPEN, "end", "2024-01-02 is not after"),
        ({**BARS, "start": "recent", "end": "2026-01-01"}, OPEN, "end", "2026-01-01 is not after"),
        ({**BARS, "end": "2025-12-01"}, OPEN, "end", "2025-12-01 is not after"),
    ],
    "schedule_can_fire": [
        ({**BARS, "every": "1h", "cron": "0 2 * * *"}, OPEN, "cron", "cron and every exclude each other"),
        ({**BARS, "cron": "0 0 31 4 *"}, OPEN, "cron", "'0 0 31 4 *' names a date that never comes"),
        ({**BITMEX, "every": "1h"}, CLOSED, "every", "BitMEX closed on 2026-09-23, nothing new comes"),
        ({**BITMEX, "cron": "0 2 * * *"}, CLOSED, "cron", "BitMEX closed on 2026-09-23, nothing new comes"),
    ],
    "depth_is_served": [
        ({**BITMEX, "depth": 5}, OPEN, "depth", "trades takes no depth"),
        (
            {"exchange": "bitfinex", "symbols": ["BTC/USD"], "data_type": "orderbook", "depth": 1000},
            OPEN,
            "depth",
            "bitfinex serves at most",
        ),
    ],
    "there_is_a_tail_to_fold": [
        (
            {**BARS, "span": "10m", "derive_from": "trades", "start": "2020-01-01", "fold_every": "1h"},
            OPEN,
            "fold_every",
            "what is built of stored rows is put into its files at once",
        ),
    ],
}
ROWS = [(name, *row) for name, rows in TABLE.items() for row in rows]


def said(raw: dict[str, Any], now: Us) -> list[tuple[str, str, str]]:
    part = Part(("collect", 3), TypedEntry.model_validate(raw))
    found = [(rule.__name__, problem) for rule in COLLECT_RULES for problem in rule(Draft({}, [part]), now)]
    assert all(problem.where[:2] == ("collect", 3) for _, problem in found)
    assert all(problem.hint for _, problem in found), "each says what to do"
    return [(name, str(problem.where[2]), problem.said) for name, problem in found]


def test_each_rule_is_in_the_table() -> None:
    assert list(TABLE) == [rule.__name__ for rule in COLLECT_RULES]


@pytest.mark.parametrize(
    ("rule", "raw", "now", "key", "text"), ROWS, ids=[f"{r[0]}-{r[3]}-{r[4]}" for r in ROWS]
)
def test_a_rule_refuses_and_no_other_does(
    rule: str, raw: dict[str, Any], now: Us, key: str, text: str
) -> None:
    ((by, where, what),) = said(raw, now)
    assert (by, where) == (rule, key)
    assert what.startswith(text)


@pytest.mark.parametrize(
    "raw",
    [
        BARS,
        {**BARS, "start": "2026-01-01"},
        {**BARS, "start": "recent", "end": "2026-01-02", "cron": "0 2 * * *"},
        {**BARS, "span": "10m", "derive_from": "trades", "start": "2020-01-01"},
        {**BARS, "span": "10m", "derive_from": "trades", "start": "2020-01-01", "fold_every": "auto"},
        {**BITMEX, "every": "1h", "start": "2026-02-28", "fold_every": 0},
        {**BITMEX, "data_type": "orderbook", "depth": 5},
    ],
    ids=str,
)
def test_what_is_served_is_refused_by_none(raw: dict[str, Any]) -> None:
    assert said(raw, OPEN) == []


def test_the_time_is_the_one_that_is_given() -> None:
    tomorrow = {**BITMEX, "start": "2026-03-02"}
    assert [what for _, _, what in said(tomorrow, OPEN)] == ["2026-03-02 is in the future"]
    assert said(tomorrow, parse_time("2026-03-02")) == []


def test_a_rule_does_not_go_by_what_is_unsound() -> None:
    typed = TypedEntry.model_validate({**BARS, "span": "7m", "start": "2999-01-01", "depth": 5})
    unsound = frozenset({("span",), ("start",), ("depth",)})
    draft = Draft({}, [Part(("collect", 0), typed, unsound)])
    assert [problem for rule in COLLECT_RULES for problem in rule(draft, OPEN)] == []
