"""What it costs to copy a lake: ``dccd sync`` to a folder and an S3 server, next to ``cp -r`` and rclone."""

import logging
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Final
from uuid import uuid4

import boto3
import numpy as np
from moto.server import ThreadedMotoServer

from benchmarks.measure import Usage, run
from benchmarks.start import rows_of
from dccd_core import Dataset
from dccd_core.domain.dataset import partition_span
from dccd_core.domain.errors import LakeError
from dccd_core.domain.timespan import DAY, SECOND, Us, parse_time
from dccd_core.keep.remotes.rclone import program
from dccd_core.lake.layout import data_path, owner
from dccd_core.lake.partition.ledger import Asked, Ledger, Source
from dccd_core.lake.partition.parquet import Writer
from dccd_core.lake.store.folder import Folder
from dccd_core.lake.store.identity import ensure_identity
from dccd_core.tables import DataType

_DCCD: Final = [sys.executable, "-m", "dccd_pipeline", "sync"]
_FIRST: Final = parse_time("2023-01-01")
_FILES: Final = 200
_ROWS: Final = 60_000
_KEYS: Final = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@dataclass(frozen=True, slots=True)
class _Way:
    """A way to copy the lake in ``folder``; ``again``: it has been copied already."""

    name: str
    command: Sequence[str]
    again: bool = False


def report(folder: Path, repeat: int) -> Iterator[str]:
    """Yield the lines of a table, medians of ``repeat``, start-up included."""
    _fill(folder / "data")
    size = sum(file.stat().st_size for file in (folder / "data").rglob("*.parquet")) / 1e6
    yield f"{_FILES} partitions, {size:,.0f} MB. dccd reads back what it wrote, or asks for its SHA-256."
    yield ""
    yield "| to | by | CPU s | wall s | MB/s |"
    yield "|---|---|--:|--:|--:|"
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        for to, ways in (("a folder", _to_folder), ("moto (S3)", _to_bucket)):
            taken = dict[str, list[Usage]]()
            for _ in range(repeat):
                for way in ways(folder, f"http://{host}:{port}"):
                    taken.setdefault(way.name, []).append(run(way.command, _environment(folder), folder))
            for name, some in taken.items():
                cpu_s, wall_s = median(one.cpu_s for one in some), median(one.wall_s for one in some)
                speed = "" if "again" in name else f"{size / wall_s:,.0f}"
                yield f"| {to} | {name} | {cpu_s:.2f} | {wall_s:.2f} | {speed} |"
    finally:
        server.stop()


def _to_folder(folder: Path, _url: str) -> Iterator[_Way]:
    copy = folder / "copy"
    for name, command in (("cp -r", ["cp", "-r", "data", "copy"]), *_rclone(str(copy))):
        shutil.rmtree(copy, ignore_errors=True)
        yield _Way(name, command)
    shutil.rmtree(copy, ignore_errors=True)
    yield from _dccd(folder, str(copy))


def _to_bucket(folder: Path, url: str) -> Iterator[_Way]:
    client = boto3.client(
        "s3",
        endpoint_url=url,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        region_name="us-east-1",
    )
    names = [f"bucket-{uuid4().hex}" for _ in range(2)]
    for name in names:
        client.create_bucket(Bucket=name)
    yield from (
        _Way(name, command)
        for name, command in _rclone(f":s3,provider=Other,endpoint='{url}',env_auth:{names[0]}")
    )
    yield from _dccd(folder, f"s3://{names[1]}/lake", url)


def _rclone(to: str) -> list[tuple[str, list[str]]]:
    try:
        return [("rclone copy", [program(), "copy", "data", to])]
    except LakeError:
        return []


def _dccd(folder: Path, to: str, url: str = "") -> Iterator[_Way]:
    name = f"r{uuid4().hex[:8]}"
    keys = f"s3: {{endpoint_url: '{url}'}}\n" if url else ""
    (folder / "dccd.yaml").write_text(
        f"store: ./data\ncollect: []\n{keys}remotes: [{{name: {name}, to: '{to}'}}]\n"
    )
    yield _Way("dccd sync", _DCCD)
    yield _Way("dccd sync, again", _DCCD, again=True)


def _environment(folder: Path) -> dict[str, str]:
    return {
        **_KEYS,
        "DCCD_STATE_DIR": str(folder / "state"),
        "DAGSTER_HOME": str(folder / "none"),
        "RCLONE_CONFIG": str(folder / "rclone.conf"),
        "PYTHONPATH": str(Path(__file__).parent.parent),
    }


def _fill(store: Path) -> None:
    """Make a lake as dccd writes it, without its locks and syncs."""
    ensure_identity(Folder(store))
    dataset, random = Dataset.parse("kraken/trades/BTC-USD"), np.random.default_rng(1)
    for day in range(_FILES):
        start = _FIRST + day * DAY
        key = datetime.fromtimestamp(start // SECOND, UTC).date().isoformat()
        window = partition_span(dataset.grain, key)
        prices, amounts = random.normal(40_000, 100, _ROWS).round(1), random.exponential(1, _ROWS).round(8)
        values = {"price": prices, "amount": amounts, "side": "buy", "trade_id": range(_ROWS)}
        rows = rows_of(
            DataType.TRADES, range(window.start, Us(window.start + _ROWS * SECOND), SECOND), values
        )
        path = store / data_path(dataset, key)
        path.parent.mkdir(parents=True)
        with path.open("w+b") as file, Writer(file, DataType.TRADES, owner(dataset, key)) as writer:
            writer.write(rows)
            writer.seal(Ledger().add(Asked(window, Source.REST, window.end, 1, _ROWS)))
