"""Debian's Chromium, as a test drives it: what is on a page, and what its console said.

Dagster's page changes with its versions: what is looked for is what a person reads, never a class or a path.
See https://playwright.dev/python/docs/api/class-page
"""

import io
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from PIL import Image

from tests.e2e.project import HANGS_S

PICTURES: Final = "DCCD_PICTURES"
"""The folder for pictures; without it a test's own."""
LARGEST: Final = 150_000
_COLOURS: Final = 128
_ENGINE: Final = "playwright.sync_api"
_QUIET: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_ELSEWHERE: Final = """(folder) => {
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (folder && texts.nextNode()) {
    const text = texts.currentNode;
    if (text.data.includes(folder)) text.data = text.data.replaceAll(folder, "/srv/lake");
  }
}"""
_NOT_OURS: Final = ("ResizeObserver loop",)
"""What Dagster's own page says now and then, and nobody can mend here."""


@dataclass
class Browser:
    """A window. ``errors``: what scripts stumbled over, with the page on which they did.

    ``hidden``: the folder of this machine that no picture shows.
    """

    page: Any
    folder: Path
    hidden: str = ""
    errors: list[str] = field(default_factory=list[str])

    def open(self, url: str, *texts: str) -> None:
        """Go to a page, and wait until all of these can be read on it."""
        self.page.goto(url)
        for text in texts:
            self.see(text)

    def see(self, text: str, *, exact: bool = False) -> None:
        """Wait until somebody can read ``text``."""
        self.page.get_by_text(text, exact=exact).filter(visible=True).first.wait_for()

    def press(self, name: str, within: Any = None, *, exact: bool = False) -> None:
        """Press the button with this name as soon as it can be pressed."""
        (within or self.page).get_by_role("button", name=name, exact=exact).first.click()

    def note(self, error: object) -> None:
        if not any(known in str(error) for known in _NOT_OURS):
            self.errors.append(f"{self.page.url}: {error}")

    def note_told(self, told: Any) -> None:
        if told.type == "error":
            self.note(told.text)

    @property
    def dialog(self) -> Any:
        return self.page.get_by_role("dialog")

    def picture(self, name: str) -> Path:
        """Take a picture of what is to be seen, small enough to be kept in a repository."""
        self.page.mouse.move(0, 0)
        self.page.wait_for_timeout(1_500)  # what moves comes to rest
        self.page.evaluate(_ELSEWHERE, self.hidden)
        taken = Image.open(io.BytesIO(self.page.screenshot()))
        file = self.folder / f"{name}.png"
        taken.convert("RGB").quantize(_COLOURS, Image.Quantize.MAXCOVERAGE).save(file, optimize=True)
        return file


@contextmanager
def chromium(folder: Path, **looks: Any) -> Generator[Browser]:
    """Open a window; ``looks``: other sizes or colours than those of a light desk.

    Skips the test where there is no Chromium or nothing to drive it with, as on the machine of CI.
    """
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("there is no chromium: apt-get install chromium")
    engine: Any = pytest.importorskip(_ENGINE, reason="playwright is in the group `pictures`: make pictures")
    kept = Path(os.environ.get(PICTURES, folder))
    kept.mkdir(parents=True, exist_ok=True)
    with engine.sync_playwright() as started:
        run = started.chromium.launch(executable_path=program, args=list(_QUIET))
        page = run.new_context(**{"viewport": {"width": 1280, "height": 860}, **looks}).new_page()
        page.set_default_timeout(HANGS_S * 1_000)
        browser = Browser(page, kept)
        page.on("pageerror", browser.note)
        page.on("console", browser.note_told)
        try:
            yield browser
        finally:
            run.close()
