"""A webhook on this machine, as tests need one; it ends with its block."""

import json
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


@dataclass(slots=True)
class Hook:
    """What was posted. ``refuses``: the statuses of the next answers; after them all is well."""

    port: int
    texts: list[str] = field(default_factory=list[str])
    """What was taken, as text; of apprise's JSON its message."""
    tried: list[str] = field(default_factory=list[str])
    """What was posted, taken or not."""
    headers: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    refuses: list[int] = field(default_factory=list[int])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def by_apprise(self) -> str:
        return f"json://127.0.0.1:{self.port}/hook"


@contextmanager
def hook(*refuses: int) -> Generator[Hook]:
    """Run a webhook that first answers with these statuses."""

    class Note(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            if self.headers["content-type"] == "application/json":
                said = json.loads(body)
                body = said.get("message") or said["text"]
            told.headers.append({name.lower(): value for name, value in self.headers.items()})
            told.tried.append(body)
            status = told.refuses.pop(0) if told.refuses else 200
            if status == 200:
                told.texts.append(body)
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002 -- as http.server calls it

    with ThreadingHTTPServer(("127.0.0.1", 0), Note) as server:
        told = Hook(server.server_port, refuses=list(refuses))
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield told
        finally:
            server.shutdown()
            thread.join()
