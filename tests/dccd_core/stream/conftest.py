"""Threads and disks that do as a test tells them."""

import asyncio
from collections.abc import Callable
from io import FileIO

import pytest

from dccd_core.lake.live import segments
from tests.dccd_core.stream.pushing import Disk


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do at once what else a thread does: the clock would run on meanwhile."""

    async def at_once(do: Callable[..., object], *arguments: object) -> object:
        return do(*arguments)

    monkeypatch.setattr(asyncio, "to_thread", at_once)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    one = Disk()

    class File(FileIO):
        def write(self, data: bytes) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
            one.reached.set()
            assert one.free.wait(30)
            if len(data) > one.room:
                raise OSError(28, "No space left on device")
            one.room -= len(data)
            return super().write(data)

    monkeypatch.setattr(segments, "FileIO", File)
    return one
