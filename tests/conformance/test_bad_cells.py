"""H3: a page with one bad cell, for every endpoint of every venue, whatever the cell holds instead.

The other rows are read, the bad one is told with its reason, and nothing stops.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import msgspec
import polars as pl
import pytest

from dccd_core.adapter.contract import Response
from dccd_core.adapter.salvage import Decoded, Salvage
from dccd_core.domain.errors import PayloadError
from dccd_core.domain.timespan import SECOND, Us
from dccd_core.exchanges import get
from dccd_core.quality.sanity import split_valid
from dccd_core.tables import DataType
from tests.conformance.test_exchanges import DECODERS, Served, body, case_of, endpoint_of, facts

INSTEAD = {
    "null": b"null",
    "empty": b'""',
    "word": b'"unheard"',
    "grouped": b'"1,000.5"',
    "fraction": b"7.5",
    "text": b'"7.5"',
    "true": b"true",
    "list": b"[]",
    "object": b"{}",
    "NaN": b"NaN",
    "text NaN": b'"NaN"',
    "infinite": b'"inf"',
    "negative": b"-1",
    "negative text": b'"-1"',
    "huge": b"1e400",
    "huge text": b'"1e400"',
    "digits": b"9" * 400,
}
COPIES = 3
"""Rows of a page beside the bad one: enough that it is not most of them."""
LATER = Us(4_000_000_000 * SECOND)


def rows_in(node: Any) -> list[list[Any]]:
    """Return the lists of rows in a page, whatever stands around them."""
    if isinstance(node, dict):
        return [found for value in node.values() for found in rows_in(value)]  # pyright: ignore[reportUnknownVariableType]
    if not isinstance(node, list) or not node or not isinstance(node[0], (list, dict)):
        return []
    inner = [found for value in node for found in rows_in(value)]  # pyright: ignore[reportUnknownVariableType]
    return inner or [node]  # pyright: ignore[reportUnknownVariableType]


def places(row: Any) -> list[Any]:
    return list(cast("dict[str, Any]", row)) if isinstance(row, dict) else list(range(len(row)))


def raw(node: Any) -> Any:
    """Return the page with its numbers as they were written."""
    text = msgspec.Raw(node)
    first = bytes(text).lstrip()[:1]
    if first == b"[":
        return [raw(one) for one in msgspec.json.decode(text, type=list[msgspec.Raw])]
    if first == b"{":
        return {key: raw(one) for key, one in msgspec.json.decode(text, type=dict[str, msgspec.Raw]).items()}
    return text


def grown(page: bytes) -> Any:
    """Return the page with rows repeated, so that one bad row is not most of them."""
    whole = raw(page)
    for found in rows_in(whole):
        found += found * (1 if len(found) >= COPIES else COPIES)
    return whole


def spoilt(page: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the page with one cell replaced, for every cell of a row: what, and the page."""
    whole = grown(page)
    for number, found in enumerate(rows_in(whole)):
        row = found[1]
        for at in places(row):
            for name, text in INSTEAD.items():
                found[1] = row.copy()
                found[1][at] = msgspec.Raw(text)
                yield f"list {number}, cell {at}: {name}", msgspec.json.encode(whole)
        found[1] = row


def read(served: Served, page: bytes, case: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the rows that are stored and those that are refused."""
    endpoint, data_type = endpoint_of(served), served[2]
    at = Us(facts(case).get("at", 0))
    found: Decoded = Salvage(endpoint.decode).read(Response(200, {}, page, max(at, LATER)))
    bar = Us(SECOND) if data_type is DataType.OHLC else None
    good, bad = split_valid(data_type, found.rows, bar, carried_open=endpoint.carries_open)
    return good, pl.concat([found.refused, bad])


@pytest.mark.parametrize("served", DECODERS, ids="-".join)
def test_h3_a_page_with_one_bad_cell_gives_the_other_rows(served: Served) -> None:
    case, decode = case_of(served), endpoint_of(served).decode
    whole = decode(msgspec.json.encode(grown(body(case))), LATER)
    seen = 0
    for what, page in spoilt(body(case)):
        good, bad = read(served, page, case)
        seen += bad.height
        lost = "cell trdType: " in what  # what is not known to be a trade is none, as other kinds are none
        assert good.height + bad.height == whole.height or (lost and good.height == whole.height - 1), what
        assert bad.height <= 1, what
        assert bad["reason"].null_count() == 0, what
        assert get(served[0]).verdict(Response(200, {}, page, Us(0))) is None, what
    assert seen > 20


@pytest.mark.parametrize("served", DECODERS, ids="-".join)
def test_h3_what_can_be_told_of_a_bad_row_is_told(served: Served) -> None:
    """Its time, unless it is the time that is bad: by it the row is asked for again."""
    case, endpoint = case_of(served), endpoint_of(served)
    times = set(endpoint.decode(msgspec.json.encode(grown(body(case))), LATER)["ts"])
    timed = untimed = 0
    for what, spoiled in spoilt(body(case)):
        found = Salvage(endpoint.decode).read(Response(200, {}, spoiled, LATER))
        for at in found.refused["ts"]:
            assert at is None or at in times or at.timestamp() > 3e9, what
            timed, untimed = timed + (at is not None), untimed + (at is None)
    assert timed > untimed or len(times) == 1, "of one moment alone nobody can tell where it comes from"


@pytest.mark.parametrize("served", DECODERS, ids="-".join)
def test_h3_a_page_in_which_most_rows_are_bad_is_a_changed_format(served: Served) -> None:
    whole = raw(body(case_of(served)))
    for found in rows_in(whole):
        for row in found:
            for at in places(row):
                row[at] = msgspec.Raw(b"[7]")
    with pytest.raises(PayloadError, match="unexpected shape"):
        Salvage(endpoint_of(served).decode).read(Response(200, {}, msgspec.json.encode(whole), LATER))
