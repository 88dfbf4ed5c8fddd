"""What streams record, where nothing collects it too: assets without a way to fill them by hand.

Belongs here: their specs. Does not: what is recorded (ops/stream.py).
See https://docs.dagster.io/guides/build/assets/external-assets
"""

import dagster as dg

from dccd_core.domain.dataset import Dataset
from dccd_core.exchanges import get
from dccd_pipeline.metadata import column_schema
from dccd_pipeline.ops.report import stream_asset
from dccd_pipeline.partitions import partitions_of
from dccd_pipeline.stream_entry import StreamEntry


def stream_spec(entry: StreamEntry) -> dg.AssetSpec:
    """Return the asset on which one sees how a stream is."""
    return dg.AssetSpec(
        stream_asset(entry.name),
        description=f"How the stream {entry.name} is: its latest observation has a row for each dataset.",
        group_name="streams",
        kinds={"websocket"},
    )


def recorded_spec(entry: StreamEntry, dataset: Dataset) -> dg.AssetSpec:
    """Return the asset of a dataset that only ``entry`` brings."""
    exchange = get(dataset.exchange)
    channel = exchange.live and exchange.live.channel(dataset.symbol.market, dataset.data_type)
    source = f" Source: {channel.docs}" if channel else ""
    return dg.AssetSpec(
        dataset.parts,
        deps=[stream_asset(entry.name)],
        description=f"{exchange.title} {dataset.symbol} {dataset.data_type}, recorded live.{source}",
        group_name=dataset.exchange,
        kinds={"websocket", "parquet"},
        partitions_def=partitions_of(dataset.grain, entry.start),
        metadata={"dagster/column_schema": column_schema(dataset.data_type)},
    )
