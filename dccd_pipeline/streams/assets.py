"""What streams record, where nothing collects it too: assets without a way to fill them by hand.

Belongs here: their specs. Does not: what is recorded (streams/job.py).
See https://docs.dagster.io/guides/build/assets/external-assets
"""

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Final

import dagster as dg

from dccd_core.domain.dataset import Dataset, partition_span
from dccd_core.domain.errors import LakeError
from dccd_core.domain.timespan import moment
from dccd_core.exchanges import get
from dccd_core.lake.lake import LakeStore
from dccd_pipeline.assets.partitions import partitions_of
from dccd_pipeline.assets.spec import dataset_spec
from dccd_pipeline.config.stream import StreamEntry
from dccd_pipeline.streams.report import stream_asset
from dccd_pipeline.tags import EXCHANGE

_AT_ONCE: Final = 16
_LOG: Final = logging.getLogger(__name__)


def stream_spec(entry: StreamEntry) -> dg.AssetSpec:
    """Return the asset on which one sees how a stream is."""
    return dg.AssetSpec(
        stream_asset(entry.name),
        description=f"How the stream {entry.name} is: its latest observation has a row for each dataset.",
        group_name="streams",
        kinds={"websocket"},
        tags={EXCHANGE: entry.exchange},
    )


def recorded_spec(entry: StreamEntry, dataset: Dataset, store: str, first: date) -> dg.AssetSpec:
    """Return the asset of a dataset that only ``entry`` brings; ``first``: the day its partitions begin."""
    exchange = get(dataset.exchange)
    channel = exchange.live and exchange.live.channel(dataset.symbol.market_type, dataset.data_type)
    source = f" Source: {channel.docs}" if channel else ""
    return dataset_spec(
        dataset,
        store,
        f"{exchange.title} {dataset.symbol} {dataset.data_type}, recorded live.{source}",
        kinds=("websocket", "parquet"),
        deps=[dg.AssetDep(stream_asset(entry.name))],
        partitions_def=partitions_of(dataset.grain, first),
    )


def first_days(lake: LakeStore, datasets: Sequence[Dataset]) -> dict[Dataset, date]:
    """Return the first day that the lake holds of each dataset; none of those of which it holds nothing.

    A store that does not answer must not keep the definitions from being loaded: then nobody knows.
    """
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        try:
            keys = list(pool.map(lake.first_key, datasets))
        except LakeError as e:
            pool.shutdown(wait=False, cancel_futures=True)
            _LOG.warning("nobody says since when it is recorded: %s", e)
            return {}
    held = ((dataset, key) for dataset, key in zip(datasets, keys, strict=True) if key)
    return {dataset: moment(partition_span(dataset.grain, key).start).date() for dataset, key in held}
