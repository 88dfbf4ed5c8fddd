"""What rules look at: whole values, examples in the place of what is unsound, and which is which."""

from typing import Any

from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import HOUR
from dccd_pipeline.config.draft import Part, Problem, said_place, sound_part, whole_draft
from dccd_pipeline.config.settings import TypedSettings

BARS: dict[str, Any] = {"exchange": "kraken", "symbols": ["ETH/USD", "BTC/USD"], "data_type": "ohlc"}


def test_of_sound_settings_all_is_sound() -> None:
    typed = TypedSettings.model_validate({"collect": [{**BARS, "span": "1h"}]})
    draft = whole_draft(typed)
    assert draft.collect == [Part(("collect", 0), typed.collect[0])]
    assert draft.collect[0].sound("exchange", "span", "start")


def test_an_example_stands_for_what_is_wrong_and_the_rest_is_as_it_was_typed() -> None:
    raw = {"collect": [5, {**BARS, "symbols": ["ETH/USD", "BTCUSD"], "span": "1h", "every": "7m", "x": 1}]}
    places = [("collect", 0), ("collect", 1, "symbols", 1), ("collect", 1, "every"), ("collect", 1, "x")]
    (part,) = sound_part(raw, places).collect
    assert part.place == ("collect", 1)
    assert (part.typed.exchange, part.typed.span, part.typed.every) == ("kraken", HOUR, None)
    assert part.items("symbols", part.typed.symbols) == [(0, Symbol("ETH", "USD"))]
    assert part.sound("exchange", "span")
    assert not part.sound("symbols")
    assert not part.sound("exchange", "every")


def test_what_is_needed_and_missing_is_unsound() -> None:
    (part,) = sound_part({"stream": [{"name": "majors", "exchange": "kraken"}]}, []).stream
    assert part.sound("name", "exchange")
    assert not part.sound("data_types")
    assert part.items("data_types", part.typed.data_types) == []


def test_of_an_exchange_what_is_wrong_does_not_hide_the_rest() -> None:
    own = {"rest_url": "ftp://h", "budget": 0.5}
    raw = {"exchanges": {"kraken": own, "krakn": {}, "okx": None}}
    places = [("exchanges", "kraken", "rest_url"), ("exchanges", "krakn", "[key]"), ("exchanges", "okx")]
    exchanges = sound_part(raw, places).exchanges
    assert exchanges.keys() == {"kraken"}
    assert (exchanges["kraken"].typed.rest_url, exchanges["kraken"].typed.budget) == (None, 0.5)
    assert not exchanges["kraken"].sound("rest_url")


def test_nothing_can_be_gone_by_in_what_is_no_mapping() -> None:
    draft = sound_part(["collect"], [()])
    assert (draft.exchanges, draft.collect, draft.stream, draft.accepted) == ({}, [], [], [])


def test_a_problem_is_one_line() -> None:
    assert said_place(("collect", 0, "symbols", 1)) == "collect[0].symbols[1]"
    assert said_place(("exchanges", "binanc", "[key]")) == "exchanges.binanc"
    assert str(Problem(("store",), "no\nplace", "write one")) == "store: no place -> write one"
