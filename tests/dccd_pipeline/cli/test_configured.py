"""``dccd config``."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from tests.dccd_pipeline.cli.terminal import dccd

pytestmark = pytest.mark.usefixtures("project")


def test_a_sound_configuration_is_counted(project: Path) -> None:
    result = dccd("config", "check")
    assert result.exit_code == 0
    assert result.stdout == "dccd.yaml: 1 entry, 2 datasets, all can be collected\n"


def test_each_mistake_in_the_configuration_is_a_line(project: Path) -> None:
    (project / "dccd.yaml").write_text("stor: x\ncollect: [{exchange: binanc}]")
    result = dccd("config", "check")
    assert result.exit_code == 2
    assert {line.partition(": ")[0] for line in result.stderr.splitlines()} == {
        "stor",
        "collect[0].exchange",
        "collect[0].data_type",
        "collect[0].symbols",
    }
    assert dccd("inventory").exit_code == 2


def test_the_schema_is_one_that_the_configuration_passes(project: Path) -> None:
    schema = json.loads(dccd("config", "schema").stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    raw = yaml.safe_load((project / "dccd.yaml").read_text().replace("2024-01-01", "'2024-01-01'"))
    jsonschema.validate(raw, schema)


def test_the_check_counts_streams(own_home: Path) -> None:
    assert dccd("config", "check").stdout.splitlines()[-1] == "1 stream, 1 dataset, all can be recorded"
