"""What only a browser shows: Dagster's page over a lake that is not well, and the page of `dccd report`.

``make pictures`` runs this with a folder of the documentation for the pictures.
"""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import TimeRange, parse_time
from dccd_core.testing.sandbox.faults import Fault, FaultKind
from dccd_core.testing.sandbox.process import RunningSandbox
from dccd_pipeline.answer.calendar import calendar
from dccd_pipeline.answer.gather import Answer
from dccd_pipeline.answer.page import Drawn, page
from tests.dccd_pipeline.answer.statuses import ILL, NOW, WELL
from tests.dccd_pipeline.held import HOURS, state
from tests.e2e.browser import LARGEST, Browser, chromium
from tests.e2e.project import Project, Web, awaited
from tests.e2e.test_up import Running, up

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
YEARS = datetime.now(UTC).year - 2024
"""So many partitions of bars of an hour are over."""
LOCATION = "locations/dccd_pipeline.definitions/jobs"
COLLECT = """
  - {exchange: binance, symbols: [BTC/USDT, ETH/USDT], data_type: ohlc, span: 1h, start: 2024-01-01}
  - {exchange: binance, symbols: [NOPE/USDT], data_type: ohlc, span: 1h, start: 2024-01-01, name: unknown}
  - {exchange: binance, symbols: [BTC/USDT], data_type: ohlc, span: 1d, start: 2022-01-01, enabled: false}
stream:
  - {name: majors, exchange: binance, symbols: [BTC/USDT, ETH/USDT], data_types: [trades]}
"""
DAYS = Dataset.parse("binance/ohlc/BTC-USDT/1d")
GAP = "2025-05-06: a gap nobody can explain; 8,706 rows in 2025"
WHERE = """([name, on]) => {
  const labelled = (one) => one.getAttribute("aria-label").includes(name);
  const {told, at} = [...document.querySelectorAll("canvas")].find(labelled);
  const day = Math.round((Date.parse(on) - told.start) / 86400000);
  const year = at.places.find((one) => day >= one.day && day < one.end), slot = day - year.day + year.shift;
  const half = 0.4 * at.pitch;
  return [year.x + Math.floor(slot / 7) * at.pitch + half, year.y + 14 + slot % 7 * at.pitch + half];
}"""
DRAWN = "[...document.querySelectorAll('canvas')].filter((one) => one.at).length"
RUNS = """
query($job: String!) { runsOrError(filter: {pipelineName: $job}) {
  ... on Runs { results { runId status } } } }
"""


def test_what_is_wrong_can_be_seen_and_a_click_helps(sandbox: RunningSandbox, tmp_path: Path) -> None:
    project = not_well(sandbox, tmp_path)
    with up(project) as running, chromium(tmp_path / "pictures") as browser:
        running.said("ready: ")
        browser.hidden = str(project.folder)
        web = Web(running.url)
        for entry in ("binance_ohlc_1h", "unknown"):
            project.dccd("collect", entry)  # as its schedule would, within the hour
        recorded(web)
        see_datasets(browser, running)
        see_checks(browser, running)
        see_stream(browser, running)
        terminate_and_resume(browser, running, web)
        launch_a_backfill(browser, running, project)
        assert browser.errors == []
        taken = list(browser.folder.glob("*.png"))
    assert max(file.stat().st_size for file in taken) < LARGEST
    see_page(project, tmp_path)


def not_well(sandbox: RunningSandbox, tmp_path: Path) -> Project:
    """Return a project with a gap, a symbol that does not exist, and a stream."""
    start, end = parse_time("2025-05-05T03:00"), parse_time("2025-05-07T09:00")
    sandbox.faults([Fault(kind=FaultKind.GAPS, path="klines", symbol="ETHUSDT", start=start, end=end)])
    project = Project.make(tmp_path / "project", sandbox.rest_url("binance"))
    reach = {"rest_url": sandbox.rest_url("binance"), "ws_url": sandbox.ws_url("binance")}
    exchanges = json.dumps({"binance": reach})
    (project.folder / "dccd.yaml").write_text(f"store: ./data\nexchanges: {exchanges}\ncollect:{COLLECT}")
    return project


def recorded(web: Web) -> None:
    awaited(lambda: "STARTED" in statuses(web, "stream_majors").values() or None)


def statuses(web: Web, job: str) -> dict[str, str]:
    return {run["runId"]: run["status"] for run in web.ask(RUNS, job=job)["runsOrError"]["results"]}


def see_datasets(browser: Browser, running: Running) -> None:
    """What is complete is green, and nothing else is."""
    browser.open(f"{running.url}/assets", "collect / unknown", "Materialized")
    browser.picture("catalog")
    for symbol, green in (("BTC", YEARS), ("ETH", YEARS - 1), ("NOPE", 0)):
        bars = f"/assets/binance/ohlc/{symbol}-USDT/1h"
        browser.open(f"{running.url}{bars}?view=partitions", f"Materialized ({green})")
    good = "/assets/binance/ohlc/BTC-USDT/1h?view=partitions&partition=2025"
    browser.open(f"{running.url}{good}", "available", "covered_until")
    browser.picture("partition")
    browser.open(f"{running.url}/assets/binance/ohlc/ETH-USDT/1h?view=events", "2025")
    browser.page.get_by_text("2025", exact=True).first.click()
    browser.see("degraded")
    browser.see("2025-05-05T03:00:00Z")


def see_checks(browser: Browser, running: Running) -> None:
    browser.open(f"{running.url}/assets/binance/ohlc/ETH-USDT/1h", "Latest check results")
    browser.picture("asset")
    browser.open(f"{running.url}/assets/binance/ohlc/ETH-USDT/1h?view=checks&checkDetail=complete", "Failed")
    browser.see("2025: 1 gaps, 54 rows missing")
    browser.picture("checks")
    browser.open(f"{running.url}/assets/binance/ohlc/NOPE-USDT/1h?view=checks&checkDetail=complete", "Failed")
    browser.see("nothing of it is stored")


def see_stream(browser: Browser, running: Running) -> None:
    browser.open(f"{running.url}/assets/stream/majors", "How the stream majors is", "recording")
    browser.picture("stream")


def terminate_and_resume(browser: Browser, running: Running, web: Web) -> None:
    """Dagster's own buttons do it, and what a user stopped stays stopped."""
    (first,) = (run for run, status in statuses(web, "stream_majors").items() if status == "STARTED")
    browser.open(f"{running.url}/runs/{first}", "record_majors")
    browser.press("Terminate")
    browser.press("Terminate 1 run", browser.dialog)
    awaited(lambda: statuses(web, "stream_majors")[first] == "CANCELED" or None)
    browser.open(f"{running.url}/{LOCATION}/stream_majors/playground", "stream_majors")
    browser.press("Launch Run")
    awaited(lambda: list(statuses(web, "stream_majors").values()).count("STARTED") == 1 or None)
    browser.open(f"{running.url}/runs", "stream_majors")
    browser.picture("runs")


def launch_a_backfill(browser: Browser, running: Running, project: Project) -> None:
    """Of an entry that is off, so that nobody else does it."""
    browser.open(f"{running.url}/assets/binance/ohlc/BTC-USDT/1d", "Never materialized")
    browser.press("Materialize")
    browser.dialog.get_by_role("button", name="All", exact=True).click()
    browser.picture("backfill")
    browser.press("Launch backfill", browser.dialog)
    browser.see("Created backfill")
    awaited(lambda: "2022" in project.lake.states(DAYS) or None)


def see_page(project: Project, tmp_path: Path) -> None:
    """One file, in the light, in the dark, on a phone."""
    file = tmp_path / "page.html"
    told = project.dccd("report", "-o", str(file))
    assert told.returncode == 1, told.stdout
    with chromium(tmp_path / "pictures") as browser:
        browser.hidden = str(project.folder)
        browser.open(file.as_uri(), "not well: ", "Invalid symbol")
        browser.picture("report")
        browser.page.get_by_role("img", name="calendar of binance/ohlc/ETH").scroll_into_view_if_needed()
        browser.page.wait_for_timeout(500)
        assert browser.page.locator("svg").count() >= 2, "prices"
        assert said_at(browser, "ETH-USDT/1h", "2025-05-06") == GAP
        assert browser.errors == []
    with chromium(tmp_path / "pictures", color_scheme="dark") as browser:
        browser.open(file.as_uri(), "not well: ")
        browser.page.get_by_text("Prices and rows").scroll_into_view_if_needed()
        browser.page.mouse.wheel(0, 2_000)
        browser.picture("report-dark")
    with chromium(tmp_path / "pictures", viewport={"width": 390, "height": 844}) as browser:
        browser.open(file.as_uri(), "not well: ")
        browser.page.get_by_role("searchbox").scroll_into_view_if_needed()
        assert browser.page.evaluate("document.documentElement.scrollWidth") == 390, "nothing sticks out"
        browser.picture("report-phone")
        assert browser.errors == []


def said_at(browser: Browser, name: str, day: str) -> str:
    """Return what the pointer says on a day of the calendar of a dataset."""
    where = browser.page.evaluate(WHERE, [name, day])
    shown = browser.page.get_by_role("img", name=f"calendar of binance/ohlc/{name}")
    shown.hover(position={"x": where[0], "y": where[1]})
    return str(browser.page.inner_text("#hint"))


def test_a_page_of_a_thousand_datasets_stays_usable(tmp_path: Path) -> None:
    """Calendars are drawn as they come into sight; a field and a box find what matters."""
    names = [Dataset.parse(f"binance/ohlc/C{n}-USDT/1h") for n in range(1_000)]
    ill = [replace(ILL, dataset=one, problems=(f"{one}: a gap",)) for one in names[::25]]
    well = [replace(WELL, dataset=one) for one in names if one not in {each.dataset for each in ill}]
    year = TimeRange(parse_time("2023-01-01"), parse_time("2025-01-01"))
    days = calendar(HOURS, {"2023": state(HOURS, "2023"), "2024": state(HOURS, "2024")}, year)
    found = Answer(NOW, "not well", ("a gap",), (), (*ill, *well), (), (), ())
    file = tmp_path / "page.html"
    file.write_text(page(found, Drawn(dict.fromkeys(names, days), {}, "")))
    with chromium(tmp_path / "pictures") as browser:
        browser.open(file.as_uri(), "40 not well")
        awaited(lambda: browser.page.evaluate(DRAWN) or None)
        assert browser.page.evaluate(DRAWN) < 100
        assert browser.page.locator(".dataset").first.get_attribute("data-name") == str(names[0])
        field = browser.page.get_by_role("searchbox")
        field.fill("c77 1h")
        assert browser.page.locator(".dataset:visible").count() == 11
        field.fill("")
        browser.page.get_by_role("checkbox").check()
        assert browser.page.locator(".dataset:visible").count() == 40
        field.fill("nothing like it")
        browser.see("no dataset is so")
        assert browser.errors == []
