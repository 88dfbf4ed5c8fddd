"""docs/from-dccd.md: each row is answered, and each call in it works against a webserver and a daemon."""

import ast
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import click
import httpx
import msgspec
import pytest
import yaml
from dagster_graphql.schema import create_schema
from graphql import GraphQLSchema, OperationDefinitionNode, parse, validate
from graphql.execution.values import get_variable_values

from dccd_core.testing.sandbox.process import RunningSandbox
from dccd_pipeline.cli.lazy import main
from dccd_pipeline.config.read import settings_of
from tests.e2e import former
from tests.e2e.former import Call, Kind, Row
from tests.e2e.project import (
    ROOT,
    Project,
    Web,
    awaited,
    daemon,
    end_runs,
    ended,
    free_port,
    logged,
    webserver,
)

LASTING: Final = {
    "dccd stream": "",
    "dccd stream majors": "",
    "dccd up": "3000",
    "dccd up --port 3000": "3000",
    "dccd metrics --port 9109": "9109",
    "dagster-webserver -m dccd_pipeline.definitions": "3000",
    "dagster-webserver -m dccd_pipeline.definitions --read-only": "3000",
}
"""What goes on until somebody ends it, and the port that it answers at."""
PATIENCE_S: Final = 1_200
"""Four programs of Dagster's are started at once, on a machine that may be busy."""
SECTIONS: Final = {
    "A job that backfills: an entry of collect": "collect",
    "A job that streams: an entry of stream": "stream",
    "The Python client": "stream",
}
"""Whose keys the YAML of a part is; elsewhere those of the file."""
ROWS: Final = former.rows()


def test_every_row_says_what_does_it_now_or_why_nothing_does() -> None:
    assert len(ROWS) > 80
    assert [str(row) for row in ROWS if not row.answered] == []


def test_no_former_thing_is_named_twice_in_a_part() -> None:
    named = [(row.section, row.old) for row in ROWS]
    assert len(named) == len(set(named))


def parsed(line: str) -> click.Context:
    """Parse a command down to its last word, as if it were called."""
    _, name, *rest = line.split()
    command = main.get_command(click.Context(main), name)
    while isinstance(command, click.Group):
        name = rest.pop(0) if rest and rest[0] in command.commands else "record"  # as stream does
        command = command.commands.get(name)
    if command is None:
        raise click.UsageError(f"there is no {line}")
    return command.make_context(name, rest)


@pytest.mark.parametrize("line", [c for c in former.calls(Kind.COMMAND) if c.startswith("dccd ")])
def test_commands_exist_with_these_options(line: str) -> None:
    assert parsed(line).command.callback is not None


@pytest.fixture(scope="module")
def schema() -> GraphQLSchema:
    return create_schema().graphql_schema


@pytest.mark.parametrize("name", former.graphql())
def test_graphql_calls_fit_dagster_s_schema(name: str, schema: GraphQLSchema) -> None:
    call = former.graphql()[name]
    document = parse(call.query)
    assert validate(schema, document) == []
    (operation,) = document.definitions
    assert isinstance(operation, OperationDefinitionNode)
    given = get_variable_values(schema, operation.variable_definitions or (), dict(call.variables))
    assert isinstance(given, dict), given


def test_every_link_leads_somewhere() -> None:
    named = {former.anchor(line.strip("# ")) for line in former.text().splitlines() if line.startswith("#")}
    assert set(re.findall(r"\]\(#([^)]+)\)", former.text())) <= named
    files = set(re.findall(r"\]\(([a-z-]+\.md)\)", former.text()))
    assert [one for one in sorted(files) if not (ROOT / "docs" / one).exists()] == []
    assert set(former.graphql()) - set(former.calls(Kind.GRAPHQL)) == {"how-a-run-is"}, "nobody is led to it"


def merged(row: Row, fragment: str) -> dict[str, Any]:
    """Return a whole configuration with these keys in it, for the part of the document where they stand."""
    keys: dict[str, Any] = yaml.safe_load(fragment)
    file = former.configuration()
    of = SECTIONS.get(row.section)
    if of is None:
        return file | keys
    (entry,) = file[of]
    entry = {key: value for key, value in entry.items() if not {"every", "cron"} >= {key, *keys}}
    if not {"depth", "snapshot_every"}.isdisjoint(keys) or "orderbook" in keys.values():
        entry = {key: value for key, value in entry.items() if key != "span"}
        entry |= {"data_type": "orderbook"} if of == "collect" else {"data_types": ["orderbook"]}
    if "span" in keys and of == "stream":
        entry["data_types"] = ["ohlc"]
    return file | {of: [entry | keys, *_besides(entry | keys)]}


def _besides(entry: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the entry that collects what ``entry`` is built of."""
    if (source := entry.get("derive_from")) is None:
        return []
    kept = {key: value for key, value in entry.items() if key not in ("derive_from", "span", "name")}
    return [kept | ({"data_type": source} if source == "trades" else {"span": source})]


FRAGMENTS: Final = [(row, call) for row in ROWS for call in row.calls if call.kind is Kind.YAML]


@pytest.mark.parametrize(("row", "call"), FRAGMENTS, ids=lambda one: str(getattr(one, "text", one)))
def test_keys_are_taken(row: Row, call: Call) -> None:
    assert settings_of(merged(row, call.text))


@pytest.mark.parametrize("line", former.calls(Kind.PYTHON))
def test_python_can_be_read(line: str) -> None:
    wrapped = ast.parse(f"async def main():\n    {line}")
    assert isinstance(wrapped.body[0], ast.AsyncFunctionDef)


def test_pages_are_routes_of_dagster_s_own() -> None:
    import dagster_webserver  # noqa: PLC0415 -- it takes long

    build = Path(str(dagster_webserver.__file__)).parent / "webapp" / "build"
    script = "".join(file.read_text(errors="ignore") for file in build.rglob("*.js"))
    assert [page for page in former.calls(Kind.PAGE) if f'"{page}' not in script] == []


@dataclass(slots=True)
class There:
    """A project that is served and run, and what calls of it gave: ids that others need."""

    project: Project
    alone: Project
    web: Web
    done: dict[Call, Any] = field(default_factory=dict[Call, Any])

    def run(self, call: Call) -> None:
        """Do it, unless it was done; many rows have one call."""
        if call in self.done:
            return
        {
            Kind.COMMAND: self._command,
            Kind.GRAPHQL: self.ask,
            Kind.PYTHON: self._python,
            Kind.PAGE: self._page,
            Kind.YAML: str,  # test_keys_are_taken has it
        }[call.kind](call.text)
        self.done[call] = True

    def ask(self, name: str) -> Any:
        """Send one of the document's calls and return the answer's only field."""
        call = former.graphql()[name]
        answer = self.web.ask(call.query, **self._filled(call.variables))
        found: Any = next(iter(answer.values()))
        assert found, f"{name}: nothing came of it"
        said = str(found["__typename"]) if "__typename" in found else ""
        assert not said.endswith(("Error", "Failure", "NotFound")), f"{name}: {found}"
        return found

    def _filled(self, variables: Any) -> dict[str, Any]:
        text = msgspec.json.encode(variables).decode()
        if '"RUN"' in text:
            text = text.replace('"RUN"', f'"{self._stream()}"')
        if '"BACKFILL"' in text:
            text = text.replace('"BACKFILL"', f'"{self.ask("start-a-backfill")["backfillId"]}"')
        if '"SCHEDULE"' in text:
            text = text.replace('"SCHEDULE"', f'"{self._schedule()}"')
        filled: dict[str, Any] = msgspec.json.decode(text)
        return filled

    def _stream(self) -> str:
        """Return a run that has begun and goes on until it is stopped."""

        def found() -> str | None:
            runs = self.web.ask(former.graphql()["streams"].query)["runsOrError"]["results"]
            return runs[0]["runId"] if runs else None

        if not (found_now := found()):
            self.ask("start-a-stream")
        return found_now or awaited(found)

    def _schedule(self) -> str:
        self.ask("switch-a-schedule-on")
        schedules = self.ask("jobs-and-schedules")["schedules"]
        (one,) = (each for each in schedules if each["name"] == "hours_schedule")
        return str(one["scheduleState"]["id"])

    def _command(self, line: str) -> None:
        words = [word.strip('"') for word in line.split()]
        command = [str(Path(sys.executable).with_name(words[0])), *words[1:]]
        if line in LASTING:
            self._lasting(line, command)
            return
        where = self.project
        if line == "dccd logs":  # of a `dccd up`, so that ran there
            self.run(Call(Kind.COMMAND, "dccd up"))
            where = self.alone
        done = where.ran(*command)
        codes = (0, 1) if line.startswith("dccd status") else (0,)  # it says how all is: that may be badly
        assert done.returncode in codes, f"{line}: {done.stdout}{done.stderr}"

    def _lasting(self, line: str, command: list[str]) -> None:
        """Start it where no daemon does the same, wait until it works, and end it with Ctrl-C."""
        port = str(free_port()) if LASTING[line] else ""
        command = [port if word == LASTING[line] else word for word in command]
        if line == "dccd up":  # where others listen, or it itself did a moment ago
            command += ["--port", port]
        if line.startswith("dagster-webserver"):
            command += ["-h", "127.0.0.1", "-p", port]
        before = self._segments()
        with logged(self.alone, "lasting") as log:
            process = self.alone.started(*command, stdout=log, stderr=log)
            try:
                awaited(lambda: self._works(process, port, before), PATIENCE_S)
                process.send_signal(signal.SIGINT)
                assert process.wait(timeout=PATIENCE_S) in (0, 130), line
            finally:
                ended(process)

    def _segments(self) -> set[str]:
        """Return what streams have written to: each recording begins a new one."""
        return {str(one.path) for one in self.alone.lake.segments()}

    def _works(self, process: subprocess.Popen[str], port: str, before: set[str]) -> bool | None:
        assert process.poll() is None, (self.alone.folder / "lasting.log").read_text()
        if not port:
            return bool(self._segments() - before) or None
        try:
            path = "metrics" if "metrics" in str(process.args) else "server_info"
            return httpx.get(f"http://127.0.0.1:{port}/{path}", timeout=30).is_success or None
        except httpx.TransportError:
            return None

    def _python(self, line: str) -> None:
        lines = (
            "import asyncio, polars as pl",
            "from dccd_core import Lake",
            "lake = Lake()",
            "async def main():",
            f"    return {line}",
            "print(asyncio.run(main()))" if line.startswith("await") else f"print({line})",
        )
        done = self.project.ran("-c", "\n".join(lines))
        assert done.returncode == 0, f"{line}: {done.stderr}"

    def _page(self, path: str) -> None:
        shown = httpx.get(f"{self.web.url}{path}", timeout=60)
        assert shown.is_success
        assert "text/html" in shown.headers["content-type"]


def made(folder: Path, sandbox: RunningSandbox) -> Project:
    """Make a project of the document's dccd.yaml, with the sandbox in the exchange's place."""
    project = Project.make(folder, sandbox.rest_url("binance"))
    reach = {"rest_url": sandbox.rest_url("binance"), "ws_url": sandbox.ws_url("binance")}
    whole = {**former.configuration(), "exchanges": {"binance": reach}}
    (project.folder / "dccd.yaml").write_text(yaml.safe_dump(whole, sort_keys=False))
    return project


@pytest.fixture(scope="module")
def there(shared_sandbox: RunningSandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[There]:
    shared_sandbox.reset()
    folder = tmp_path_factory.mktemp("former")
    project, alone = made(folder / "project", shared_sandbox), made(folder / "alone", shared_sandbox)
    done = project.dccd("collect")
    assert done.returncode == 0, done.stderr
    with webserver(project) as web, daemon(project):
        yield There(project, alone, web)
    end_runs(project)


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_what_stands_there_works(row: Row, there: There) -> None:
    for call in row.calls:
        there.run(call)
