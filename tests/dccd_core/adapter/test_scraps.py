"""What is found in broken messages: whole texts of a key, and nothing that is only half there or quoted."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dccd_core.adapter.scraps import texts_at


@pytest.mark.parametrize(
    ("scrap", "texts"),
    [
        (b'{"a":"x"}', ["x"]),
        (b'}"a" :\t"x",[', ["x"]),
        (b'{"a":"x","b":{"a":"y"', ["x", "y"]),
        (b'{"a":"x', []),
        (b'{"a":["x"]', []),
        (b'{"aa":"x"', []),
        (b'{"b":"\\"a\\":\\"x\\""', []),
        (b'{"a":"\\u0062\\"c"', ['b"c']),
        (b'{"a":"\xff"', []),
        (b'{"a":"\\q","a":"z"', ["z"]),
        (b"", []),
    ],
)
def test_texts_of_a_key_are_found_where_they_are_whole(scrap: bytes, texts: list[str]) -> None:
    assert texts_at("a", scrap) == texts


@given(text=st.text(), cut=st.integers(0, 200))
def test_a_text_is_found_as_it_was_or_not_at_all(text: str, cut: int) -> None:
    whole = json.dumps({"a.b": text}).encode()
    assert texts_at("a.b", whole) == [text]
    assert texts_at("a.b", whole[: max(0, len(whole) - 2 - cut)]) == []
