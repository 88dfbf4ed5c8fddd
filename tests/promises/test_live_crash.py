"""What live segments hold after kill -9, on a full disk, and when several read and fold: real processes."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.symbol import Symbol
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.live.coverage import Notes
from dccd_core.tables import DataType
from tests.dccd_core.lake.samples import DAY, TRADES, Witness, asked, at, begin, live, many, record
from tests.promises.memory import GIVES_BACK

ROOT = Path(__file__).parents[2]
ETHER = Dataset("binance", Symbol("ETH", "USDT"), DataType.TRADES)
HEAD = """
import os, random, resource, signal, sys
from pathlib import Path
import polars as pl
from dccd_core.domain.errors import LakeError
from dccd_core.lake.live import harvest as harvest_module
from dccd_core.lake.live import segments
from dccd_core.lake.lake import LakeStore
from tests.dccd_core.lake.samples import *
from dccd_core.lake.live.coverage import Notes
lake = LakeStore(sys.argv[1])
ETHER = Dataset("binance", Symbol("ETH", "USDT"), DataType.TRADES)
"""


def child(script: str, *args: object, **extra: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HEAD + script, *map(str, args)]
    pipe, environment = subprocess.PIPE, {**os.environ, **extra}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True
    )


def outcome(process: subprocess.Popen[str], said: str = "") -> str:
    out, err = process.communicate(said, timeout=120)
    assert process.returncode == 0, err
    return out


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def ids(lake: LakeStore, dataset: Dataset = TRADES) -> list[int]:
    return [int(name) for name in lake.scan(dataset).collect()["trade_id"]]


WRITES = """
def die_within_a_write(seed):
    class Disk(segments.FileIO):
        left = random.Random(seed).randrange(30_000)

        def write(self, data):
            if len(data) > Disk.left:
                super().write(data[: Disk.left])
                os.kill(os.getpid(), signal.SIGKILL)
            Disk.left -= len(data)
            return super().write(data)

    segments.FileIO = Disk

print("ready", flush=True)
sys.stdin.readline()
if sys.argv[2] == "itself":
    die_within_a_write(int(sys.argv[3]))
with begin(lake) as writer:
    for n in range(1_000_000):
        writer.append(live(many(n * 40, 40)), notes(at(n + 1), [began(0)] if n == 0 else []))
        print(n, flush=True)
"""
ROUNDS = 6


@pytest.mark.parametrize("killer", ["another process", "itself"])
def test_killed_at_any_moment_all_that_was_acknowledged_is_there(tmp_path: Path, killer: str) -> None:
    """Promise 6. By another process: mostly between writes; by itself: after some bytes of a write."""
    folders = [tmp_path / str(n) for n in range(ROUNDS)]
    writers = [child(WRITES, folder, killer, n) for n, folder in enumerate(folders)]
    for n, (folder, writer) in enumerate(zip(folders, writers, strict=True)):
        assert line(writer) == "ready\n"
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
        if killer == "another process":
            line(writer)
            time.sleep(random.Random(n).uniform(0, 0.05))
            writer.kill()
        out, err = writer.communicate(timeout=60)
        assert writer.returncode == -signal.SIGKILL, err
        said = [int(word) for word in out.splitlines()]
        check(LakeStore(folder), said[-1] + 1 if said else killer == "another process")


def check(lake: LakeStore, acknowledged: int) -> None:
    """See that all acknowledged appends are there, in the order of time, and that it goes on from here."""
    held = ids(lake)
    assert held == list(range(len(held)))
    assert acknowledged <= len(held) // 40 <= acknowledged + 1
    with lake.harvest("binance", DataType.TRADES) as harvest:
        known = [name for rows in harvest.rows(TRADES, DAY) for name in rows["trade_id"].cast(pl.Int64)]
        assert known == held
        assert [span.end for span in harvest.covered(TRADES, DAY)] == ([at(len(held) // 40)] if held else [])
        sizes = {info.path: info.bytes for info in lake.segments()}
        assert all(dropped < sizes[path] for path, dropped in harvest.torn if held)
    record(lake, live(many(len(held), 40)), start=2)
    assert ids(lake) == list(range(len(held) + 40))


FILLS = """
portions = [live(many(n * 1_000, 1_000)) for n in range(60)]
with begin(lake) as writer:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
    said = []
    for n, rows in enumerate(portions):
        try:
            writer.append(rows, notes(at(n)))
        except LakeError as e:
            said.append(str(e))
            assert lake.scan(TRADES).collect().height == n * 1_000
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            writer.append(rows, notes(at(n)))
assert len(said) == 1, said
print(said[0])
with lake.harvest("binance", DataType.TRADES) as harvest:
    assert harvest.torn == []
    assert pl.concat(harvest.rows(TRADES, DAY)).drop("received").equals(many(0, 60_000).drop("received"))
"""


def test_a_full_disk_is_told_and_costs_nothing_once_it_has_room_again(tmp_path: Path) -> None:
    said = outcome(child(FILLS, tmp_path))
    assert "cannot write" in said
    assert ".arrow" in said
    assert "free space" in said


DIES_FOLDING = """
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

unlinked = []
def unlink(path, **_):
    os.unlink(path)
    unlinked.append(path)
    if len(unlinked) == 2:
        die()

with lake.harvest("binance", DataType.TRADES) as harvest:
    with lake.draft(TRADES, DAY) as draft:
        for rows in harvest.rows(TRADES, DAY):
            draft.append(rows)
        draft.commit([asked()], Witness)
    if sys.argv[2] == "committed":
        die()
    harvest.keep(ETHER, DAY)
    harvest_module.Path.unlink = unlink
    harvest.done()
"""


@pytest.mark.parametrize(("moment", "segments"), [("committed", 3), ("removing", 2)])
def test_killed_between_the_partition_and_the_segments_nothing_is_there_twice(
    tmp_path: Path, moment: str, segments: int
) -> None:
    lake = LakeStore(tmp_path)
    for n in range(3):
        record(lake, live(many(n * 50, 100)), live(many(n * 50, 100), "ETH/USDT"), start=n)
    dying = child(DIES_FOLDING, tmp_path, moment)
    _, err = dying.communicate(timeout=60)
    assert dying.returncode == -signal.SIGKILL, err
    assert len(lake.segments()) == segments
    before = lake.state(TRADES, DAY)
    assert ids(lake) == ids(lake, ETHER) == list(range(200))
    with lake.harvest("binance", DataType.TRADES) as harvest:
        with lake.draft(TRADES, DAY) as draft:
            for rows in harvest.rows(TRADES, DAY):
                draft.append(rows)
            assert draft.commit([asked()], Witness).content_hash == (before and before.content_hash)
        harvest.keep(ETHER, DAY)
        harvest.done()
    assert ids(lake) == ids(lake, ETHER) == list(range(200))


RACES = """
print("ready", flush=True)
sys.stdin.readline()
with lake.harvest("binance", DataType.TRADES) as harvest:
    rows = sum(rows.height for rows in harvest.rows(TRADES, DAY))
    print(rows, flush=True)
    sys.stdin.readline()
    harvest.done()
"""


def test_two_processes_that_fold_at_once_do_not_fold_the_same(tmp_path: Path) -> None:
    lake = LakeStore(tmp_path)
    record(lake, live(many(0, 1_000)))
    rivals = [child(RACES, tmp_path) for _ in range(2)]
    for rival in rivals:
        assert line(rival) == "ready\n"
    for rival in rivals:
        assert rival.stdin is not None
        rival.stdin.write("go\n")
        rival.stdin.flush()
    assert sorted(int(line(rival)) for rival in rivals) == [0, 1_000]
    for rival in rivals:
        outcome(rival, "go on\n")
    assert lake.segments() == []


READS = """
print("ready", flush=True)
seen = -1
while seen < 4_000:
    rows = lake.scan(TRADES).collect()
    assert rows.drop("received").equals(many(0, rows.height).drop("received")), rows
    assert rows.height >= seen, (seen, rows)
    seen = rows.height
"""


def test_a_reader_sees_whole_appends_while_they_are_written_and_folded(tmp_path: Path) -> None:
    """Never fewer rows than before, although they move from segments into their partition meanwhile."""
    lake, reader = LakeStore(tmp_path), child(READS, tmp_path)
    assert line(reader) == "ready\n"
    for start in range(0, 4_000, 500):
        with begin(lake) as writer:
            for n in range(start, start + 500, 20):
                writer.append(live(many(n, 20)), Notes())
        with lake.harvest("binance", DataType.TRADES) as harvest, lake.draft(TRADES, DAY) as draft:
            for rows in harvest.rows(TRADES, DAY):
                draft.append(rows)
            draft.commit([asked()], Witness)
            harvest.done()
    outcome(reader)


GROWS = """
from dccd_core.lake import reader
from tests.promises.memory import peak_mb

assert reader._IN_MEMORY == 64 << 20
reader._IN_MEMORY = 4 << 20  # full in both measurements: more rows are to cost nothing

def fill(start, count):
    with begin(lake, start) as writer:
        for n in range(start, start + count, 10_000):
            writer.append(live(many(n, 10_000)), Notes())
    assert lake.scan(TRADES).select(pl.len()).collect(engine="streaming").item() == start + count
    with lake.harvest("binance", DataType.TRADES) as harvest:
        assert sum(rows.height for rows in harvest.rows(TRADES, DAY)) == start + count
    return peak_mb()

print(fill(0, 900_000), fill(900_000, 3_600_000))
"""


def test_memory_does_not_grow_with_what_is_live(tmp_path: Path) -> None:
    """Promise 8. The rows that come on top are 180 MB raw."""
    less, more = map(int, outcome(child(GROWS, tmp_path, **GIVES_BACK)).split())
    assert more - less < 70
