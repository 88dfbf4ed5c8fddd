"""What users, dashboards and scripts hold on to: names that may not change by the way.

``pinned.txt`` is what they are. A line that goes or changes breaks somebody: it takes a decision and a line
in CHANGELOG under *Breaking*. A new one is added with ``DCCD_PIN=1 make test ARGS="-k pinned"``.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import click
import dagster as dg
import pyarrow.parquet as pq

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import TimeRange, Us
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.layout import DIFFERENCES, LIVE, PIN, PINS, StreamKey, data_path, quarantine_path
from dccd_core.lake.partition.ledger import Asked, Ledger, Source
from dccd_core.lake.store.identity import IDENTITY
from dccd_core.quality.holes import NoCheck
from dccd_core.tables import DataType
from dccd_pipeline import build
from dccd_pipeline.cli.main import main
from dccd_pipeline.config.read import json_schema, settings_of
from tests.dccd_core.lake.samples import DAY, TRADES, numbered

PINNED = Path(__file__).with_name("pinned.txt")
BARS = {"data_type": "ohlc", "start": "2024-01-01"}
SETTINGS = {
    "store": "data",
    "collect": [
        {
            "exchange": "binance",
            "symbols": ["BTC/USDT"],
            "data_type": "ohlc",
            "span": "1m",
            "start": "2024-01-01",
        },
        {
            "exchange": "okx",
            "symbols": ["BTC/USDT:USDT"],
            "data_type": "ohlc",
            "span": "1h",
            "start": "2024-01-01",
        },
        {"exchange": "kraken", "symbols": ["BTC/USD"], "data_type": "trades", "start": "2024-01-01"},
    ],
    "stream": [
        {
            "name": "majors",
            "exchange": "bybit",
            "symbols": ["BTC/USDT"],
            "data_types": ["trades", "orderbook"],
        }
    ],
    "remotes": [{"name": "nas", "to": "copy"}],
    "purge": {"older_than": "90d"},
}


def test_pinned_names_are_what_they_were(tmp_path: Path) -> None:
    now = sorted({*commands(main), *settings(), *dagster(), *stored(tmp_path)})
    if os.environ.get("DCCD_PIN"):
        PINNED.write_text("\n".join(now) + "\n")
    before = PINNED.read_text().splitlines()
    assert [line for line in before if line not in now] == [], "gone: see the docstring"
    assert [line for line in now if line not in before] == [], "new: see the docstring"


def commands(command: click.Command, *path: str) -> Iterator[str]:
    for parameter in command.params:
        if path and parameter.name == "config":  # all have it: tests/dccd_pipeline/cli/test_lazy.py
            continue
        yield " ".join(("command dccd", *path, *sorted(parameter.opts, key=len)[-1:]))
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            sub = command.get_command(context, name)
            assert sub is not None
            yield from commands(sub, *path, name)
    else:
        yield " ".join(("command dccd", *path))


def settings() -> Iterator[str]:
    schema = json_schema()
    yield from (f"config {key}" for key in schema["properties"])
    for told in schema["$defs"].values():
        yield from (f"config .. {key}" for key in told.get("properties", ()))


def dagster() -> Iterator[str]:
    definitions = build.build_definitions(settings_of(SETTINGS))
    for asset in definitions.assets or ():
        specs = [asset] if isinstance(asset, dg.AssetSpec) else list(getattr(asset, "specs", ()))
        for spec in specs:
            yield f"asset {spec.key.to_user_string()}"
            yield from (f"asset tag {tag}" for tag in spec.tags)
        yield from (f"asset check {check.name}" for check in getattr(asset, "check_specs", ()))
    for checks in definitions.asset_checks or ():
        yield from (f"asset check {check.name}" for check in getattr(checks, "check_specs", ()))
    repository = definitions.get_repository_def()
    for job in repository.get_all_jobs():
        yield f"job {job.name}"
        yield from (f"job tag {tag}" for tag in job.tags)
    yield from (f"schedule {schedule.name}" for schedule in repository.schedule_defs)
    yield from (f"sensor {sensor.name}" for sensor in repository.sensor_defs)
    for source in sorted(Path(build.__file__).parent.rglob("*.py")):
        yield from (f"tag {word}" for word in source.read_text().split('"') if word.startswith("dccd/"))


def stored(folder: Path) -> Iterator[str]:
    for name, key in (
        ("binance/ohlc/BTC-USDT/1m", "2024-01"),
        ("okx/ohlc/BTC-USDT/1h", "2024"),
        ("kraken/trades/BTC-USD", DAY),
        ("bybit/orderbook/BTC-USDT", DAY),
    ):
        dataset = Dataset.parse(name)
        yield f"path {data_path(dataset, key)}"
        yield f"path {quarantine_path(dataset, key)}"
        yield f"path {DIFFERENCES}/{StreamKey(dataset.exchange, dataset.data_type, dataset.span).folder}.json"
        yield f"path {LIVE}/{StreamKey(dataset.exchange, dataset.data_type, dataset.span).folder}"
    yield f"path {PINS}/NAME/{PIN}"
    for data_type in DataType:
        for column, of in data_type.table.schema.items():
            yield f"column {data_type}.{column} {of}"
    lake = LakeStore(folder)
    with lake.draft(TRADES, DAY) as draft:
        draft.append(numbered([1]))
        draft.commit([], NoCheck)
    footer = pq.read_metadata(lake.path(TRADES, DAY)).metadata or {}
    yield from (f"footer {key.decode()}" for key in footer if key.startswith(b"dccd"))
    yield f"file {IDENTITY} {json.loads((folder / IDENTITY).read_text())['format']}"
    asked = Asked(TimeRange(Us(0), Us(1)), Source.REST, Us(0), 1, 1)
    yield from (f"ledger {key}" for key in json.loads(Ledger((asked,)).to_json()))
