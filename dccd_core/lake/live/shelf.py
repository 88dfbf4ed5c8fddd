"""Where segments lie: in a folder of this machine, and what ticks append of a lake in a bucket beside it."""

import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from io import FileIO
from pathlib import Path
from typing import cast

from dccd_core.domain.timespan import Us
from dccd_core.lake.layout import LIVE, StreamKey, parse_family, segment_start
from dccd_core.lake.live import segments
from dccd_core.lake.live.segments import Segment, SegmentInfo, SegmentWriter
from dccd_core.lake.store.folder import Objects

Place = tuple[Path, StreamKey]
"""A segment, and what it is of. In a bucket its path is relative to the store, on this machine it is not."""


class Shelf:
    """The segments of a lake.

    Args:
        root: the folder of those that streams write, and of the locks.
        bucket: where those lie that ticks append; None: in the same folder.
        check: is called before something is appended; raises where nothing may be.
    """

    def __init__(
        self, root: Path, bucket: Objects | None = None, check: Callable[[], None] = lambda: None
    ) -> None:
        self.root = root.absolute()
        self._bucket = bucket
        self._check = check

    def find(self, family: StreamKey | None = None) -> list[Place]:
        """Return the segments of a family, or of all, those that were begun first before the others."""
        local = segments.find(self.root, family)
        if self._bucket is None:
            return local
        folder = f"{LIVE}/{family.folder}" if family else LIVE
        return sorted([*local, *self._remote(self._bucket, folder)], key=_order)

    def _remote(self, bucket: Objects, folder: str) -> Iterator[Place]:
        for path in map(Path, bucket.names(folder)):
            family = parse_family(path.parent.relative_to(LIVE).as_posix())
            if family and segment_start(path.name) is not None:
                yield path, family

    @contextmanager
    def opened(self, path: Path, family: StreamKey) -> Generator[Segment | None]:
        """Open a segment; None when it is gone by now."""
        if self._bucket is None or path.is_absolute():
            with segments.opened(path, family) as segment:
                yield segment
            return
        with self._bucket.open(path.as_posix()) as stored:
            yield Segment(path, family, cast("FileIO", stored.file)) if stored else None

    def each_of(self, family: StreamKey) -> Iterator[Segment]:
        """Open the segments of a family one after another, although some may be removed meanwhile.

        What is folded is in its partition, or in a segment that is there by then, before it is removed: so
        whoever reads the partitions after this lacks nothing.
        """
        seen = set[Path]()
        while fresh := [place for place in self.find(family) if place[0] not in seen]:
            for place in fresh:
                seen.add(place[0])
                with self.opened(*place) as segment:
                    if segment:
                        yield segment

    def infos(self) -> Iterator[SegmentInfo]:
        for place in self.find():
            with self.opened(*place) as segment:
                if segment:
                    yield segment.info

    @contextmanager
    def writer(self, family: StreamKey, at: Us) -> Generator[SegmentWriter]:
        """Begin a segment that is there as a whole when this ends, in a bucket by one PUT.

        On this machine each of its appends is there at once.
        """
        self._check()
        with ExitStack() as stack:
            root = self.root
            if self._bucket:
                root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            with SegmentWriter(root, family, at, late=True) as writer:
                yield writer
            if self._bucket:
                path = Path(writer.path)
                self._bucket.put(f"{LIVE}/{path.relative_to(root).as_posix()}", path.read_bytes())

    def remove(self, paths: Iterable[Path]) -> None:
        """Remove segments, durably; one that is gone is no error."""
        folders = set[Path]()
        for path in paths:
            if self._bucket and not path.is_absolute():
                self._bucket.remove(path.as_posix())
            else:
                path.unlink(missing_ok=True)
                folders.add(path.parent)
        for folder in folders:
            segments.sync_folder(folder)


def _order(place: Place) -> tuple[int, str]:
    return segment_start(place[0].name) or 0, place[0].name
