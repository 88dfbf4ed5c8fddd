"""``python -m dccd_core.testing.sandbox``: serve the simulated exchanges until told to stop."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Final, TypedDict, TypeVar, Unpack

import click
import msgspec
import uvicorn

from dccd_core.testing.sandbox.faults import Fault, FaultKind
from dccd_core.testing.sandbox.frames import FramesProtocol
from dccd_core.testing.sandbox.options import Options
from dccd_core.testing.sandbox.server import create_app
from dccd_core.testing.sandbox.stream_faults import StreamFault, StreamFaultKind

T = TypeVar("T")


class _Arguments(TypedDict):
    port: int
    rtt_ms: float
    rate_limits: bool
    limit_weight: int | None
    window_s: int | None
    faults: tuple[Fault, ...]
    seed: int
    symbol: tuple[str, ...]
    trades_per_day: dict[str, int]
    outage: tuple[str, ...]
    stream_faults: tuple[StreamFault, ...]
    stream_lifetime_s: float | None
    stop_after_s: float
    with_parent: bool


def _reader(shape: type[T]) -> Callable[[click.Context, click.Parameter, str], tuple[T, ...]]:
    """Return what reads a JSON list of faults, or with a leading @ the file that holds it."""

    def read(_: click.Context, __: click.Parameter, text: str) -> tuple[T, ...]:
        try:
            json_text = Path(text[1:]).read_text() if text.startswith("@") else text
            return msgspec.json.decode(json_text, type=tuple[shape, ...])
        except (OSError, msgspec.DecodeError) as e:
            raise click.BadParameter(str(e)) from e

    return read


def _read_densities(_: click.Context, __: click.Parameter, pairs: tuple[str, ...]) -> dict[str, int]:
    try:
        return {name: int(count) for name, _, count in (pair.partition("=") for pair in pairs)}
    except ValueError as e:
        raise click.BadParameter("write it like BTC/USDT=2000000") from e


_EPILOG: Final = f"""Kinds of --faults: {", ".join(FaultKind)}.

Kinds of --stream-faults: {", ".join(StreamFaultKind)}. Which of them meet what, what each does and with
which fields: dccd_core/testing/sandbox/faults.py and stream_faults.py. Like
'[{{"kind": "silent_topic", "venue": "kraken", "topic": "trade@*", "seconds": 30}}]'."""


@click.command("sandbox", epilog=_EPILOG)
@click.option("--port", default=8900, show_default=True, help="0 takes a free one.")
@click.option("--rtt-ms", default=0.0, show_default=True, help="Wait before each answer.")
@click.option("--rate-limits", is_flag=True, help="Refuse and ban as the venues do.")
@click.option("--limit-weight", type=int, help="Weight allowed in one window, instead of the venues' own.")
@click.option("--window-s", type=int, help="Length of a limit window, instead of the venues' own.")
@click.option("--faults", default="[]", callback=_reader(Fault), help="JSON list of faults, or @FILE.")
@click.option("--seed", default=0, show_default=True, help="Decides which requests the faults strike.")
@click.option("--symbol", multiple=True, help="A symbol besides the default ones, like X/USDT.")
@click.option("--trades-per-day", multiple=True, callback=_read_densities, help="Like BTC/USDT=2000000.")
@click.option("--outage", multiple=True, help="Like 2024-03-01T00:00/2024-03-01T06:00.")
@click.option(
    "--stream-faults", default="[]", callback=_reader(StreamFault), help="The same for WebSocket messages."
)
@click.option("--stream-lifetime-s", type=float, help="Cut WebSockets after this, not the venues' own times.")
@click.option("--stop-after-s", default=6 * 3_600.0, show_default=True, help="Stop by itself.")
@click.option("--with-parent", is_flag=True, help="Stop when stdin closes.")
def main(**arguments: Unpack[_Arguments]) -> None:
    """Serve simulated exchanges on 127.0.0.1, REST and WebSocket; prints {"url": ...} when ready."""
    options = Options(
        rtt_ms=arguments["rtt_ms"],
        rate_limits=arguments["rate_limits"],
        limit_weight=arguments["limit_weight"],
        window_s=arguments["window_s"],
        faults=arguments["faults"],
        seed=arguments["seed"],
        symbols=arguments["symbol"],
        trades_per_day=arguments["trades_per_day"],
        outages=arguments["outage"],
        stream_faults=arguments["stream_faults"],
        stream_lifetime_s=arguments["stream_lifetime_s"],
    )
    try:
        app = create_app(options)
    except ValueError as e:
        raise click.ClickException(str(e)) from e
    config = uvicorn.Config(
        app,
        lifespan="off",
        log_level="critical",
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=1,
        ws=FramesProtocol,
        ws_max_size=1 << 26,
        ws_per_message_deflate=False,
        ws_ping_interval=None,  # venues that ping do it by the sandbox's clock
    )
    server = _Server(config, arguments["stop_after_s"], with_parent=arguments["with_parent"])
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, server.on_signal)
    server.run([_listening(arguments["port"])])


class _Server(uvicorn.Server):
    """Says where it listens, and stops by itself."""

    def __init__(self, config: uvicorn.Config, stop_after_s: float, *, with_parent: bool) -> None:
        super().__init__(config)
        self._stop_after_s = stop_after_s
        self._with_parent = with_parent

    def on_signal(self, _: int, __: FrameType | None) -> None:
        """Uvicorn raises a signal once more when it is done with it: that must not end us by force."""
        self.stop()

    def stop(self) -> None:
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        loop = asyncio.get_running_loop()
        loop.call_later(self._stop_after_s, self.stop)
        if self._with_parent:
            loop.add_reader(sys.stdin.fileno(), self._on_stdin)
        assert sockets
        click.echo(json.dumps({"url": f"http://127.0.0.1:{sockets[0].getsockname()[1]}"}))

    def _on_stdin(self) -> None:
        """Read what comes; nothing means that the other end was closed."""
        if not os.read(sys.stdin.fileno(), 4_096):
            asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
            self.stop()


def _listening(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as e:
        raise click.ClickException(f"port {port} of 127.0.0.1 is taken: {e}") from e
    return listener


if __name__ == "__main__":
    main()
