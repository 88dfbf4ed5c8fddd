"""An S3 server on this machine, as tests need one; it ends with its block."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from uuid import uuid4

import boto3
import pytest
from botocore.client import Config
from moto.server import ThreadedMotoServer


@contextmanager
def s3_server() -> Generator[str]:
    """Run one; it yields its address."""
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def s3_client(endpoint: str) -> Any:
    """Return a client of it that tries each call twice at most."""
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"max_attempts": 1}),
    )


def own_bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the name of a bucket of its own; the environment leads there."""
    for name, value in {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    bucket = f"bucket-{uuid4().hex}"
    boto3.client("s3").create_bucket(Bucket=bucket)
    return bucket


STRANGERS: Mapping[str, tuple[int, bytes, dict[str, str]]] = {
    "a-login-page": (200, b"<html><body>Please log in</body></html>", {}),
    "no-words": (200, b"", {}),
    "a-redirect": (302, b"", {"Location": "/login"}),
    "no-xml": (206, b"abcd", {}),
    "busy": (503, b"<html>busy</html>", {}),
}
"""What a proxy, or another service, answers to each request of S3: status, body, headers."""


@contextmanager
def strange_server(answer: tuple[int, bytes, dict[str, str]]) -> Generator[str]:
    """Run a server that answers each request with the same; it yields its address."""
    status, body, headers = answer

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer  # noqa: N815 -- the names it asks for

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- its name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
