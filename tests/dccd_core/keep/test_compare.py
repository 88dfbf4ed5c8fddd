from collections.abc import Generator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from io import BytesIO

import polars as pl
import pytest

from dccd_core.domain.errors import DamagedFile
from dccd_core.domain.timespan import SECOND
from dccd_core.keep.compare import has_all_lines, holds_all, less
from dccd_core.lake.partition.ledger import DAMAGED, Asked, Ledger, Source
from dccd_core.lake.partition.parquet import Reader, Writer
from dccd_core.tables import DataType
from tests.dccd_core.lake.samples import asked, many, numbered, trades

OWNER = "binance/trades/BTC-USDT/2024-01-31"


def written(rows: pl.DataFrame, *told: Asked, owner: str = OWNER) -> Reader:
    file = BytesIO()
    with Writer(file, DataType.TRADES, owner) as writer:
        writer.write(rows)
        writer.seal(Ledger(told or (asked(),)))
    return Reader(file, DataType.TRADES, "a file")


@contextmanager
def never() -> Generator[Reader]:
    raise AssertionError("it was brought here")
    yield


def holds(ours: pl.DataFrame, theirs: pl.DataFrame) -> bool:
    there = written(theirs)
    return holds_all(DataType.TRADES, written(ours), there.state, lambda: nullcontext(there))


def test_less_rows_less_time_and_another_owner_are_less() -> None:
    ours = written(numbered(range(10)), asked(0, 10 * SECOND)).state
    assert less(ours, ours) == ""
    assert less(ours, written(numbered(range(5)), asked(0, 5 * SECOND)).state) == ""
    assert less(ours, written(numbered(range(11)), asked(0, 10 * SECOND)).state) == (
        "it has 11 rows, and there are 10 here"
    )
    more = written(numbered([1]), asked(2 * SECOND, 12 * SECOND), asked(20 * SECOND, 30 * SECOND)).state
    assert less(ours, more) == (
        "it covers 2024-01-31T00:00:10Z to 2024-01-31T00:00:12Z and 1 spans more, which is not covered here"
    )
    assert less(ours, written(numbered([1]), asked(0, 1), owner="kraken/x").state) == "it holds kraken/x"
    assert less(ours, written(numbered([1]), asked(0, 1), owner="").state) == ""


def test_what_was_damaged_here_is_less() -> None:
    """Its time is named as lost, as that of pictures is that were taken back: these were not."""
    theirs = written(numbered([1]), replace(asked(0, 10 * SECOND), source=Source.STREAM)).state
    for reason, said in ((DAMAGED, "it covers"), ("it drifted", "")):
        ours = replace(theirs, ledger=Ledger().lose([(theirs.ledger.asked[0].span, reason)]))
        assert less(ours, theirs).startswith(said)
        assert bool(less(ours, theirs)) is bool(said)


@pytest.mark.parametrize("count", [0, 1, 10, 131_072, 131_073, 200_000])
def test_what_only_grew_holds_all_without_a_look_at_the_other(count: int) -> None:
    ours, theirs = written(many(0, 200_000)), written(many(0, count)).state
    assert holds_all(DataType.TRADES, ours, theirs, never)


@pytest.mark.parametrize(
    ("ours", "theirs", "held"),
    [
        (range(20), [*range(5), *range(10, 20)], True),
        (range(5, 20), range(10, 20), True),
        (range(20), [3, 4, 25], False),
        (range(1, 20), range(10), False),
    ],
    ids=["a gap was filled", "its beginning was filled", "its end is not here", "its beginning is not here"],
)
def test_all_rows_there_must_be_here(ours: Sequence[int], theirs: Sequence[int], *, held: bool) -> None:
    assert holds(numbered(ours), numbered(theirs)) is held


def test_other_values_in_the_same_rows_are_not_held() -> None:
    theirs = numbered(range(5, 10)).with_columns(price=pl.lit(3.0))
    assert not holds(numbered(range(10)), theirs)


def test_equal_rows_without_ids_are_counted() -> None:
    once, twice = trades([(0, None, 1.0), (9, None, 2.0)]), trades([(0, None, 1.0), (0, None, 1.0)])
    assert not holds(once, twice)
    assert holds(pl.concat([twice, trades([(9, None, 2.0)])]), once)


def test_a_damaged_file_there_is_not_taken_for_another_past() -> None:
    file = BytesIO()
    with Writer(file, DataType.TRADES, OWNER) as writer:
        writer.write(many(500, 5_000))
        writer.seal(Ledger())
    spoilt = bytearray(file.getvalue())
    spoilt[300:340] = bytes(40)
    there = Reader(BytesIO(bytes(spoilt)), DataType.TRADES, "there")
    with pytest.raises(DamagedFile):
        holds_all(DataType.TRADES, written(many(0, 9_000)), there.state, lambda: nullcontext(there))


def test_lines_there_must_be_here() -> None:
    assert has_all_lines(BytesIO(b"a\nb\n"), BytesIO(b"b\n"))
    assert has_all_lines(BytesIO(b"a\nb\n"), BytesIO(b"b\nhalf"))
    assert not has_all_lines(BytesIO(b"a\nb\n"), BytesIO(b"c\n"))
