"""The tour as somebody takes it: each command of it in an empty folder, then how to read the lake."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.e2e.project import ROOT, awaited, ended, free_port

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
BLOCK = re.compile(r"```(sh|python)\n(.*?)```", re.DOTALL)
STOPPED = 130
SHELL = ("bash", "-euo", "pipefail", "-c")
UNTIL_CTRL_C = "  # until Ctrl-C\n"
BEHIND = " &\n"


@dataclass(slots=True)
class Walk:
    """An empty folder, and what is typed there. ``ports``: those of the page, and free ones instead."""

    folder: Path
    ports: dict[str, str]
    said: list[str] = field(default_factory=list[str])

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("DCCD", "DAGSTER"))}
        programs = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
        return {**kept, "PATH": programs, "DCCD_STATE_DIR": str(self.folder / "state"), "COLUMNS": "200"}

    def blocks(self, document: str) -> list[tuple[str, str]]:
        """Return the blocks of a document that are to be run: their language, and what stands in them."""
        text = (ROOT / "docs" / document).read_text()
        for port, free in self.ports.items():
            text = text.replace(port, free)
        return BLOCK.findall(text)

    def run(self, *command: str) -> str:
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, text=True, capture_output=True, check=False
        )
        assert done.returncode == 0, f"{command[-1]}\n{done.stdout}{done.stderr}"
        self.said.append(done.stdout)
        return done.stdout

    def typed(self, language: str, block: str) -> str:
        return self.run(*SHELL, block) if language == "sh" else self.run(sys.executable, "-c", block)

    def tried(self, language: str, block: str) -> str | None:
        """Type a block that may be too early: when an hour is over, a busy machine is behind for a moment."""
        try:
            return self.typed(language, block)
        except AssertionError as e:
            sys.stderr.write(str(e))
            return None

    @contextmanager
    def behind(self, line: str) -> Generator[subprocess.Popen[str]]:
        """Start what goes on in another terminal."""
        with (self.folder / "behind.log").open("a") as log:
            process = subprocess.Popen(
                [*SHELL, f"exec {line}"],
                cwd=self.folder,
                env=self.environment,
                text=True,
                stdout=log,
                stderr=log,
            )
            try:
                yield process
            finally:
                ended(process)

    def well(self, word: str) -> bool | None:
        """Tell whether all is well, and status says so with this word."""
        found = subprocess.run(
            ["dccd", "status"],
            cwd=self.folder,
            env=self.environment,
            text=True,
            capture_output=True,
            check=False,
        )
        return (found.returncode == 0 and word in found.stdout) or None


@pytest.fixture
def walk(tmp_path: Path) -> Walk:
    (tmp_path / "empty").mkdir()
    return Walk(tmp_path / "empty", {"8900": str(free_port()), "3000": str(free_port())})


def test_the_tour_is_what_happens(walk: Walk) -> None:
    up: subprocess.Popen[str] | None = None
    with ExitStack() as running:
        for language, block in walk.blocks("tour.md"):
            if block.endswith(BEHIND):
                running.enter_context(walk.behind(block.removesuffix(BEHIND)))
                awaited(lambda: _answers(f"http://127.0.0.1:{walk.ports['8900']}/binance/api/v3/time"))
            elif block.endswith(UNTIL_CTRL_C):
                *first, last = block.removesuffix(UNTIL_CTRL_C).splitlines()
                walk.typed(language, "\n".join(first))
                up = running.enter_context(walk.behind(last))
                awaited(lambda: _answers(f"http://127.0.0.1:{walk.ports['3000']}/server_info"), 600)
                awaited(lambda: walk.well("recording"), 600)
            elif up:
                awaited(partial(walk.tried, language, block), 600)
            else:
                walk.typed(language, block)
        assert up
        up.send_signal(signal.SIGINT)
        assert up.wait(60) == STOPPED
        for language, block in (*walk.blocks("howto/read-it.md"), *walk.blocks("howto/keep-a-view.md")):
            walk.typed(language, block)
    said = "\n".join(walk.said)
    assert "never collected" in said
    assert "not yet" in said
    assert re.search(r"gone: 2025, the files vanished.*`dccd backfill binance BTC/USDT", said)
    assert "it was noticed" in said
    assert said.count("all is well") >= 3
    assert "shape: (0, 4)" in said, "there are gaps"
    assert "\n744\n" in said, "the bars of March"
    assert (walk.folder / "day.csv").read_text().count("\n") == 25
    assert "<html" in (walk.folder / "page.html").read_text()


def _answers(url: str) -> bool | None:
    try:
        return httpx.get(url, timeout=5).is_success or None
    except httpx.TransportError:
        return None
