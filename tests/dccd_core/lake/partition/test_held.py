from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dccd_core.domain.errors import DamagedFile
from dccd_core.domain.timespan import Us
from dccd_core.lake.partition.held import Held, Place, parse_held
from dccd_core.lake.partition.ledger import Hole, Ledger
from dccd_core.lake.partition.parquet import State
from tests.dccd_core.lake.samples import SPAN, asked, often

LEDGER = Ledger((asked(0, 10, at=7),), (Hole(SPAN, 3, (Us(1),), "nothing was traded"),), 0)
STATE = State("data.parquet", 5, SPAN.start, Us(SPAN.end - 1), 1_234, "abc", LEDGER, "binance/trades")
HELD = Held(STATE, "0" * 64, (Place("backup", Us(7)), Place("nas", Us(8))), Us(9), "n")


def test_what_is_written_comes_back_as_held_elsewhere() -> None:
    told = parse_held(HELD.to_json(), "_held.json", "data.parquet")
    assert told == replace(HELD, state=replace(STATE, elsewhere=("backup", "nas")))


def test_an_empty_partition_comes_back() -> None:
    empty = replace(HELD, state=State("data.parquet", 0, None, None, 9, "abc", Ledger()), places=())
    assert parse_held(empty.to_json(), "_held.json", "data.parquet") == empty


@often
@given(at=st.integers(0, len(HELD.to_json()) - 2), bit=st.integers(0, 7))
def test_a_damaged_one_says_nothing_that_is_not_so(at: int, bit: int) -> None:
    written = bytearray(HELD.to_json())
    written[at] ^= 1 << bit
    with pytest.raises(DamagedFile, match=r"_held\.json"):
        parse_held(bytes(written), "_held.json", "data.parquet")


@often
@given(cut=st.integers(0, len(HELD.to_json()) - 2))
def test_a_torn_one_is_an_error(cut: int) -> None:
    with pytest.raises(DamagedFile, match="dccd restore"):
        parse_held(HELD.to_json()[:cut], "_held.json", "data.parquet")
