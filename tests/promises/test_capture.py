"""A capture, replayed twice, gives the same, and the rows and holes that the run gave."""

import asyncio
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import MINUTE, SECOND, Us, parse_time
from dccd_core.exchanges import get
from dccd_core.fetch.venue import Venue
from dccd_core.lake.lake import LakeStore
from dccd_core.net.clock import SystemClock
from dccd_core.net.http import open_transport
from dccd_core.net.sockets import open_sockets
from dccd_core.stream import tape
from dccd_core.stream.api import StreamPlan
from dccd_core.stream.capture import captured
from dccd_core.stream.fold import fold_all
from dccd_core.stream.replay import Part, Replayed, parts, replay
from dccd_core.stream.run import run_stream
from dccd_core.tables import DataType
from dccd_core.testing.sandbox.process import RunningSandbox, running_sandbox
from dccd_core.testing.sandbox.stream_faults import StreamFault, StreamFaultKind
from tests.promises.attack import OPEN, Round, attacked
from tests.promises.streams import Told
from tests.promises.trouble import DEPTH, Trouble, symbols, trouble

KINDS = StreamFaultKind
SHORT = Us(130 * SECOND)


def captures(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def replayed_twice(folder: Path) -> Replayed:
    first, second = (replay(captures(folder), folder.parent / name) for name in ("one", "two"))
    assert msgspec.json.encode(first) == msgspec.json.encode(second)
    return first


def gives_what_the_run_gave(one: Round, again: Replayed) -> None:
    assert again.differences == {}
    assert again.datasets == one.recorded
    assert sum(part.rows for parts in again.datasets.values() for part in parts.values()) > 100


def much(exchange: str, length: Us) -> Trouble:
    """Return a round in which the recorder is killed, besides all else."""
    seeds = (trouble(exchange, seed, length) for seed in range(1_000))
    return next(made for made in seeds if made.kills and made.steps and made.rest and len(made.faults) > 2)


@pytest.mark.parametrize("exchange", OPEN[::2])  # all of them: see the ten minutes
def test_a_round_of_the_attack_is_replayed_as_it_was(exchange: str, tmp_path: Path) -> None:
    made = much(exchange, SHORT)
    one = attacked(made, tmp_path / "lake", tmp_path / "captures")
    again = replayed_twice(tmp_path / "captures")
    gives_what_the_run_gave(one, again)
    assert again.ended == [*["killed"] * (len(captures(tmp_path / "captures")) - 1), "stopped"]
    assert again.messages["frames"] > 100


@pytest.mark.slow
@pytest.mark.parametrize("exchange", OPEN)
def test_ten_minutes_of_trouble_are_replayed_as_they_were(exchange: str, tmp_path: Path) -> None:
    """The recorder is killed meanwhile: each run has a capture of its own, and they are replayed in a row."""
    made = much(exchange, Us(10 * MINUTE))
    one = attacked(made, tmp_path / "lake", tmp_path / "captures")
    again = replayed_twice(tmp_path / "captures")
    gives_what_the_run_gave(one, again)
    assert again.ended == [*["killed"] * (len(captures(tmp_path / "captures")) - 1), "stopped"]
    for kind in DataType:
        rows = [
            part.rows
            for name, some in again.datasets.items()
            if f"/{kind}/" in name
            for part in some.values()
        ]
        assert sum(rows) > 0, kind
    holes = [hole for some in again.datasets.values() for part in some.values() for hole in part.holes]
    assert holes


def test_what_the_replay_does_otherwise_is_said(tmp_path: Path) -> None:
    """As of a version of dccd that asks for other things: here the capture was of another depth."""
    made = trouble("okx", 0, SHORT)
    attacked(made, tmp_path / "lake", tmp_path / "captures")
    (folder, *_) = captures(tmp_path / "captures")
    entries = list(tape.entries(folder))
    changed = tape.TapeWriter(tmp_path / "changed", tape.about(folder))
    for entry in entries:
        if isinstance(entry, tape.Sent) and b"subscribe" in entry.message:
            entry.message = entry.message.replace(b"books", b"books5")
        changed.add(entry)
    changed.flush()
    changed.close()
    again = replay([tmp_path / "changed"], tmp_path / "again")
    assert again.differences["sent"] > 0
    assert "books5" in " ".join(again.first_differences)


@pytest.mark.alone  # the less a machine is starved, the more exactly the edges are held against each other
def test_a_capture_of_a_real_connection(tmp_path: Path) -> None:
    """Real sockets, the real clock; in the midst of it the connection breaks.

    What is said of time may differ by what our process loses between two readings of its clock: it is as
    much as it is late for what is due, which the capture tells.
    """
    wanted = [Dataset("binance", symbol, *kind) for symbol in symbols("binance")[:2] for kind in KINDS_OF]
    with running_sandbox(trades_per_day={str(symbol): 2_000_000 for symbol in symbols("binance")}) as box:
        box.stream_faults([StreamFault(kind=KINDS.ABORT, topic="*@aggTrade", nth=40)])
        recorded, ends = asyncio.run(recording(box, wanted, tmp_path))
    again = replayed_twice(tmp_path / "captures")
    assert {name: told(some) for name, some in again.datasets.items()} == recorded
    apart = SECOND // 10 + 3 * latest(tmp_path / "captures")
    for name, some in again.datasets.items():
        for part, was in zip(some.values(), ends[name], strict=True):
            assert edges(part) == pytest.approx(was, rel=0, abs=apart), (name, apart)
    assert again.ended == ["stopped"]
    assert sum(part.rows for some in again.datasets.values() for part in some.values()) > 50


def latest(folder: Path) -> int:
    """Return by how much the recorder was late at most, in microseconds."""
    entries = (entry for one in captures(folder) for entry in tape.entries(one))
    return max((one.at - one.since for one in entries if isinstance(one, tape.Stalled)), default=0)


def told(some: dict[str, Part]) -> list[object]:
    """Return what is the same however long each step takes."""
    return [(key, part.rows, part.hash, [one.reason for one in part.holes]) for key, part in some.items()]


def edges(part: Part) -> list[Us]:
    """Return where what is claimed begins and ends: as far as our real clock has come, in some."""
    return [parse_time(moment) for one in (*part.covered, *part.holes) for moment in (one.start, one.end)]


KINDS_OF = [(one.data_type, one.span) for one in trouble("binance", 0, SHORT).datasets[:3]]


def connected_again(heard: Told) -> bool:
    return bool(heard.beats) and heard.beats[-1].reconnects > 0 and heard.beats[-1].messages > 300


async def recording(
    box: RunningSandbox, wanted: list[Dataset], folder: Path
) -> tuple[dict[str, list[object]], dict[str, list[list[Us]]]]:
    """Record; return what the lake then says of each dataset, and the edges of its claims by partition."""
    exchange, clock, stop, heard = get("binance"), SystemClock(), asyncio.Event(), Told()
    lake = LakeStore(folder / "lake")
    async with open_transport(exchange, rest_url=box.rest_url("binance"), clock=clock) as transport:
        venue = Venue(exchange, transport, clock)
        with open_sockets(exchange, ws_url=box.ws_url("binance"), clock=clock) as connect:
            record = captured(run_stream, folder / "captures" / "001")
            plan = StreamPlan("real", tuple(wanted), DEPTH)
            going = asyncio.create_task(
                record(plan, venue, connect, lake, stop, heard, plans=asyncio.Queue())
            )
            async with asyncio.timeout(60):
                while not connected_again(heard):  # noqa: ASYNC110 -- it says how it is, not when
                    await asyncio.sleep(0.1)
            stop.set()
            await going
        await fold_all(venue, lake, dict.fromkeys((one.data_type, one.span) for one in wanted), heard)
    some = {str(one): parts(lake, one) for one in wanted}
    return {name: told(one) for name, one in some.items()}, {
        name: [edges(part) for part in one.values()] for name, one in some.items()
    }


def test_a_replay_is_the_same_in_every_process(tmp_path: Path) -> None:
    """Whatever order its sets have."""
    attacked(much("bitfinex", SHORT), tmp_path / "lake", tmp_path / "captures")
    code = (
        "import sys, msgspec; from pathlib import Path; from dccd_core.stream.replay import replay;"
        "folders = [Path(text) for text in sys.argv[2:]];"
        "sys.stdout.buffer.write(msgspec.json.encode(replay(folders, Path(sys.argv[1]))))"
    )

    def said(seed: int) -> bytes:
        command = [sys.executable, "-c", code, str(tmp_path / f"lake{seed}")]
        folders = [str(folder) for folder in captures(tmp_path / "captures")]
        run = subprocess.run(
            [*command, *folders], env={"PYTHONHASHSEED": str(seed)}, capture_output=True, check=True
        )
        return run.stdout

    assert said(1) == said(2)
