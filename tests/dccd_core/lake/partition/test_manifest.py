from dataclasses import fields
from zlib import crc32

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dccd_core.domain.timespan import Us
from dccd_core.lake.partition.ledger import Hole, Ledger, Lost
from dccd_core.lake.partition.manifest import Entry, decode, encode
from dccd_core.lake.partition.parquet import State
from tests.dccd_core.lake.samples import SPAN, asked, often

LEDGER = Ledger(
    (asked(0, 10, at=7), asked(20, 30)),
    (Hole(SPAN, 3, (Us(1), Us(2)), "nothing was traded", "outage", 1), Hole(SPAN, 1)),
    4,
    (Lost(SPAN, 'the "connection" was lost "ü"'),),
)
STATE = State("lake/data.parquet", 5, SPAN.start, Us(SPAN.end - 1), 1_234, "abc", LEDGER, "binance/trades")
ENTRIES = {"BTC-USDT": {"2024-01-31": Entry.of(STATE, "mark"), "2024-02-01": Entry.of(STATE, "other")}}


def test_what_is_written_comes_back() -> None:
    assert decode(encode(ENTRIES, "store"), "store") == ENTRIES
    assert decode(encode({}, "store"), "store") == {}


@pytest.mark.parametrize("state", [STATE, State("lake/data.parquet", 0, None, None, 0, "", Ledger())])
def test_a_state_comes_back_as_it_was(state: State) -> None:
    found = decode(encode({"a": {"b": Entry.of(state, "mark")}}, "store"), "store")["a"]["b"]
    assert found.mark == "mark"
    assert found.state(state.path) == state


def test_all_that_a_footer_tells_is_kept() -> None:
    """Who adds a field to ``State`` comes by here: told by footers, it belongs into ``Entry``, too."""
    told = {one.name for one in fields(State)} - {"path", "unfolded"}
    assert told == set(Entry.__struct_fields__) - {"mark"}


def test_that_of_another_store_says_nothing() -> None:
    assert decode(encode(ENTRIES, "another"), "store") == {}


@often
@given(cut=st.integers(0, len(encode(ENTRIES, "store")) - 1))
def test_a_torn_one_says_nothing(cut: int) -> None:
    assert decode(encode(ENTRIES, "store")[:cut], "store") == {}


@often
@given(at=st.integers(0, len(encode(ENTRIES, "store")) - 1), bit=st.integers(0, 7))
def test_a_damaged_one_says_nothing_that_is_not_so(at: int, bit: int) -> None:
    written = bytearray(encode(ENTRIES, "store"))
    written[at] ^= 1 << bit
    assert decode(bytes(written), "store") in ({}, ENTRIES)


@pytest.mark.parametrize(
    ("head", "body"),
    [
        ({"format": 3}, None),
        ({"format": 0}, None),
        ({"format": "1"}, None),
        ({"store": None}, None),
        ({}, b"[]"),
        ({}, b'{"BTC-USDT": {"2024-01-31": ["mark", 1]}}'),
        ({}, b'{"BTC-USDT": {"2024-01-31": ["mark", "1", null, null, 1, "", "", {}]}}'),
        ({}, b'{"BTC-USDT": 1'),
        ({}, b"\xff\xfe"),
    ],
)
def test_another_format_says_nothing(head: dict[str, object], body: bytes | None) -> None:
    known = encode(ENTRIES, "store").partition(b"\n")[2]
    body = known if body is None else body
    first = {"format": 2, "store": "store", "crc32": crc32(body), **head}
    assert decode(msgspec.json.encode(first) + b"\n" + body, "store") == {}


@pytest.mark.parametrize("ledger", [b'{"version": 3}', b"{}", b"1", b'{"version": 2, "more": 1}'])
def test_a_ledger_that_is_not_known_here_makes_no_state(ledger: bytes) -> None:
    entry = msgspec.structs.replace(Entry.of(STATE, "mark"), ledger=msgspec.Raw(ledger))
    assert entry.state("path") is None
