"""Which entry collects what another builds its bars of; what is said when none does is in test_rules."""

from typing import Any

from dccd_core.domain.timespan import DAY, MINUTE
from dccd_pipeline.config.capabilities import present
from dccd_pipeline.config.collect import Entry
from dccd_pipeline.config.origins import with_origins
from dccd_pipeline.config.read import entry_of

TRADES: dict[str, Any] = {"exchange": "kraken", "symbols": ["BTC/USD"], "data_type": "trades"}
BARS: dict[str, Any] = {**TRADES, "data_type": "ohlc"}
CHAIN = [
    {**BARS, "span": "1d", "derive_from": "1h"},
    {**BARS, "span": "1h", "derive_from": "1m"},
    {**BARS, "span": "1m", "derive_from": "trades"},
    TRADES,
]


def entries(*raw: dict[str, Any]) -> dict[int, Entry]:
    return {at: entry_of(one, present()) for at, one in enumerate(raw)}


def test_each_entry_of_a_chain_knows_the_one_before() -> None:
    told = with_origins(entries(*CHAIN))
    assert [told[at].span for at in told] == [DAY, 60 * MINUTE, MINUTE, None]
    symbol = told[0].symbols[0]
    assert [told[at].origins.get(symbol) for at in told] == [told[1], told[2], told[3], None]


def test_symbols_may_come_from_different_entries_and_some_from_none() -> None:
    bars = {**BARS, "symbols": ["BTC/USD", "ETH/USD", "SOL/USD"], "span": "1h", "derive_from": "1m"}
    minutes = {**BARS, "span": "1m", "start": "2026-11-01", "derive_from": "trades"}
    told = with_origins(entries(bars, {**minutes, "symbols": ["ETH/USD"], "start": "2026-11-03"}, minutes))
    assert {str(symbol): str(entry.start) for symbol, entry in told[0].origins.items()} == {
        "BTC/USD": "2026-11-01",
        "ETH/USD": "2026-11-03",
    }
    assert str(told[0].start) == "2026-11-03", "the later one, for all of them"
