from io import BytesIO
from itertools import pairwise
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from dccd_core.domain.errors import DamagedFile
from dccd_core.domain.timespan import SECOND, Us
from dccd_core.lake.partition.digest import Digest
from dccd_core.lake.partition.ledger import Ledger
from dccd_core.lake.partition.parquet import GROUP, TAIL, Reader, State, Writer, state_from_tail
from dccd_core.tables import DataType, empty
from tests.dccd_core.lake.samples import SPAN, asked, many, numbered, often, trades

LEDGER = Ledger().add(asked(at=7))


def written(rows: pl.DataFrame, data_type: DataType = DataType.TRADES, ledger: Ledger = LEDGER) -> BytesIO:
    file = BytesIO()
    with Writer(file, data_type) as writer:
        writer.write(rows)
        writer.seal(ledger)
    file.seek(0)
    return file


def reader(file: BytesIO, data_type: DataType = DataType.TRADES) -> Reader:
    return Reader(file, data_type, "the file")


def state_of(file: BytesIO, asks: list[int] | None = None) -> State | None:
    def tail(size: int) -> tuple[bytes, int]:
        if asks is not None:
            asks.append(size)
        return file.getvalue()[-size:], len(file.getvalue())

    return state_from_tail(tail, "the file")


def hash_of(*parts: pl.DataFrame) -> str:
    digest = Digest(DataType.TRADES.table)
    for part in parts:
        digest.add(part)
    return digest.hexdigest()


ODD = trades([(1, "a", 0.1), (1, None, -0.0), (2, "", 1e300), (3, "ü€", 5e-324)]).with_columns(
    side=pl.Series(["buy", None, "sell", None], dtype=pl.Enum(["buy", "sell"]))
)


def test_every_value_comes_back_as_it_was() -> None:
    assert_frame_equal(pl.concat(reader(written(ODD)).groups()), ODD, check_exact=True)


@pytest.mark.parametrize("data_type", DataType)
def test_a_partition_without_rows_is_a_partition(data_type: DataType) -> None:
    file = written(empty(data_type), data_type)
    assert list(reader(file, data_type).groups()) == []
    assert pl.read_parquet(file.getvalue()).schema == data_type.table.schema
    state = state_of(file)
    assert state is not None
    assert (state.rows, state.first, state.last, state.ledger) == (0, None, None, LEDGER)


def test_state_is_read_from_the_end_of_the_file_alone() -> None:
    file, asks = written(numbered(range(100))), list[int]()
    whole = reader(file).state
    assert state_of(file, asks) == whole
    assert asks == [TAIL]
    assert whole == State(
        "the file",
        100,
        SPAN.start,
        Us(SPAN.start + 99 * SECOND),
        len(file.getvalue()),
        whole.content_hash,
        LEDGER,
    )


def test_a_footer_larger_than_the_first_look_is_read_whole() -> None:
    ledger = Ledger(tuple(asked(2 * n, 2 * n + 1) for n in range(1_000)))
    file, asks = written(numbered([1]), ledger=ledger), list[int]()
    state = state_of(file, asks)
    assert state is not None
    assert state.ledger == ledger
    assert len(asks) == 2
    assert asks[1] < len(file.getvalue())


def test_no_file_has_no_state() -> None:
    assert state_from_tail(lambda _: None, "the file") is None


def test_row_groups_prune_by_time() -> None:
    file = written(many(0, 2 * GROUP + 5))
    metadata = pq.read_metadata(file)
    assert [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)] == [GROUP, GROUP, 5]
    bounds = [metadata.row_group(n).column(0).statistics for n in range(3)]
    times = [at for bound in bounds if bound for at in (bound.min_raw, bound.max_raw) if at is not None]
    assert len(times) == 6
    assert times == sorted(times)


@settings(often, max_examples=20)
@given(cuts=st.lists(st.integers(0, 30), max_size=5))
def test_the_content_hash_does_not_depend_on_how_rows_are_cut(cuts: list[int]) -> None:
    rows = pl.concat([numbered(range(26)), ODD])
    borders = [0, *sorted(cuts), 30]
    parts = [rows.slice(a, b - a) for a, b in pairwise(borders)]
    assert hash_of(*parts) == hash_of(rows)


@pytest.mark.parametrize(
    "other",
    [
        ODD.reverse(),
        ODD.head(3),
        ODD.with_columns(price=pl.col("price").abs()),
        ODD.with_columns(ts=pl.col("ts").dt.offset_by("1us")),
        ODD.with_columns(price=pl.col("amount"), amount=pl.col("price")),
        ODD.with_columns(trade_id=pl.col("trade_id").fill_null("")),
        ODD.with_columns(trade_id=pl.Series(["", None, "a", "ü€"])),
        ODD.with_columns(side=pl.col("side").fill_null("buy")),
    ],
    ids=[
        "order",
        "rows",
        "sign of zero",
        "a microsecond",
        "columns",
        "null text",
        "text borders",
        "null category",
    ],
)
def test_the_content_hash_tells_rows_apart(other: pl.DataFrame) -> None:
    assert hash_of(other) != hash_of(ODD)


def test_the_content_hash_tells_null_numbers_from_zeros() -> None:
    def bar(trades: int | None) -> str:
        digest = Digest(DataType.OHLC.table)
        row = dict.fromkeys(DataType.OHLC.table.schema, 0) | {"trades": trades}
        digest.add(pl.DataFrame([row], schema=DataType.OHLC.table.schema))
        return digest.hexdigest()

    assert bar(None) != bar(0)


def test_verify_accepts_what_was_written() -> None:
    reader(written(many(0, 1_000))).verify()


def test_a_flipped_bit_anywhere_is_damage_or_does_not_matter() -> None:
    rows = numbered(range(50))
    whole = written(rows).getvalue()
    found = 0
    for at in range(4, len(whole), 7):
        damaged = bytearray(whole)
        damaged[at] ^= 0x80
        try:
            assert_frame_equal(pl.concat(reader(BytesIO(damaged)).groups()), rows, check_exact=True)
        except DamagedFile:
            found += 1
    assert found > len(whole) / 7 / 2


@pytest.mark.parametrize("kept", [0, 3, 100, -1, -100])
def test_a_truncated_file_is_damage(kept: int) -> None:
    file = BytesIO(written(numbered(range(50))).getvalue()[:kept])
    with pytest.raises(DamagedFile, match=r"the file.*restore"):
        reader(file)
    with pytest.raises(DamagedFile, match="the file"):
        state_of(file)


def test_a_file_of_someone_else_is_not_taken_for_ours() -> None:
    file = BytesIO()
    numbered([1]).write_parquet(file)
    with pytest.raises(DamagedFile, match="not written by dccd"):
        reader(file)


def resealed(rows: pl.DataFrame, original: BytesIO) -> BytesIO:
    """Other rows under the footer pairs of ``original``."""
    pairs = pq.read_metadata(original).metadata or {}
    file = BytesIO()
    table = rows.to_arrow(compat_level=pl.CompatLevel.oldest())
    pq.write_table(table.replace_schema_metadata(pairs), file)
    return file


def test_other_rows_than_the_footer_tells_of_are_damage() -> None:
    original = written(numbered(range(50)))
    with pytest.raises(DamagedFile, match="49 rows where 50"):
        reader(resealed(numbered(range(49)), original))
    with pytest.raises(DamagedFile, match="not those that were written"):
        reader(resealed(numbered(range(50)).with_columns(price=0.0), original)).verify()
    with pytest.raises(DamagedFile, match="order"):
        reader(resealed(numbered(range(50)).reverse(), original)).verify()


def test_an_unsealed_file_is_no_parquet_file() -> None:
    file = BytesIO()
    with Writer(file, DataType.TRADES) as writer:
        writer.write(numbered(range(10)))
    with pytest.raises(DamagedFile):
        reader(file)


def test_the_ledger_can_be_read_by_other_tools(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    path.write_bytes(written(numbered([1])).getvalue())
    assert pl.read_parquet_metadata(path)["dccd.ledger"] == LEDGER.to_json()
