import polars as pl
import pytest

from dccd_core.domain.timespan import Us
from dccd_core.tables import TIME, DataType, ascends, empty
from dccd_core.tables.table import ARRIVAL


@pytest.mark.parametrize("data_type", DataType)
def test_every_table_has_a_time_first_and_a_key_of_its_columns(data_type: DataType) -> None:
    table = data_type.table
    assert table.schema.names()[0] == "ts"
    assert table.schema["ts"] == TIME
    assert "ts" in table.required
    assert {*table.required, *table.key} <= set(table.schema)
    assert empty(data_type).schema == table.schema
    assert empty(data_type).is_empty()


@pytest.mark.parametrize("data_type", DataType)
def test_every_table_describes_each_column_and_names_none_that_it_lacks(data_type: DataType) -> None:
    table = data_type.table
    assert list(table.descriptions) == table.schema.names()
    assert {table.chart, *table.dictionaries} <= set(table.schema)
    ordered = {name for by in table.order for name in by.meta.root_names()}
    assert ordered <= {*table.schema, ARRIVAL}
    span = Us(60_000_000) if table.takes_span else None
    faults = table.sanity(span, True)  # noqa: FBT003 -- as it is declared
    assert {name for holds in faults.values() for name in holds.meta.root_names()} <= set(table.schema)


def test_a_data_type_is_called_as_its_table_is() -> None:
    assert [name.value for name in DataType] == [name.table.name for name in DataType]
    assert all(DataType(name.table.name) is name for name in DataType)


def test_what_a_table_can_be_built_from_is_a_data_type() -> None:
    assert {name.table.built_from for name in DataType} <= {None, *DataType}


@pytest.mark.parametrize(
    ("first", "then", "whether"),
    [
        ([1, 1, 2], ["a", "b", "a"], True),
        ([1, 1, 2], ["b", "a", "c"], False),
        ([1, 2, 1], ["a", "b", "c"], False),
        ([1, 1], ["a", "a"], False),
        ([1, 1], ["a", None], False),
        ([1, 2], [None, None], True),
        ([None, 1], ["a", "b"], False),
        ([1], [None], True),
        ([], [], True),
    ],
)
def test_rows_ascend_where_none_ties_with_another(
    first: list[int | None], then: list[str | None], *, whether: bool
) -> None:
    rows = pl.DataFrame({"first": first, "then": then}, schema={"first": pl.Int64, "then": pl.String})
    assert rows.select(ascends([pl.col("first"), pl.col("then")])).item() is whether
