"""What every asset says of itself, of every exchange, data type and kind of market that there is."""

from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import pytest

from dccd_core.adapter.contract import FULL
from dccd_core.domain.barspan import format_bar_span
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import HOUR, Us
from dccd_core.exchanges import NAMES, get
from dccd_core.lake.layout import dataset_folder
from dccd_core.tables import DataType
from dccd_pipeline.assets.spec import column_schema, uri_of
from dccd_pipeline.build import build_definitions
from dccd_pipeline.config.capabilities import present, pushed, served
from dccd_pipeline.config.read import settings_of

SYMBOLS = {"spot": "BTC/USDT", "linear": "BTC/USDT:USDT", "inverse": "BTC/USD:BTC"}
STORE = "s3://bucket/lake"
DERIVED = Us(12 * HOUR)


def collected() -> Iterator[dict[str, Any]]:
    for name in NAMES:
        for data_type in DataType:
            for kind, endpoint in served(get(name), data_type, present()).items():
                entry = {"exchange": name, "symbols": [SYMBOLS[kind]], "data_type": data_type.value}
                bar = next((one for one in endpoint.spans if one != DERIVED), None)
                span = {"span": format_bar_span(bar)} if bar else {}
                yield {**entry, **span, "name": f"{name}_{data_type}_{kind}"}
                source = data_type.table.built_from
                made_of = served(get(name), DataType(source), present()).get(kind) if source else None
                if made_of and made_of.reach == FULL:
                    derived = {"span": format_bar_span(DERIVED), "derive_from": source}
                    yield {**entry, **derived, "name": f"{name}_{kind}_derived"}


def streamed() -> Iterator[dict[str, Any]]:
    for name in NAMES:
        for kind, symbol in SYMBOLS.items():
            found = {
                one: channel for one in DataType if (channel := pushed(get(name), one, [kind]).get(kind))
            }
            spans = [one for channel in found.values() for one in channel.spans]
            if found:
                entry = {
                    "name": f"{name}_{kind}",
                    "exchange": name,
                    "symbols": [symbol.replace("BTC", "ETH")],
                }
                span = {"span": format_bar_span(spans[0])} if spans else {}
                yield {**entry, **span, "data_types": [one.value for one in found], "start": "2026-01-01"}


def specs() -> list[dg.AssetSpec]:
    nowhere = {name: {"rest_url": "http://127.0.0.1:9"} for name in NAMES}
    raw = {"store": STORE, "exchanges": nowhere, "collect": list(collected()), "stream": list(streamed())}
    assets = build_definitions(settings_of(raw)).assets or ()
    found = [
        [asset] if isinstance(asset, dg.AssetSpec) else list(getattr(asset, "specs", ())) for asset in assets
    ]
    return [spec for some in found for spec in some]


SPECS = specs()
OF_DATASETS = [spec for spec in SPECS if spec.key.path[0] not in {"stream", "collect", "lake"}]
HELD = {Dataset.parse(spec.key.to_user_string()): spec for spec in OF_DATASETS}
MADE = {dataset: spec for dataset, spec in HELD.items() if dataset.span == DERIVED}

PROPERTIES: dict[str, Callable[[Dataset, dg.AssetSpec], bool]] = {
    "a description": lambda dataset, spec: str(dataset.symbol) in (spec.description or ""),
    "its exchange as group": lambda dataset, spec: spec.group_name == dataset.exchange,
    "a kind": lambda _, spec: "parquet" in spec.kinds,
    "a tag that names its exchange": lambda dataset, spec: spec.tags["dccd/exchange"] == dataset.exchange,
    "a tag that names its data type": lambda dataset, spec: spec.tags["dccd/data_type"] == dataset.data_type,
    "a tag that names its kind of market": lambda dataset, spec: (
        spec.tags["dccd/market_type"] == dataset.symbol.market_type
    ),
    "columns": lambda dataset, spec: (
        spec.metadata["dagster/column_schema"] == column_schema(dataset.data_type)
    ),
    "an address": lambda dataset, spec: spec.metadata["dagster/uri"] == f"{STORE}/{dataset_folder(dataset)}",
    "partitions or a job": lambda _, spec: spec.skippable or spec.partitions_def is not None,
    "no freshness, which a backfill of years ago would seem to bring": lambda _, spec: (
        spec.freshness_policy is None
    ),
}


def test_every_exchange_data_type_and_kind_of_market_is_among_them() -> None:
    had = {(one.exchange, one.data_type, one.symbol.market_type) for one in HELD}
    for name in NAMES:
        for data_type in DataType:
            for kind in (*served(get(name), data_type, present()), *pushed(get(name), data_type)):
                assert (name, data_type, kind) in had
    assert MADE


@pytest.mark.parametrize("wanted", PROPERTIES)
def test_every_asset_of_a_dataset_has(wanted: str) -> None:
    assert [str(dataset) for dataset, spec in HELD.items() if not PROPERTIES[wanted](dataset, spec)] == []


def test_only_what_is_computed_says_of_which_columns() -> None:
    said = {dataset for dataset, spec in HELD.items() if "dagster/column_lineage" in spec.metadata}
    assert said == set(MADE)
    for dataset, spec in MADE.items():
        source, table = dataset.source, dataset.data_type.table
        assert source is not None
        key = dg.AssetKey(source.parts)
        assert [dep.asset_key for dep in spec.deps] == [key]
        columns = spec.metadata["dagster/column_lineage"].value.deps_by_column
        assert set(columns) == set(table.schema)
        for name, deps in columns.items():
            assert deps, name
            assert {dep.asset_key for dep in deps} == {key}
            assert {dep.column_name for dep in deps} <= set(source.data_type.table.schema)


def test_every_asset_of_a_stream_says_of_which_exchange_it_is() -> None:
    streams = [spec for spec in SPECS if spec.key.path[0] == "stream"]
    assert streams
    for spec in streams:
        assert spec.description
        assert spec.kinds == {"websocket"}
        assert spec.key.path[1].startswith(spec.tags["dccd/exchange"])


@pytest.mark.parametrize("data_type", DataType)
def test_the_column_schema_is_the_table(data_type: DataType) -> None:
    table = data_type.table
    columns = column_schema(data_type).columns
    assert [column.name for column in columns] == table.schema.names()
    assert [column.type for column in columns] == [str(dtype) for dtype in table.schema.dtypes()]
    assert {column.name: column.description for column in columns} == table.descriptions
    assert all(table.descriptions.values())
    required = [column.name for column in columns if not column.constraints.nullable]
    assert required == list(table.required)


def test_an_address_of_this_machine_is_written_as_one() -> None:
    assert uri_of("/a b/symbol=X/data.parquet") == "file:///a%20b/symbol=X/data.parquet"
    assert uri_of("s3://bucket/a b") == "s3://bucket/a b"
