"""Copies by rclone's own binary: to a folder, which knows SHA-256, and to memory, which does not."""

import hashlib
import os
import stat
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import pytest

from dccd_core.domain.errors import LakeError
from dccd_core.keep.remotes import rclone
from dccd_core.keep.remotes.rclone import RcloneRemote, program
from dccd_core.keep.remotes.remote import Place, open_remote
from tests.dccd_core.keep.remotes.promises import FILE, RemotePromises, body, put


@pytest.fixture
def remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RcloneRemote:
    monkeypatch.setenv("RCLONE_CONFIG", str(tmp_path / "rclone.conf"))
    monkeypatch.setenv("RCLONE_CONFIG_NAS_TYPE", "local")
    return RcloneRemote("nas", f"nas:{tmp_path}/copy", program())


class TestRclone(RemotePromises):
    pass


def test_a_place_is_a_remote_of_rclones_and_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RCLONE_CONFIG", str(tmp_path / "rclone.conf"))
    monkeypatch.setenv("RCLONE_CONFIG_NAS_TYPE", "local")
    remote = open_remote(Place("nas", f"rclone:nas:{tmp_path}/copy"))
    assert put(remote, FILE, b"rows")
    assert (tmp_path / "copy" / FILE).read_bytes() == b"rows"
    assert remote.url(FILE) == f"rclone:nas:{tmp_path}/copy/{FILE}"


def test_what_rclone_has_not_finished_is_no_file(remote: RcloneRemote, tmp_path: Path) -> None:
    assert put(remote, FILE, b"rows")
    (tmp_path / "copy" / FILE).with_name("data.parquet.1a2b3c4d.partial").write_bytes(b"half")
    assert list(remote.find("trades")) == [FILE]


def test_a_remote_that_rclone_does_not_know_is_one_clear_line(remote: RcloneRemote) -> None:
    unknown = RcloneRemote("nas", "nowhere:copy", program())
    acts = (
        lambda: unknown.find("trades"),
        lambda: unknown.found(FILE),
        lambda: unknown.sha256(FILE),
        lambda: unknown.read(FILE, BytesIO()),
    )
    for act in acts:
        with pytest.raises(LakeError, match=r"rclone:nowhere:copy.*didn't find section.* -> try `rclone"):
            act()


def script(folder: Path, text: str) -> str:
    """A program in the place of rclone."""
    file = folder / "rclone"
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return str(file)


def test_where_rclone_cannot_say_a_hash_it_reads_back(tmp_path: Path) -> None:
    """As with services that know MD5 only, or nothing."""
    right = hashlib.sha256(b"rows").hexdigest()
    told = tmp_path / "told"
    text = (
        f'echo "$@" >> {told}; case "$*" in *--download*) echo "{right}  x";; *) echo "UNSUPPORTED  x";; esac'
    )
    remote = RcloneRemote("nas", "nas:copy", script(tmp_path, text))
    assert [remote.sha256(FILE), remote.sha256(FILE)] == [right, right]
    asked = told.read_text().splitlines()
    assert ["--download" in line for line in asked] == [False, True, True]


def test_a_limit_of_bytes_is_rclones_own_shared_by_those_at_once(tmp_path: Path) -> None:
    told = tmp_path / "told"
    program = script(tmp_path, f'echo "$@" >> {told}; case "$*" in lsjson*) exit 3;; esac')
    remote = RcloneRemote("nas", "nas:copy", program, 20 << 20)
    assert remote.write(FILE, BytesIO(b"rows"), None)
    assert f"--bwlimit {(20 << 20) // 4}B" in told.read_text()


def test_a_stop_ends_the_process(tmp_path: Path) -> None:
    """Who is to stop says so when it is asked for its place."""

    class Stopping(BytesIO):
        def tell(self) -> int:
            raise KeyboardInterrupt

    program = script(
        tmp_path, f'case "$*" in lsjson*) exit 3;; esac; echo $$ > {tmp_path}/pid; exec sleep 600'
    )
    remote = RcloneRemote("nas", "nas:copy", program)
    with pytest.raises(KeyboardInterrupt):
        remote.write(FILE, Stopping(b"rows"), None)
    pid = int((tmp_path / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_what_hangs_ends_with_the_process_that_asked(tmp_path: Path) -> None:
    """6e38909: a stop waited for it, and rclone for hours, as it does unless it is told otherwise."""
    program = script(
        tmp_path, f"echo $RCLONE_TIMEOUT $RCLONE_CONTIMEOUT $$ > {tmp_path}/told; exec sleep 600"
    )
    text = f"""
from pathlib import Path
from time import sleep
from dccd_core.keep.aside import begun
from dccd_core.keep.remotes.rclone import RcloneRemote
begun(RcloneRemote("nas", "nas:copy", {program!r}).find, "trades")
while not (told := Path({str(tmp_path / "told")!r})).exists() or not told.read_text().endswith("\\n"):
    sleep(0.01)
"""
    environment = {**os.environ, "RCLONE_CONTIMEOUT": "7s"}
    subprocess.run([sys.executable, "-c", text], check=True, env=environment, timeout=60)
    timeout, connecting, pid = (tmp_path / "told").read_text().split()
    assert (timeout, connecting) == ("1m", "7s")
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)


def test_without_rclone_there_is_one_clear_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Path(program()).name == "rclone", "that of the package"
    monkeypatch.setattr(rclone, "_PACKAGE", "no-such-package")
    with pytest.raises(LakeError, match=r"rclone is not installed -> pip install 'dccd\[rclone\]'"):
        open_remote(Place("nas", "rclone:nas:copy"))
    mine = script(tmp_path, "exit 0")
    assert program() == mine


def test_a_copy_is_read_whole(remote: RcloneRemote) -> None:
    whole = os.urandom(3_000_000)
    assert put(remote, FILE, whole)
    assert body(remote, FILE) == whole
