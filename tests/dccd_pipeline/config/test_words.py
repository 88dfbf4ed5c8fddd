"""The right word for a wrong one."""

from collections import Counter

import pytest

from dccd_core.tables import DataType
from dccd_pipeline.config import words
from dccd_pipeline.config.words import having, meant, said_unknown

OURS = [*DataType, *words.OTHERS]


@pytest.mark.parametrize("data_type", DataType)
def test_what_others_call_a_data_type_is_understood_however_it_is_written(data_type: DataType) -> None:
    for synonym in data_type.table.synonyms:
        for written in (synonym, synonym.upper(), f" {synonym} "):
            assert meant(written, DataType) == data_type
            assert said_unknown(written)[1] == f"did you mean {data_type}?"


def test_no_word_of_others_means_two_of_ours_that_stand_together() -> None:
    said = Counter(word for one in DataType for word in one.table.synonyms)
    assert [word for word, count in said.items() if count > 1] == []
    keys = Counter(word for others in words.OTHERS.values() for word in others)
    assert [word for word, count in keys.items() if count > 1] == []


def test_a_word_of_ours_is_no_synonym_of_another_data_type() -> None:
    assert {word for one in DataType for word in one.table.synonyms} & set(DataType) == set()


def test_a_synonym_goes_before_what_is_only_alike() -> None:
    assert meant("type", ["time", "data_type"]) == "data_type"
    assert meant("type", ["tape", "span"]) == "tape"


def test_only_what_may_stand_there_is_meant() -> None:
    assert meant("klines", ["trades", "orderbook"]) is None
    assert meant("timeframe", ["every"]) is None


@pytest.mark.parametrize(
    ("typed", "ours"), [("trads", "trades"), ("orderbok", "orderbook"), ("exchnge", "exchange")]
)
def test_a_slip_of_the_keyboard_is_understood(typed: str, ours: str) -> None:
    assert meant(typed, [*OURS, "exchange"]) == ours


@pytest.mark.parametrize("word", ["funding", "", 7, None, []])
def test_what_nobody_understands_is_answered_with_all_there_are(word: object) -> None:
    assert said_unknown(word) == (f"unknown data type {word!r}", f"known: {', '.join(DataType)}")


def test_data_types_are_named_by_what_is_true_of_them() -> None:
    assert having(lambda table: table.takes_span) == "ohlc"
    assert having(lambda table: not table.takes_span) == "trades and orderbook"
    assert having(lambda _: None) == ""
