"""The proxy of ``deploy/nginx.conf``: a login, tokens, two webservers, other sites, the rate limit.

Its parts are looked at everywhere; what it does only where there is an nginx.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx
import pytest

from tests.e2e.project import ROOT, awaited, ended, free_port

CONFIG = (ROOT / "deploy" / "nginx.conf").read_text()
NGINX = shutil.which("nginx")
needs_nginx = pytest.mark.skipif(NGINX is None, reason="there is no nginx here")
ANNA, BOB = ("anna", "her password"), ("bob", "his password")
OPERATOR, VIEWER = "5d1c" * 16, "7e0a" * 16
HERE = "https://dccd.example.org"


def test_it_is_whole_and_names_what_it_needs() -> None:
    plain = re.sub(r'"[^"\n]*"', '""', re.sub(r"#.*", "", CONFIG))
    assert plain.count("{") == plain.count("}")
    lines = [line.strip() for line in plain.splitlines() if line.strip()]
    assert [line for line in lines if not line.endswith((";", "{", "}"))] == []
    used = set(re.findall(r"\$(dccd_\w+)", CONFIG))
    made = set(re.findall(r"map \S.*\$(dccd_\w+) \{", CONFIG)) | {"dccd_foreign_origin", "dccd_foreign_fetch"}
    assert used - made == set(), "variables that nobody sets"
    roles = {*re.findall(r"upstream dccd_(\w+)", CONFIG)}
    assert roles == {"operator", "viewer"}
    files = set(re.findall(r"/etc/nginx/dccd/([\w.]+)", CONFIG))
    assert files == {"tokens", "operators", "people", "certificate.pem", "key.pem"}
    guide = (ROOT / "docs" / "access.md").read_text()
    assert [
        name for name in ("tokens", "operators", "people") if f"/etc/nginx/dccd/{name}" not in guide
    ] == []


@contextmanager
def behind(role: str) -> Generator[int]:
    """Run a server that answers with what it is and what it was sent."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            kept = [self.headers.get(name, "-") for name in ("authorization", "x-forwarded-proto", "upgrade")]
            body = " ".join([role, *kept]).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 -- as http.server calls it

        def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002 -- as http.server calls it

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def proxy(folder: Path, *changes: tuple[str, str]) -> Generator[httpx.Client]:
    """Run nginx with the configuration, but for TLS, places and ``changes``, in front of two servers."""
    assert NGINX
    port = free_port()
    with behind("operator") as operator, behind("viewer") as viewer:
        text = re.sub(r"^\s*ssl_\w+ .*$", "", CONFIG, flags=re.MULTILINE)
        for old, new in (
            ("listen 443 ssl;", f"listen 127.0.0.1:{port};"),
            ("127.0.0.1:3000", f"127.0.0.1:{operator}"),
            ("127.0.0.1:3001", f"127.0.0.1:{viewer}"),
            ("/etc/nginx/dccd", str(folder)),
            ("$scheme://$http_host", "https://$http_host"),
            *changes,
        ):
            assert old in text
            text = text.replace(old, new)
        temporary = "".join(
            f"{one}_temp_path {folder}/{one};\n"
            for one in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        user = "user root;" if os.getuid() == 0 else ""
        (folder / "nginx.conf").write_text(
            f"{user} daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;\n"
            f"events {{}}\nhttp {{ access_log off;\n{temporary}{text}\n}}\n"
        )
        (folder / "people").write_text(
            "".join(f"{name}:{{PLAIN}}{password}\n" for name, password in (ANNA, BOB))
        )
        (folder / "operators").write_text("anna operator;\n")
        (folder / "tokens").write_text(f'"Bearer {OPERATOR}" operator;\n"Bearer {VIEWER}" viewer;\n')
        command = [NGINX, "-p", str(folder), "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf"]
        process = subprocess.Popen(command, text=True)
        try:
            awaited(lambda: (folder / "pid").exists() or process.poll() is not None or None, 60)
            assert process.poll() is None, (folder / "error.log").read_text()
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
                client.headers["host"] = "dccd.example.org"
                yield client
        finally:
            ended(process)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with proxy(tmp_path_factory.mktemp("nginx")) as one:
        yield one


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


@needs_nginx
def test_who_is_nobody_is_asked_for_a_password(client: httpx.Client) -> None:
    for answer in (
        client.get("/"),
        client.post("/graphql", json={}),
        client.get("/", auth=("anna", "his password")),
        client.get("/", auth=("carl", "")),
        client.get("/", headers=bearer("1" * 64)),
        client.get("/", headers={"authorization": f"Basic {OPERATOR}"}),
    ):
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == 'Basic realm="dccd"'


@needs_nginx
def test_people_and_scripts_get_the_webserver_that_is_theirs(client: httpx.Client) -> None:
    for path in ("/runs", "/graphql"):
        assert client.get(path, auth=BOB).text == "viewer - http -"
        assert client.get(path, auth=ANNA).text == "operator - http -"
        assert client.post(path, headers=bearer(VIEWER)).text == "viewer - http -"
        assert client.post(path, headers=bearer(OPERATOR)).text == "operator - http -"


@needs_nginx
def test_what_is_live_comes_by_websocket(client: httpx.Client) -> None:
    headers = {"upgrade": "websocket", "connection": "upgrade", "origin": HERE}
    assert client.get("/graphql", auth=BOB, headers=headers).text == "viewer - http websocket"


@needs_nginx
@pytest.mark.parametrize(
    ("method", "path", "fetched", "status"),
    [
        ("POST", "/graphql", "same-origin cors", 200),
        ("POST", "/graphql", "cross-site no-cors", 403),
        ("POST", "/report_asset_materialization/x", "same-site navigate", 403),
        ("GET", "/graphql?query=mutation{}", "cross-site navigate", 403),
        ("GET", "/graphql?query=mutation{}", "cross-site no-cors", 403),
        ("GET", "/runs", "cross-site navigate", 200),
        ("GET", "/runs", "none navigate", 200),
    ],
)
def test_pages_of_other_sites_send_nothing_in_somebody_s_name(
    client: httpx.Client, method: str, path: str, fetched: str, status: int
) -> None:
    site, mode = fetched.split()
    headers = {"sec-fetch-site": site, "sec-fetch-mode": mode}
    assert client.request(method, path, headers=headers, auth=ANNA).status_code == status


@needs_nginx
@pytest.mark.parametrize(
    "origin", ["https://example.org", "null", f"{HERE}.example.org", "http://dccd.example.org"]
)
def test_nor_do_older_browsers(client: httpx.Client, origin: str) -> None:
    assert client.post("/graphql", headers={"origin": origin}, auth=ANNA).status_code == 403
    assert client.post("/graphql", headers={"origin": HERE}, auth=ANNA).status_code == 200


@needs_nginx
def test_beyond_the_rate_nobody_is_answered(tmp_path: Path) -> None:
    with proxy(tmp_path, ("rate=20r/s", "rate=1r/m"), ("burst=200", "burst=3")) as client:
        guesses = [client.get("/", auth=("anna", str(n))).status_code for n in range(6)]
        assert guesses == [401] * 4 + [429] * 2
        assert client.get("/", auth=ANNA).status_code == 429
