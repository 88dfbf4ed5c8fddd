"""What ASGI does not let an application do with a WebSocket: control frames, and ending without a word."""

from typing import Final, Protocol

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

EXTENSION: Final = "dccd.frames"


class Frames(Protocol):
    """What a connection finds in its scope's extensions under ``EXTENSION``.

    ``ponged`` is whether a pong came since it was last set to False.
    """

    ponged: bool

    def ping(self, payload: bytes) -> None: ...

    def abort(self) -> None:
        """End the TCP connection, without a close of the WebSocket."""
        ...

    def fall_silent(self) -> None:
        """Answer pings no more."""
        ...


class FramesProtocol(WebSocketsSansIOProtocol):
    """Uvicorn's protocol that hands itself to the application."""

    ponged = False
    _silent = False

    def ping(self, payload: bytes) -> None:
        self.conn.send_ping(payload)
        self._write()

    def abort(self) -> None:
        self.transport.abort()

    def fall_silent(self) -> None:
        self._silent = True

    def handle_ping(self) -> None:
        if self._silent:
            self.conn.data_to_send()  # the pong that was made of it
        else:
            super().handle_ping()

    def handle_pong(self, event: Frame) -> None:
        self.ponged = True
        super().handle_pong(event)

    async def run_asgi(self) -> None:
        extensions = self.scope.get("extensions") or {}
        self.scope["extensions"] = {**extensions, EXTENSION: {"frames": self}}
        await super().run_asgi()

    def _write(self) -> None:
        self.transport.write(b"".join(self.conn.data_to_send()))
