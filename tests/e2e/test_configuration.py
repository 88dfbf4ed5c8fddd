"""D6: a typo saved into a running project, a reload, a restart of the code server; then the fix."""

from pathlib import Path

import pytest

from tests.e2e.project import NEVER, Project, Web, bars, webserver
from tests.e2e.test_webserver import LOCATION

pytestmark = pytest.mark.e2e
RELOAD = """
mutation($location: String!) { reloadRepositoryLocation(repositoryLocationName: $location) {
  __typename ... on WorkspaceLocationEntry { locationOrLoadError {
    __typename ... on PythonError { message } } } } }
"""
SHOWN = """
query($repository: RepositorySelector!) { repositoryOrError(repositorySelector: $repository) {
  __typename ... on Repository { schedules { name } jobs { name } } } }
"""
SENSOR = """
mutation($sensor: SensorSelector!) { sensorDryRun(selectorData: $sensor, cursor: null) {
  __typename ... on DryRunInstigationTick { evaluationResult { error { message cause { message } } } } } }
"""


def test_d6_the_code_location_outlives_a_typo(tmp_path: Path) -> None:
    """0e899d4: after the reload the location is an error, without jobs, schedules and streams."""
    stream = "{name: majors, exchange: binance, symbols: [BTC/USDT], data_types: [trades]}"
    entry, more = bars("BTC/USDT", "2024-01-01", NEVER), f"stream:\n  - {stream}"
    project = Project.make(tmp_path / "project", "http://127.0.0.1:9", entry, more=more)
    file = project.folder / "dccd.yaml"
    good = file.read_text()
    with webserver(project) as web:
        before = shown(web)
        assert {"binance_ohlc_1m", "stream_majors"} <= before
        file.write_text(good.replace("span: 1m", "span: 7m"))
        reload(web)
        assert shown(web) == before
        assert "nearest is 5m" in said_by_the_sensor(web)
    with webserver(project) as web:  # a code server that starts with the mistake
        assert shown(web) == before
        file.write_text(good.replace("span: 1m", "span: 5m"))
        reload(web)
        assert "binance_ohlc_5m" in shown(web)
        assert said_by_the_sensor(web) == ""


def reload(web: Web) -> None:
    name = LOCATION["repositoryLocationName"]
    found = web.ask(RELOAD, location=name)["reloadRepositoryLocation"]["locationOrLoadError"]
    assert found["__typename"] == "RepositoryLocation", found


def shown(web: Web) -> set[str]:
    found = web.ask(SHOWN, repository=LOCATION)["repositoryOrError"]
    return {one["name"] for one in (*found["schedules"], *found["jobs"])}


def said_by_the_sensor(web: Web) -> str:
    sensor = {**LOCATION, "sensorName": "configuration"}
    result = web.ask(SENSOR, sensor=sensor)["sensorDryRun"]["evaluationResult"]
    return result["error"]["cause"]["message"] if result["error"] else ""
