"""Whether a capture is kept, and where; what it holds, see ``tests/promises/test_capture.py``."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dccd_core.adapter.contract import Request, Response
from dccd_core.domain.errors import ConfigError
from dccd_core.domain.timespan import SECOND, Us
from dccd_core.exchanges import get
from dccd_core.fetch.venue import Venue
from dccd_core.lake.lake import LakeStore
from dccd_core.net.clock import ManualClock
from dccd_core.net.websocket import Socket
from dccd_core.stream import tape
from dccd_core.stream.api import StreamPlan
from dccd_pipeline.cli.captures import Keeping, Size, capture_options
from tests.dccd_pipeline.cli.terminal import dccd, refused
from tests.dccd_pipeline.held import TRADES
from tests.dccd_pipeline.streamed import FakeRecorder
from tests.promises.streams import Told

UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


class Nobody:
    async def send(self, request: Request) -> Response:
        raise AssertionError(request)


@asynccontextmanager
async def nowhere(url: str) -> AsyncGenerator[Socket]:
    raise AssertionError(url)
    yield


@click.command()
@capture_options
def keep(capture: Path | None, capture_limit: int) -> None:
    del capture, capture_limit


def typed(*words: str) -> Keeping:
    """Return what these options mean."""
    with keep.make_context("keep", [*words]) as context:
        return Keeping.of(context.params["capture"], context.params["capture_limit"], ["majors"])


@given(st.integers(0, 10**12), st.sampled_from(sorted(UNITS)))
def test_sizes_are_whole_numbers_of_a_unit(amount: int, unit: str) -> None:
    assert Size().convert(f"{amount}{unit}", None, None) == amount * UNITS[unit]


@pytest.mark.parametrize("text", ["", "1", "GiB", "1.5GiB", "1 GiB", "1GB", "-1B", "1gib", "1GiB1"])
def test_what_is_no_size_is_explained(text: str) -> None:
    with pytest.raises(click.BadParameter, match="write it like 500MiB or 2GiB"):
        Size().convert(text, None, None)


def test_nothing_is_kept_unless_it_is_said() -> None:
    keeping = typed()
    assert (keeping.folder, keeping.options, keeping.recorder) == (None, [], None)


def test_another_process_is_told_the_same(tmp_path: Path) -> None:
    keeping = typed("--capture", str(tmp_path), "--capture-limit", "3MiB")
    assert (keeping.folder, keeping.limit) == (tmp_path, 3 * 2**20)
    assert typed(*keeping.options) == keeping
    assert typed("--capture", str(tmp_path)).limit == 2**30


def test_a_capture_is_of_one_stream_in_a_folder_of_its_own(tmp_path: Path) -> None:
    Keeping.of(None, 1, ["one", "two"])
    Keeping.of(tmp_path / "new", 1, ["one"])
    with pytest.raises(ConfigError, match="of one stream"):
        Keeping.of(tmp_path, 1, ["one", "two"])
    (tmp_path / "mine").touch()
    with pytest.raises(ConfigError, match="is not empty"):
        Keeping.of(tmp_path, 1, ["one"])


def test_each_time_that_it_begins_anew_it_goes_into_a_folder_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dccd_pipeline.build.record_live", FakeRecorder(ends=True))
    recorder = Keeping(tmp_path, 2**20).recorder
    assert recorder is not None

    async def twice() -> None:
        venue = Venue(get("binance"), Nobody(), ManualClock(Us(7 * SECOND)))
        for _ in range(2):
            plans = asyncio.Queue[StreamPlan]()
            where = venue, nowhere, LakeStore(tmp_path.parent / "lake")
            await recorder(StreamPlan("majors", (TRADES,)), *where, asyncio.Event(), Told(), plans=plans)

    asyncio.run(twice())
    abouts = [tape.about(tmp_path / name) for name in ("001", "002")]
    assert {(one.exchange, one.plan.name, one.began) for one in abouts} == {("binance", "majors", 7 * SECOND)}
    for folder, count in ((tmp_path, 2), (tmp_path / "001", 1)):
        replayed = dccd("replay", str(folder))
        assert replayed.exit_code == 0
        assert len(json.loads(replayed.stdout)["captured"]) == count


def test_a_folder_without_a_capture_is_refused(tmp_path: Path) -> None:
    said = refused("replay", str(tmp_path))
    assert said == f"{tmp_path} holds no capture -> dccd stream --capture makes one"
