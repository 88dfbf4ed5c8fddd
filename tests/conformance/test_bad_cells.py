"""H3: a page with one bad cell, for every endpoint of every venue, whatever the cell holds instead.

The other rows are read, the bad one is told with its reason, and nothing stops.
"""

import re
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


NULLS = {"bitmex"}
"""Venues that tell null where there is nothing to count."""
NO_NUMBERS = [b'"1,5"', b'""', b'"abc"', b'"0x10"', b'"1 2"']
"""Text that stands for no number, and is in no other column of ours than a name."""


def replaced(page: bytes, text: bytes, only: bytes = b"") -> Iterator[tuple[str, bytes]]:
    """Yield the page with a cell replaced by ``text``, for each of a row that begins with one of ``only``."""
    whole = grown(page)
    for number, found in enumerate(rows_in(whole)):
        row = found[1]
        for at in places(row):
            if not only or bytes(row[at])[:1] in only:
                found[1] = row.copy()
                found[1][at] = msgspec.Raw(text)
                yield f"list {number}, cell {at}: {text.decode()}", msgspec.json.encode(whole)
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


@pytest.mark.parametrize("served", DECODERS, ids="-".join)
def test_a_page_without_rows_is_no_rows_of_the_right_table(served: Served) -> None:
    decode, whole = endpoint_of(served).decode, raw(body(case_of(served)))
    for found in rows_in(whole):
        found.clear()
    page = msgspec.json.encode(whole)
    for text in (page, b" %s\n" % page.replace(b"[", b" [ "), msgspec.json.format(page, indent=2)):
        rows = decode(text, LATER)
        assert rows.is_empty()
        assert rows.schema == served[2].table.schema


def outcome(served: Served, page: bytes) -> pl.DataFrame | str:
    """Return the rows of a page, or why it is refused."""
    try:
        return endpoint_of(served).decode(page, LATER)
    except PayloadError as e:
        return str(e)


def known_rows(served: Served) -> pl.DataFrame:
    return endpoint_of(served).decode(msgspec.json.encode(grown(body(case_of(served)))), LATER)


@pytest.mark.parametrize("served", DECODERS, ids="-".join)
@pytest.mark.parametrize("text", NO_NUMBERS, ids=bytes.decode)
def test_text_that_is_no_number_is_refused(served: Served, text: bytes) -> None:
    """Wherever a row has a cell that is read, unless that is the name of a trade."""
    known, refused = known_rows(served).drop("trade_id", strict=False), 0
    for what, page in replaced(body(case_of(served)), text):
        found = outcome(served, page)
        if isinstance(found, str):
            assert re.search("unexpected shape|not what its column holds|is no time", found), what
            refused += 1
        elif "cell trdType: " not in what:  # what is not known to be a trade is none
            assert found.drop("trade_id", strict=False).equals(known), what
    assert refused >= 2, "at least a price and an amount"


@pytest.mark.parametrize("served", DECODERS, ids="-".join)
@pytest.mark.parametrize("other", [b"1.5", b"null", b"true", b"[]"], ids=bytes.decode)
def test_a_value_that_is_no_text_is_another_format(served: Served, other: bytes) -> None:
    """Where text was told, though it be a number's."""
    known = known_rows(served)
    for what, page in replaced(body(case_of(served)), other, only=b'"'):
        found = outcome(served, page)
        assert "unexpected shape" in found if isinstance(found, str) else found.equals(known), what


@pytest.mark.parametrize("served", DECODERS, ids="-".join)
@pytest.mark.parametrize("other", [b'"7.5"', b"null"], ids=bytes.decode)
def test_a_value_that_is_no_number_is_another_format(served: Served, other: bytes) -> None:
    """Where a number was told, on venues that tell one wherever they know of a row."""
    if other == b"null" and served[0] in NULLS:
        return
    known = known_rows(served)
    for what, page in replaced(body(case_of(served)), other, only=b"0123456789"):
        found = outcome(served, page)
        assert "unexpected shape" in found if isinstance(found, str) else found.equals(known), what


@pytest.mark.parametrize("served", DECODERS, ids="-".join)
def test_a_row_may_grow_at_its_end_and_not_lack_what_is_read(served: Served) -> None:
    """A level of a book may be a pair, and no more."""
    known, whole = known_rows(served), grown(body(case_of(served)))
    for found in rows_in(whole):
        row = found[1]
        more, less = row.copy(), row.copy()
        if isinstance(row, dict):
            more["more"] = msgspec.Raw(b"[7]")
        else:
            more.append(msgspec.Raw(b"[7]"))
            less.pop()
        for found[1] in (more, less):
            rows = outcome(served, msgspec.json.encode(whole))
            refusable = found[1] is less or served[2] is DataType.ORDERBOOK
            assert refusable and "unexpected shape" in rows if isinstance(rows, str) else rows.equals(known)
        found[1] = row
