"""A project of its own for a test: dccd.yaml, a Dagster instance, a store and a budget in one folder."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import dagster as dg
import httpx
import polars as pl
from dagster import AssetKey

from dccd_core.domain.dataset import Dataset, partition_span
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import HOUR, MINUTE, TimeRange, parse_time
from dccd_core.lake.lake import LakeStore
from dccd_core.tables import DataType
from dccd_core.testing.sandbox.process import RunningSandbox
from dccd_pipeline.config.read import load_settings
from dccd_pipeline.config.settings import Settings

ROOT = Path(__file__).parents[2]
BTC = Dataset("binance", Symbol("BTC", "USDT"), DataType.OHLC, MINUTE)
BTC_HOURS = Dataset("binance", Symbol("BTC", "USDT"), DataType.OHLC, HOUR)
MONTHS = [f"2024-{month:02}" for month in range(1, 13)]
YEAR = TimeRange(parse_time("2024-01-01"), parse_time("2025-01-01"))
RANGE = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
NEVER = 'cron: "0 0 29 2 *"'
"""A schedule that no test meets."""

HANGS_S = 300
"""What has not happened by then never will, however busy the machine is."""

T = TypeVar("T")


def bars(symbols: str, start: str, *more: str, span: str = "1m") -> str:
    """Write a collect entry for bars of Binance."""
    keys = (f"symbols: [{symbols}]", "data_type: ohlc", f"span: {span}", f"start: {start}", *more)
    return f"{{exchange: binance, {', '.join(keys)}}}"


@dataclass(frozen=True, slots=True)
class Project:
    """One folder; whatever runs in it shares nothing with any other."""

    folder: Path

    @classmethod
    def make(cls, folder: Path, rest_url: str, *entries: str, more: str = "") -> "Project":
        lines = [f"  - {entry}" for entry in entries]
        reach = f'exchanges: {{binance: {{rest_url: "{rest_url}"}}}}'
        text = "\n".join(["store: ./data", reach, "collect:", *lines, more])
        (folder / "home").mkdir(parents=True)
        (folder / "dccd.yaml").write_text(text)
        shutil.copy(ROOT / "dagster.yaml", folder / "home")
        return cls(folder)

    @property
    def settings(self) -> Settings:
        return load_settings(self.folder / "dccd.yaml")

    @property
    def lake(self) -> LakeStore:
        return LakeStore(self.folder / "data")

    @property
    def environment(self) -> Mapping[str, str]:
        return {
            **os.environ,
            "DAGSTER_HOME": str(self.folder / "home"),
            "DCCD_STATE_DIR": str(self.folder / "state"),
            "DCCD_CONFIG": str(self.folder / "dccd.yaml"),
            "DAGSTER_DISABLE_TELEMETRY": "1",
        }

    @contextmanager
    def instance(self) -> Generator[dg.DagsterInstance]:
        with dg.DagsterInstance.from_config(str(self.folder / "home")) as instance:
            yield instance

    def started(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Start ``python arguments`` in this project."""
        command = [sys.executable, *arguments]
        return subprocess.Popen(command, cwd=self.folder, env=self.environment, text=True, **options)

    def ran(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``python arguments`` in this project to its end."""
        with self.started(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            try:
                out, err = process.communicate(timeout=900)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def job(self, name: str, tags: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        return self.ran(*job_command(name, tags))

    def dccd(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.ran(str(Path(sys.executable).with_name("dccd")), *arguments)


def job_command(name: str, tags: Mapping[str, str]) -> tuple[str, ...]:
    where = ("-m", "dccd_pipeline.definitions", "-j", name)
    return ("-m", "dagster", "job", "execute", *where, "--tags", json.dumps(tags))


def ranged(first: str, last: str) -> dict[str, str]:
    return dict(zip(RANGE, (first, last), strict=True))


def asset(dataset: Dataset) -> AssetKey:
    return AssetKey(dataset.parts)


def stored(project: Project, dataset: Dataset) -> pl.DataFrame:
    return project.lake.scan(dataset).collect()


def truth(sandbox: RunningSandbox, dataset: Dataset, span: TimeRange) -> pl.DataFrame:
    assert dataset.span
    return sandbox.market.truth_bars(dataset.exchange, dataset.symbol, dataset.span, span)


def months(first: str, last: str) -> TimeRange:
    return TimeRange(partition_span(BTC.grain, first).start, partition_span(BTC.grain, last).end)


def pages(key: str) -> int:
    """Return how many requests a month of minutes takes."""
    return -(-months(key, key).length // (1_000 * MINUTE))


def materialised(instance: dg.DagsterInstance, dataset: Dataset) -> set[str]:
    return instance.get_materialized_partitions(asset(dataset))


def awaited(found: Callable[[], T | None], seconds: float = HANGS_S) -> T:
    """Look until there is something to see; it costs nothing to wait longer for what does not come."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if (value := found()) is not None:
            return value
        time.sleep(0.25)
    msg = f"nothing came in {seconds} s"
    raise TimeoutError(msg)


def ended(process: subprocess.Popen[str]) -> int:
    """End a process that this test started; if it does not hear, by force, with all that it started."""
    process.terminate()
    try:
        return process.wait(timeout=60)
    except subprocess.TimeoutExpired:
        for pid in [*descendants(process.pid), process.pid]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return process.wait()


def descendants(pid: int) -> list[int]:
    """Return what a process started, and those in turn, as far as the system tells (Linux does)."""
    found, parents = [pid], dict[int, int]()
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents[int(status.parent.name)] = int(status.read_text().rpartition(")")[2].split()[1])
    for parent in found:
        found += [child for child, its in parents.items() if its == parent]
    return found[1:]


@dataclass(frozen=True, slots=True)
class Web:
    """A running ``dagster-webserver``."""

    url: str

    def ask(self, query: str, **variables: object) -> Any:
        """Return the data of a GraphQL answer that has no errors."""
        body = {"query": query, "variables": variables}
        answer = httpx.post(f"{self.url}/graphql", json=body, timeout=60)
        assert answer.is_success, answer.text
        assert "errors" not in answer.json(), answer.text
        return answer.json()["data"]


@contextmanager
def webserver(project: Project, *options: str) -> Generator[Web]:
    url = f"http://127.0.0.1:{(port := free_port())}"
    where = ("-h", "127.0.0.1", "-p", str(port), "-m", "dccd_pipeline.definitions")
    with logged(project, "webserver") as log:
        process = project.started("-m", "dagster_webserver", *where, *options, stdout=log, stderr=log)
        try:
            awaited(lambda: _answers(f"{url}/server_info", process))
            yield Web(url)
        finally:
            ended(process)


@contextmanager
def daemon(project: Project) -> Generator[None]:
    with logged(project, "daemon") as log:
        command = ("-m", "dagster._daemon", "run", "-m", "dccd_pipeline.definitions")
        process = project.started(*command, stdout=log, stderr=log)
        try:
            yield
        finally:
            ended(process)


def end_runs(project: Project) -> None:
    """End the runs that outlive their daemon, as streams do: all with this project in their environment."""
    mine = f"DCCD_STATE_DIR={project.folder / 'state'}".encode()
    for one in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            if int(one.name) != os.getpid() and mine in (one / "environ").read_bytes().split(b"\0"):
                os.kill(int(one.name), signal.SIGTERM)


@contextmanager
def logged(project: Project, name: str) -> Generator[Any]:
    with (project.folder / f"{name}.log").open("w") as log:
        yield log


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _answers(url: str, process: subprocess.Popen[str]) -> bool | None:
    assert process.poll() is None, "the webserver ended"
    try:
        return httpx.get(url, timeout=5).is_success or None
    except httpx.TransportError:
        return None
