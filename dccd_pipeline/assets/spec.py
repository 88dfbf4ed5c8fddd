"""What every asset of a dataset says of itself, whatever brings its rows.

Belongs here: kinds, tags, columns, where the rows lie, of what they are made. Does not: what a partition
says of itself (metadata.py), nor how it comes into being.
See https://docs.dagster.io/guides/build/assets/metadata-and-tags
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import quote

import dagster as dg

from dccd_core.domain.dataset import Dataset
from dccd_core.lake.layout import dataset_folder
from dccd_core.tables import DataType
from dccd_pipeline.tags import COLUMN_LINEAGE, COLUMN_SCHEMA, DATA_TYPE, EXCHANGE, MARKET_TYPE, URI


def dataset_spec(
    dataset: Dataset,
    store: str,
    description: str,
    *,
    kinds: Iterable[str] = ("parquet",),
    deps: Sequence[dg.AssetDep] = (),
    partitions_def: dg.PartitionsDefinition | None = None,
) -> dg.AssetSpec:
    """Return the asset of a dataset in ``store``."""
    return dg.AssetSpec(
        dataset.parts,
        deps=deps,
        description=description,
        group_name=dataset.exchange,
        kinds=set(kinds),
        skippable=partitions_def is None,
        partitions_def=partitions_def,
        tags={
            EXCHANGE: dataset.exchange,
            DATA_TYPE: dataset.data_type.value,
            MARKET_TYPE: dataset.symbol.market_type,
        },
        metadata={
            COLUMN_SCHEMA: column_schema(dataset.data_type),
            URI: uri_of(f"{store.partition('?')[0].rstrip('/')}/{dataset_folder(dataset)}"),
        },
    )


def column_schema(data_type: DataType) -> dg.TableSchema:
    table = data_type.table
    columns = [
        dg.TableColumn(
            name,
            str(dtype),
            description=table.descriptions[name],
            constraints=dg.TableColumnConstraints(nullable=name not in table.required),
        )
        for name, dtype in table.schema.items()
    ]
    return dg.TableSchema(columns)


def lineage(dataset: Dataset, source: Dataset | None) -> dict[str, dg.MetadataValue]:
    """Say of which columns of ``source`` each column is computed; nothing where it is of no others.

    Each column of bars is computed of the same one of shorter bars.
    """
    if source is None:
        return {}
    table = dataset.data_type.table
    alike = {name: (name,) for name in table.schema}
    of = alike if source.data_type is dataset.data_type else table.lineage
    columns = {
        name: [dg.TableColumnDep(dg.AssetKey(source.parts), column) for column in columns]
        for name, columns in of.items()
    }
    return {COLUMN_LINEAGE: dg.MetadataValue.column_lineage(dg.TableColumnLineage(columns))}


def uri_of(place: str) -> str:
    """Return the address of a path of this machine; what has a scheme is one already."""
    if "://" in place:
        return place
    return f"file://{quote(Path(place).absolute().as_posix(), safe='/=:@+,')}"
