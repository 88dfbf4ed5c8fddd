import pytest

from dccd_core.domain.datatype import TABLES, TIME, DataType, empty


@pytest.mark.parametrize("data_type", DataType)
def test_every_table_has_a_time_first_and_a_key_of_its_columns(data_type: DataType) -> None:
    table = TABLES[data_type]
    assert table.schema.names()[0] == "ts"
    assert table.schema["ts"] == TIME
    assert "ts" in table.required
    assert {*table.required, *table.key} <= set(table.schema)
    assert empty(data_type).schema == table.schema
    assert empty(data_type).is_empty()


def test_every_data_type_has_a_table() -> None:
    assert set(TABLES) == set(DataType)
