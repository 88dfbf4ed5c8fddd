"""Names that are stored: none means two things, and Dagster's are Dagster's."""

from collections import Counter

import dagster as dg
from dagster._core.definitions.data_version import DATA_VERSION_TAG
from dagster._core.definitions.metadata.metadata_set import TableMetadataSet

from dccd_pipeline import tags

NAMES = {name: value for name, value in vars(tags).items() if name.isupper() and isinstance(value, str)}


def test_no_name_is_used_for_two_things() -> None:
    assert NAMES
    assert [value for value, count in Counter(NAMES.values()).items() if count > 1] == []


def test_each_is_ours_or_dagsters() -> None:
    keys = {value for value in NAMES.values() if value != tags.LOCATION}
    assert {value.partition("/")[0] for value in keys} == {"dccd", "dagster"}


def test_dagster_reads_the_names_that_it_only_documents() -> None:
    columns = dg.TableSchema([dg.TableColumn("ts")])
    lineage = dg.TableColumnLineage({"ts": []})
    read = TableMetadataSet.extract(
        {
            tags.COLUMN_SCHEMA: dg.MetadataValue.table_schema(columns),
            tags.COLUMN_LINEAGE: dg.MetadataValue.column_lineage(lineage),
            tags.ROW_COUNT: dg.MetadataValue.int(7),
            tags.PARTITION_ROW_COUNT: dg.MetadataValue.int(3),
        }
    )
    assert (read.column_schema, read.column_lineage) == (columns, lineage)
    assert (read.row_count, read.partition_row_count) == (7, 3)
    assert tags.DATA_VERSION == DATA_VERSION_TAG
