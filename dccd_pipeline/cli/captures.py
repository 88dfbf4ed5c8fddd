"""``dccd stream --capture`` and ``dccd replay``: keep all that a stream is told, and run it again offline.

Belongs here: options, folders and JSON. Does not: what is kept, and how it is run (dccd_core.stream).
"""

import asyncio
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

import click
import msgspec

from dccd_core.domain.errors import ConfigError
from dccd_core.fetch.venue import Venue
from dccd_core.lake.lake import LakeStore
from dccd_core.net.sockets import Connect
from dccd_core.stream.api import Listener, RecordStream, StreamPlan
from dccd_pipeline.cli.options import told

P = ParamSpec("P")
R = TypeVar("R")
_UNITS: Final = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_SIZE: Final = re.compile(rf"(\d+)({'|'.join(_UNITS)})")


class Size(click.ParamType[int]):
    """Bytes, as people write them."""

    name = "SIZE"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        found = _SIZE.fullmatch(str(value))
        if found is None:
            self.fail(f"{value!r} is no size, write it like 500MiB or 2GiB", param, ctx)
        return int(found[1]) * _UNITS[found[2]]


def capture_options(action: Callable[P, R]) -> Callable[P, R]:
    """``--capture DIR`` and ``--capture-limit SIZE``."""
    folder = click.option(
        "--capture",
        type=click.Path(path_type=Path, file_okay=False),
        metavar="DIR",
        help="Keep every frame and answer in this new folder, for dccd replay.",
    )
    limit = click.option(
        "--capture-limit",
        type=Size(),
        default="1GiB",
        show_default=True,
        help="How much the capture may take; then it ends, and the recording goes on.",
    )
    return folder(limit(action))


@dataclass(frozen=True, slots=True)
class Keeping:
    """Whether a capture is kept of what is recorded, and where."""

    folder: Path | None
    limit: int

    @classmethod
    def of(cls, folder: Path | None, limit: int, streams: Sequence[str]) -> "Keeping":
        """Check what was asked for.

        Raises:
            ConfigError: a capture is of one stream, in a folder of its own.
        """
        if folder is not None and len(streams) > 1:
            raise ConfigError("a capture is of one stream", hint=f"name it: {', '.join(streams)}")
        if folder is not None and folder.exists() and any(folder.iterdir()):
            raise ConfigError(f"{folder} is not empty", hint="a capture needs a folder of its own")
        return cls(folder, limit)

    @property
    def options(self) -> list[str]:
        """Say the same to another process."""
        return [] if self.folder is None else [f"--capture={self.folder}", f"--capture-limit={self.limit}B"]

    @property
    def recorder(self) -> RecordStream | None:
        """Return what keeps a capture, into a folder of its own each time that it begins anew."""
        if self.folder is None:
            return None
        times, folder = count(1), self.folder

        async def record(
            plan: StreamPlan,
            venue: Venue,
            connect: Connect,
            lake: LakeStore,
            stop: asyncio.Event,
            listener: Listener,
            *,
            plans: asyncio.Queue[StreamPlan],
        ) -> None:
            from dccd_core.stream.capture import captured  # noqa: PLC0415 -- only those who keep one need it
            from dccd_pipeline.build import record_live  # noqa: PLC0415 -- it brings Dagster

            kept = captured(record_live, folder / f"{next(times):03d}", self.limit)
            await kept(plan, venue, connect, lake, stop, listener, plans=plans)

        return record


@click.command()
@click.argument("folders", nargs=-1, required=True, metavar="DIR...", type=click.Path(path_type=Path))
@told
def replay(folders: tuple[Path, ...]) -> None:
    """Run captures of a stream again, offline, in this order, and print as JSON what comes of them.

    The same capture gives the same, and what the recording gave: the hash of the rows of each partition,
    what is covered, what is not and why, what became of the messages.
    """
    from dccd_core.stream.replay import replay as run  # noqa: PLC0415 -- it takes a while to import

    with tempfile.TemporaryDirectory(prefix="dccd-replay-") as lake:
        done = run([one for folder in folders for one in _captures(folder)], Path(lake))
    click.echo(msgspec.json.format(msgspec.json.encode(done)).decode())


def _captures(folder: Path) -> list[Path]:
    """Return the captures in a folder: one for each time that its recording began anew."""
    from dccd_core.stream.tape import ABOUT  # noqa: PLC0415

    within = sorted(path.parent for path in folder.glob(f"*/{ABOUT}"))
    return within or [folder]
