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
    """Return the asset of a dataset in ``store``. Bars have a lineage where ``deps`` has what makes them."""
    made = any(dep.asset_key == _key(source) for dep in deps) if (source := dataset.source) else False
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
            **(lineage(dataset) if made else {}),
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


def lineage(dataset: Dataset) -> dict[str, dg.MetadataValue]:
    """Say of which columns each column is computed; nothing where rows are computed of no others."""
    if (source := dataset.source) is None:
        return {}
    columns = {
        name: [dg.TableColumnDep(_key(source), column) for column in columns]
        for name, columns in dataset.data_type.table.lineage.items()
    }
    return {COLUMN_LINEAGE: dg.MetadataValue.column_lineage(dg.TableColumnLineage(columns))}


def uri_of(place: str) -> str:
    """Return the address of a path of this machine; what has a scheme is one already."""
    if "://" in place:
        return place
    return f"file://{quote(Path(place).absolute().as_posix(), safe='/=:@+,')}"


def _key(dataset: Dataset) -> dg.AssetKey:
    return dg.AssetKey(dataset.parts)
