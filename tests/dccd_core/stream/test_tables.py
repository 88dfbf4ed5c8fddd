"""Rows get our symbols, units and columns on their way to a segment."""

import polars as pl

from dccd_core.domain.timespan import SECOND, Us
from dccd_core.stream.snapshots import BookSnapshot
from dccd_core.stream.tables import columns, in_base, joined, of_topics, pictures, stored
from dccd_core.tables import DataType

SNAPSHOT = BookSnapshot(SECOND, [("10.50", "1"), ("10", "2")], [("11", "3")], Us(7))


def test_pictures_are_numbered_from_the_best_level_on() -> None:
    rows = stored(DataType.ORDERBOOK, pictures("a", [SNAPSHOT, SNAPSHOT]), {"a": "A/USD"})
    assert rows.schema == columns(DataType.ORDERBOOK)
    assert rows.select("side", "level", "price", "amount", "symbol", pl.col("received").to_physical()).rows()[
        :3
    ] == [
        ("bid", 0, 10.5, 1.0, "A/USD", 7),
        ("bid", 1, 10.0, 2.0, "A/USD", 7),
        ("ask", 0, 11.0, 3.0, "A/USD", 7),
    ]
    assert rows.height == 6


def test_contracts_of_pictures_become_amounts_though_they_are_text() -> None:
    rows = pl.concat([pictures(topic, [SNAPSHOT]) for topic in "abc"])
    amounts = in_base(rows, {"a": 0.5, "b": 21.0}, ["b"])["amount"].to_list()
    assert amounts == [0.5, 1.0, 1.5, 2.0, 4.2, 21.0 * 3 / 11, 1.0, 2.0, 3.0]


def test_no_rows_have_columns_all_the_same() -> None:
    assert stored(DataType.TRADES, None, {}).schema == columns(DataType.TRADES)
    assert joined([]) is None
    assert joined([pictures("a", [])]) is None
    assert of_topics(None, ["a"]) is None
    assert of_topics(pictures("a", [SNAPSHOT]), ["b"]) is None
