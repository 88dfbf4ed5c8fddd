"""``dccd alerts test``: one line to each address, and what came of it."""

from pathlib import Path

import pytest

from tests.dccd_pipeline.cli.terminal import dccd
from tests.dccd_pipeline.hooks import hook

pytestmark = pytest.mark.usefixtures("project")


def configure(project: Path, *addresses: str) -> None:
    """Have these addresses told; what follows in the file stays."""
    text = (project / "dccd.yaml").read_text()
    (project / "dccd.yaml").write_text(f"{text}\nalerts: {{to: {list(addresses)}}}\n")


def test_each_address_gets_a_line_and_all_took_it(project: Path) -> None:
    with hook() as one, hook() as other:
        configure(project, one.url, other.by_apprise)
        result = dccd("alerts", "test")
        assert result.stdout == "alerts.to[0] (http): taken\nalerts.to[1] (json): taken\n"
        assert result.exit_code == 0
        assert one.texts == other.texts
        assert one.texts[0].startswith("dccd on ")


def test_one_that_does_not_take_it_is_named_and_holds_back_no_other(project: Path) -> None:
    with hook(403) as one, hook() as other:
        configure(project, one.url, "http://tok3n@127.0.0.1:9/tok3n", other.url)
        result = dccd("alerts", "test")
        assert result.stdout.splitlines() == [
            "alerts.to[0] (http): not taken: HTTP 403",
            "alerts.to[1] (http): not taken: no connection",
            "alerts.to[2] (http): taken",
        ]
        assert result.exit_code == 1
        assert "tok3n" not in result.output


def test_where_nobody_is_told_that_is_said(project: Path) -> None:
    result = dccd("alerts", "test")
    assert result.exit_code == 2
    assert result.stderr == "nobody is told of anything -> write alerts: {to: [...]} into dccd.yaml\n"


def test_the_check_of_the_configuration_knows_addresses_that_apprise_does_not(project: Path) -> None:
    configure(project, "https://example.org/tok3n", "slak://tok3n", "json://localhost/tok3n")
    result = dccd("config", "check")
    assert result.exit_code == 2
    assert result.stderr.startswith("alerts.to[1] (slak): apprise knows no such address -> see https://")
    assert "tok3n" not in result.output
