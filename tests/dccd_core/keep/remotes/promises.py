"""What every kind of remote promises: each kind's tests are these, and a few of its own."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from io import BytesIO

import pytest

from dccd_core.domain.errors import LakeError
from dccd_core.keep.remotes.remote import Remote

DAY = "trades/exchange=binance/symbol=BTC-USDT/period=2024-01-31"
FILE = f"{DAY}/data.parquet"
ASIDE = f"{DAY}/_quarantine.ndjson"
BARS = "ohlc/exchange=binance/symbol=BTC-USDT/span=1m/period=2024-01/data.parquet"


def put(remote: Remote, path: str, body: bytes) -> bool:
    """Store bytes in the place of whatever is there."""
    return remote.write(path, BytesIO(body), remote.found(path))


def body(remote: Remote, path: str) -> bytes:
    into = BytesIO()
    remote.read(path, into)
    return into.getvalue()


def put_name(remote: Remote, path: str) -> bool:
    return put(remote, path, path.encode())


class Torn(BytesIO):
    """A file that cannot be read to its end."""

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() >= 100_000:
            raise OSError(5, "Input/output error")
        return super().read(50_000 if size is None or size < 0 else min(size, 50_000))

    def __iter__(self) -> "Torn":
        return self

    def __next__(self) -> bytes:
        if block := self.read(50_000):
            return block
        raise StopIteration


class RemotePromises:
    """To be inherited by a class of tests that has the fixture ``remote``: an empty one."""

    def test_what_is_written_is_found_read_and_hashed(self, remote: Remote) -> None:
        assert remote.write(FILE, BytesIO(b"some rows"), None)
        found = remote.found(FILE)
        assert found is not None
        assert found.size == 9
        assert found.mark
        assert remote.sha256(FILE) == hashlib.sha256(b"some rows").hexdigest()
        assert body(remote, FILE) == b"some rows"
        assert remote.tail(FILE, 4) == (b"rows", 9)
        assert remote.tail(FILE, 100) == (b"some rows", 9)
        assert FILE in remote.url(FILE)

    def test_a_file_that_is_not_there_is_no_error_until_it_is_read(self, remote: Remote) -> None:
        assert remote.found(FILE) is None
        assert remote.sha256(FILE) is None
        assert remote.tail(FILE, 10) is None
        assert remote.find("trades") == {}
        with pytest.raises(LakeError, match="no such file"):
            remote.read(FILE, BytesIO())

    def test_an_empty_file_is_a_file(self, remote: Remote) -> None:
        assert put(remote, FILE, b"")
        assert remote.sha256(FILE) == hashlib.sha256(b"").hexdigest()
        assert remote.tail(FILE, 10) == (b"", 0)
        assert body(remote, FILE) == b""

    def test_all_files_below_a_folder_are_found_as_they_are_one_by_one(self, remote: Remote) -> None:
        for path in (FILE, ASIDE, BARS):
            assert put(remote, path, path.encode())
        assert list(remote.find("trades")) == [ASIDE, FILE]
        assert remote.find("ohlc") == {BARS: remote.found(BARS)}
        assert remote.find(DAY) == remote.find("trades")

    def test_a_file_is_replaced_only_over_what_was_seen_there(self, remote: Remote) -> None:
        assert put(remote, FILE, b"first")
        seen = remote.found(FILE)
        assert not remote.write(FILE, BytesIO(b"blind"), None)
        assert remote.write(FILE, BytesIO(b"second"), seen)
        assert not remote.write(FILE, BytesIO(b"late"), seen)
        assert not remote.write(BARS, BytesIO(b"gone"), seen)
        assert body(remote, FILE) == b"second"
        assert remote.found(BARS) is None

    def test_a_mark_changes_with_the_file(self, remote: Remote) -> None:
        assert put(remote, FILE, b"1234")
        first = remote.found(FILE)
        assert first == remote.found(FILE)
        assert put(remote, FILE, b"4321")
        assert remote.found(FILE) != first

    def test_what_cannot_be_read_to_its_end_leaves_what_was_there(self, remote: Remote) -> None:
        assert put(remote, FILE, b"whole")
        with pytest.raises((LakeError, OSError)):
            remote.write(FILE, Torn(bytes(200_000)), remote.found(FILE))
        with pytest.raises((LakeError, OSError)):
            remote.write(BARS, Torn(bytes(200_000)), None)
        assert body(remote, FILE) == b"whole"
        assert remote.found(BARS) is None
        assert list(remote.find("trades")) == [FILE]

    def test_many_are_written_at_once(self, remote: Remote) -> None:
        paths = [FILE.replace("01-31", f"01-{day:02}") for day in range(1, 9)]
        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(partial(put_name, remote), paths))
        assert list(remote.find("trades")) == paths
        assert {path: remote.sha256(path) for path in paths[:2]} == {
            path: hashlib.sha256(path.encode()).hexdigest() for path in paths[:2]
        }

    def test_a_big_file_comes_and_goes_whole(self, remote: Remote) -> None:
        big = bytes(range(256)) * 20_000
        assert put(remote, FILE, big)
        assert body(remote, FILE) == big
        assert remote.sha256(FILE) == hashlib.sha256(big).hexdigest()
        assert remote.tail(FILE, 1_000) == (big[-1_000:], len(big))
