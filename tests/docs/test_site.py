"""The site as ``make docs`` builds it: links lead somewhere, all of it is here, it takes no server."""

import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from docs.hooks.links import loaded_from_elsewhere
from docs.hooks.pages import pages
from docs.hooks.site import decisions, made, source
from tests.docs.documents import ROOT

CHROMIUM = shutil.which("chromium")
QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
BROUGHT = ("CONTRIBUTING.md", "CHANGELOG.md", "README.md", "mkdocs.yml")


def test_pages_that_are_made_say_where_they_are_from() -> None:
    assert {"contributing.md", "changelog.md", "decisions/index.md", *pages()} == set(made())
    assert source("contributing.md") == "CONTRIBUTING.md"
    assert source("howto/free-disk.md") == "docs/howto/free-disk.md"
    files = [one.name for one in (ROOT / "docs" / "decisions").glob("0*.md")]
    assert [name for name in files if f"]({name})" not in decisions()] == []


def test_each_page_has_its_place() -> None:
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    named = set(re.findall(r"[\w/-]+\.md", str(nav)))
    written = {str(one.relative_to(ROOT / "docs")) for one in (ROOT / "docs").rglob("*.md")}
    lacking = {one for one in (*written, *made()) if not one.startswith("decisions/0")} - named
    assert lacking == set(), "write them under nav in mkdocs.yml"
    assert named - written - {*made()} == set()


def build(folder: Path, site: Path) -> subprocess.CompletedProcess[str]:
    if find_spec("mkdocs") is None:
        pytest.skip("it takes mkdocs, that `make docs` brings")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "docs"
    done = build(ROOT, folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_the_site_holds_each_page_and_loads_nothing_from_elsewhere(site: Path) -> None:
    written = [str(one.relative_to(ROOT / "docs")) for one in (ROOT / "docs").rglob("*.md")]
    wanted = {str(Path(one).with_suffix(".html")) for one in (*written, *made())}
    found = {str(one.relative_to(site)): one.read_text() for one in site.rglob("*.html")}
    assert wanted - {*found} == set()
    assert {name: tags for name, text in found.items() if (tags := loaded_from_elsewhere(text))} == {}
    assert [
        one for one in site.rglob("*.css") if re.search(r"url\([\"']?https?:|@import", one.read_text())
    ] == []
    assert list(site.rglob("*.py")) == []
    assert "unpkg" not in found["index.html"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("link", "said"), [("[x](nowhere.md)", "nowhere.md"), ("[x](lake.md#nowhere)", "#nowhere")]
)
def test_a_link_that_leads_nowhere_fails_the_build(link: str, said: str, tmp_path: Path) -> None:
    for name in ("docs", "deploy", "examples"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in BROUGHT:
        shutil.copy(ROOT / name, tmp_path)
    with (tmp_path / "docs" / "metrics.md").open("a") as page:
        page.write(f"\n{link}\n")
    done = build(tmp_path, tmp_path / "site")
    assert done.returncode != 0
    assert said in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here")
def test_one_can_search_in_it_without_a_server(site: Path, tmp_path: Path) -> None:
    assert CHROMIUM
    where = (f"--user-data-dir={tmp_path}", "--virtual-time-budget=20000", "--dump-dom")
    shown = subprocess.run(
        [CHROMIUM, *QUIET, *where, f"{(site / 'index.html').as_uri()}?q=quarantine"],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    ).stdout
    assert re.search(r"\d+ matching documents", shown)
    assert "<mark" in shown
