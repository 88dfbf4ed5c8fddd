"""Killed at whatever moment, sync, purge and restore leave no partition without a whole copy."""

import os
import random
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path

import pytest

from dccd_core.keep.purge import Purge, Rules
from dccd_core.keep.remotes.folder import FolderRemote
from dccd_core.keep.restore import Restorer
from dccd_core.keep.sync import sync
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.layout import data_path, held_path
from tests.dccd_core.keep.scene import NOW, days, fill
from tests.dccd_core.lake.samples import TRADES

ROOT = Path(__file__).parents[2]
COUNT = 8

WORKS = """
import random, sys
from pathlib import Path
from dccd_core.keep.purge import Purge, Rules
from dccd_core.keep.remotes.folder import FolderRemote
from dccd_core.keep.restore import Restorer
from dccd_core.keep.sync import sync
from dccd_core.lake.lake import LakeStore
from tests.dccd_core.keep.scene import NOW
from tests.dccd_core.lake.samples import TRADES
folder, role, chance = Path(sys.argv[1]), sys.argv[2], random.Random(sys.argv[3])
remote = FolderRemote("backup", folder / "remote")
print("ready", flush=True)
while True:
    lake = LakeStore(folder / "lake")
    lake.bring = Restorer(lake, lambda: [remote])
    if role == "sync":
        sync(lake, remote, NOW)
    elif role == "purge":
        Purge(lake, [remote], Rules(), NOW).run()
    elif away := lake.elsewhere(TRADES):
        lake.fetch(TRADES, [chance.choice(away)])
"""


def works(folder: Path, role: str, seed: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WORKS, str(folder), role, str(seed)]
    pipe = subprocess.PIPE
    worker = subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True)
    assert worker.stdout
    assert worker.stdout.readline() == "ready\n", worker.communicate()
    return worker


def is_whole(file: Path, digest: str) -> bool:
    try:
        return sha256(file.read_bytes()).hexdigest() == digest
    except FileNotFoundError:
        return False


def without_a_copy(folder: Path, truth: dict[str, str]) -> list[str]:
    """Which partitions are whole neither here nor there; or not here, and nothing says where."""
    found = list[str]()
    for key, digest in truth.items():
        here, there = (folder / of / data_path(TRADES, key) for of in ("lake", "remote"))
        record = folder / "lake" / held_path(TRADES, key)
        # here first, then there, then here: what comes back is there all the time
        if not (is_whole(here, digest) or (is_whole(there, digest) and record.exists())) and not is_whole(
            here, digest
        ):
            found.append(key)
    return found


def kills(folder: Path, count: int) -> None:
    lake, remote = LakeStore(folder / "lake"), FolderRemote("backup", folder / "remote")
    for number, key in enumerate(days(COUNT)):
        fill(lake, range(2_000 + number), key=key)
    truth = {key: sha256(Path(lake.path(TRADES, key)).read_bytes()).hexdigest() for key in days(COUNT)}
    rows = lake.scan(TRADES).collect()
    chance = random.Random(count)
    roles = ["sync", "purge", "restore"]
    workers = {role: works(folder, role, n) for n, role in enumerate(roles)}
    try:
        for n in range(count):
            time.sleep(chance.uniform(0.02, 0.4))
            role = chance.choice(roles)
            workers[role].kill()
            _, err = workers[role].communicate(timeout=60)
            assert not err, err
            assert without_a_copy(folder, truth) == []
            workers[role] = works(folder, role, count + n)
    finally:
        for worker in workers.values():
            worker.kill()
    for worker in workers.values():
        _, err = worker.communicate(timeout=60)
        assert not err, err
    assert without_a_copy(folder, truth) == []
    sync(lake, remote, NOW)
    assert len(Purge(lake, [remote], Rules(), NOW).run().kept) == 0
    assert lake.elsewhere(TRADES) == days(COUNT)
    lake.bring = Restorer(lake, lambda: [remote])
    assert lake.scan(TRADES).collect().equals(rows)
    left = [path for path in (folder / "lake" / "trades").rglob("*") if path.is_file()]
    assert sorted(path.name for path in left) == ["data.parquet"] * COUNT


def test_killed_at_some_moments_nothing_is_without_a_copy(tmp_path: Path) -> None:
    kills(tmp_path, 4)


@pytest.mark.slow
def test_killed_at_fifty_moments_nothing_is_without_a_copy(tmp_path: Path) -> None:
    kills(tmp_path, int(os.environ.get("DCCD_KILLS", "50")))


DIES = """
import os, signal, sys
from pathlib import Path
from dccd_core.keep.purge import Purge, Rules
from dccd_core.keep.remotes.folder import FolderRemote
from dccd_core.keep.restore import Restorer
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.store import folder as store_module
from tests.dccd_core.keep.scene import NOW
from tests.dccd_core.lake.samples import TRADES
folder, work, moment = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
lake, remote = LakeStore(folder / "lake"), FolderRemote("backup", folder / "remote")
seen = 0

def dying(use):
    def used(*args, **kwargs):
        global seen
        seen += 1
        if seen == moment:
            os.kill(os.getpid(), signal.SIGKILL)
        return use(*args, **kwargs)
    return used

store_module.os.fsync = dying(store_module.os.fsync)
store_module.Path.replace = dying(store_module.Path.replace)
store_module.Path.unlink = dying(store_module.Path.unlink)
if work == "purge":
    Purge(lake, [remote], Rules(), NOW).run()
else:
    Restorer(lake, lambda: [remote]).restore(TRADES)
print(seen)
"""


@pytest.mark.parametrize("work", ["purge", "restore"])
def test_killed_between_any_two_steps_it_is_somewhere(tmp_path: Path, work: str) -> None:
    """Each sync of a file or a folder, each renaming and each removal is a moment to die at."""
    lake, remote = LakeStore(tmp_path / "lake"), FolderRemote("backup", tmp_path / "remote")
    (key,) = days(1)
    before = fill(lake, range(50), key=key)
    truth = {key: sha256(Path(before.path).read_bytes()).hexdigest()}
    sync(lake, remote, NOW)
    moment = 0
    while True:
        moment += 1
        if work == "purge":
            Restorer(lake, lambda: [remote]).restore(TRADES)
        else:
            Purge(lake, [remote], Rules(), NOW).run()
        command = [sys.executable, "-c", DIES, str(tmp_path), work, str(moment)]
        died = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
        assert without_a_copy(tmp_path, truth) == [], moment
        state = LakeStore(lake.url).state(TRADES, key)
        assert state
        assert state.content_hash == before.content_hash
        if died.returncode == 0:
            break
        assert died.returncode == -9, died.stderr
    assert moment > 4, "there were so many moments"
