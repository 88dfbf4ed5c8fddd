"""What is found in broken messages: whole texts of a key, and nothing that is only half there or quoted."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dccd_core.adapter.scraps import is_whole, texts_at


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


@pytest.mark.parametrize(
    ("frame", "whole"),
    [(b'{"a":1}', True), (b"{}", True), (b"[]", False), (b'{"a":1', False), (b"\xff", False), (b"", False)],
)
def test_a_whole_message_is_an_object_from_end_to_end(frame: bytes, whole: bool) -> None:  # noqa: FBT001 -- a case
    assert is_whole(frame) == whole
    assert not is_whole(b'{"a":' * 100_000)
