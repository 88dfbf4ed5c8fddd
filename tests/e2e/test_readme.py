"""What the README begins with: the demo, then a first configuration of one's own."""

import re
from pathlib import Path

import pytest
import yaml

from dccd_core.domain.dataset import Dataset, partition_keys
from dccd_core.domain.timespan import TimeRange, parse_time
from dccd_core.lake.partition.ledger import Condition
from dccd_core.testing.sandbox.process import RunningSandbox
from dccd_pipeline.assets.progress import condition_of
from dccd_pipeline.config.capabilities import present
from tests.e2e.project import BTC, ROOT, Project

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def first_configuration() -> str:
    """Return the README's first dccd.yaml."""
    found = re.search(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert found
    return found[1]


def test_the_demo_and_then_a_first_configuration_of_one_s_own(
    sandbox: RunningSandbox, tmp_path: Path
) -> None:
    """0e899d4: what the demo's runs brought counts for the new store: it is never asked for."""
    project = Project.make(tmp_path / "project", sandbox.rest_url("binance"))
    file = project.folder / "dccd.yaml"
    file.unlink()
    shown = project.dccd("demo")
    assert shown.returncode == 0, shown.stderr
    assert "binance/ohlc/BTC-USDT/1m" in shown.stdout
    verdict, page = shown.stdout.splitlines()[-2:]
    assert verdict.startswith("all is well: ")
    assert "<html" in Path(page).read_text()

    own = yaml.safe_load(first_configuration())
    (entry,) = (one for one in own["collect"] if one["exchange"] == "binance")
    reach = {"exchanges": {"binance": {"rest_url": sandbox.rest_url("binance")}}}
    file.write_text(first_configuration() + yaml.safe_dump(reach))
    done = project.dccd("collect", "binance")
    assert done.returncode == 0, done.stderr

    months = list(partition_keys(BTC.grain, TimeRange(parse_time(str(entry["start"])), present())))
    assert months[0] == "2024-01"
    for symbol in entry["symbols"]:
        dataset = Dataset.parse(f"binance/ohlc/{symbol.replace('/', '-')}/1m")
        states = project.settings.lake().states(dataset)
        assert list(states) == months
        conditions = {condition_of(dataset, key, states[key]) for key in months[:-1]}
        assert conditions == {Condition.AVAILABLE}
