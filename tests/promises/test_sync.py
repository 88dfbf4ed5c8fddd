"""A lake on a folder, an S3 server and an rclone remote, side by side: nothing is lost, what is odd is named.

dccd 3.8.1 lost archives here: after a purge a resumed download wrote a short file, and the next ``rclone
copy`` put it over the full one.
"""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from dccd_core.domain.timespan import SECOND, Us
from dccd_core.keep.remotes.folder import FolderRemote
from dccd_core.keep.remotes.rclone import RcloneRemote, program
from dccd_core.keep.remotes.s3 import S3Remote
from dccd_core.keep.sync import Synced, said_of, sync
from dccd_core.lake.lake import LakeStore
from tests.buckets import s3_client, s3_server
from tests.dccd_core.keep.scene import NOW, Through, body, days, equal, fill, filled, ours, put
from tests.dccd_core.lake.samples import TRADES

LATER = Us(NOW + 3_600 * SECOND)


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with s3_server() as endpoint:
        yield s3_client(endpoint)


@pytest.fixture
def remotes(client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, Through]:
    """One of each kind."""
    monkeypatch.setenv("RCLONE_CONFIG", str(tmp_path / "rclone.conf"))
    monkeypatch.setenv("RCLONE_CONFIG_FAR_TYPE", "local")
    bucket = f"bucket-{uuid4().hex}"
    client.create_bucket(Bucket=bucket)
    made = (
        FolderRemote("nas", tmp_path / "copy"),
        S3Remote("cloud", client, bucket, "lake"),
        RcloneRemote("far", f"far:{tmp_path}/far", program()),
    )
    return {one.name: Through(one) for one in made}


def counts(synced: Synced) -> tuple[int, int, int, int]:
    return synced.copied, len(synced.mended), len(synced.conflicts), len(synced.failed)


@pytest.mark.parametrize("count", [6, pytest.param(200, marks=pytest.mark.slow)])
def test_all_is_found_named_mended_or_kept(
    tmp_path: Path, remotes: Mapping[str, Through], count: int
) -> None:
    """200 partitions; one upload cut off, one file damaged there, one longer there."""
    lake = LakeStore(tmp_path / "lake")
    paths = filled(lake, count)
    cut, damaged, longer = paths[1], paths[2], paths[4]
    for remote in remotes.values():
        remote.cut = {cut: 1}
        first = sync(lake, remote, NOW)
        assert (counts(first), first.files) == ((count - 1, 1, 0, 0), count)
        assert [said_of(one) for one in first.mended] == [f"{TRADES}/{days(2)[1]}: its upload was cut off"]
        assert equal(lake, remote, paths)
        remote.sent = 0
        assert (sync(lake, remote, NOW).sent, remote.sent) == (0, 0), "a second sync moves nothing"

    other = LakeStore(tmp_path / "other")
    fill(other, range(1_000), key=days(5)[4])
    whole = ours(other, longer)
    for remote in remotes.values():
        spoilt = bytearray(body(remote, damaged))
        spoilt[len(spoilt) // 3] ^= 1
        put(remote, damaged, bytes(spoilt))
        put(remote, longer, whole)
        remote.sent = 0
        second = sync(lake, remote, LATER)
        assert counts(second) == (0, 1, 1, 0)
        assert said_of(second.mended[0]) == f"{TRADES}/{days(3)[2]}: it was damaged there"
        assert said_of(second.conflicts[0]) == (
            f"{TRADES}/{days(5)[4]}: it has 1000 rows, and there are 5 here"
        )
        assert body(remote, longer) == whole, "what is there is kept"
        assert remote.sent == len(ours(lake, damaged)), "and nothing else is moved"
        assert equal(lake, remote, [path for path in paths if path != longer])


def test_row_12_the_archive_is_not_lost(tmp_path: Path, remotes: Mapping[str, Through]) -> None:
    """dccd 3.8.1: 1,000 rows, purged; a resumed download wrote 10; the next copy left 10 in the archive."""
    lake = LakeStore(tmp_path / "lake")
    (path,) = filled(lake, 1)
    fill(lake, range(1_000), key=days(1)[0])
    for remote in remotes.values():
        assert sync(lake, remote, NOW).well
    whole = ours(lake, path)
    Path(lake.path(TRADES, days(1)[0])).unlink()
    fill(lake, range(990, 1_000), key=days(1)[0])
    for remote in remotes.values():
        synced = sync(lake, remote, LATER)
        assert counts(synced) == (0, 0, 1, 0)
        assert said_of(synced.conflicts[0]) == (
            f"{TRADES}/{days(1)[0]}: it has 1000 rows, and there are 10 here"
        )
        assert body(remote, path) == whole


WORKER = """
import sys
from pathlib import Path
from dccd_core.domain.timespan import Us
from dccd_core.keep.remotes.folder import FolderRemote
from dccd_core.keep.sync import sync
from dccd_core.lake.lake import LakeStore

lake, copy = LakeStore(sys.argv[1]), FolderRemote("nas", Path(sys.argv[2]))
print("begins", flush=True)
print(sync(lake, copy, Us(1)).files, flush=True)
"""


@pytest.mark.parametrize("kills", [2, pytest.param(50, marks=pytest.mark.slow)])
def test_a_sync_that_is_killed_goes_on_where_it_was(tmp_path: Path, kills: int) -> None:
    """At random moments, always with something to copy: what is there is whole and never an older one."""
    lake, chance = LakeStore(tmp_path / "lake"), random.Random(kills)
    paths = filled(lake, 60)
    remote = Through(FolderRemote("nas", tmp_path / "copy"))
    command = [sys.executable, "-c", WORKER, str(tmp_path / "lake"), str(tmp_path / "copy")]
    had = {path: [digest(ours(lake, path))] for path in paths}
    seen, halfway = dict.fromkeys(paths, -1), 0
    for _ in range(kills):
        for number in chance.sample(range(60), 20):
            path = paths[number]
            fill(lake, range(number + 1 + len(had[path])), key=days(60)[number])
            had[path].append(digest(ours(lake, path)))
        behind = [path for path in paths if seen[path] < len(had[path]) - 1]
        worker = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert worker.stdout
        assert worker.stdout.readline() == "begins\n"
        time.sleep(chance.random() * 0.5)
        worker.send_signal(signal.SIGKILL)
        worker.communicate()
        there = {path: had[path].index(str(remote.sha256(path))) for path in remote.find("trades")}
        assert all(version >= seen[path] for path, version in there.items()), "what has a name there is whole"
        seen |= there
        halfway += 0 < sum(seen[path] < len(had[path]) - 1 for path in behind) < len(behind)
    print(f"{kills} kills, {halfway} of them when some were there and some were not")  # noqa: T201 -- of interest
    missing = [path for path in paths if seen[path] < len(had[path]) - 1]
    synced = sync(lake, remote, NOW)
    assert (synced.well, synced.files) == (True, 60)
    assert synced.sent == sum(len(ours(lake, path)) for path in missing)
    assert equal(lake, remote, paths)
    left = [name for _, _, names in os.walk(tmp_path / "copy" / "trades") for name in names]
    assert [name for name in left if name.endswith(".draft")] == []


def digest(whole: bytes) -> str:
    return hashlib.sha256(whole).hexdigest()
