"""Which exchanges are examined."""

import json
from pathlib import Path

import pytest

from dccd_core.exchanges import NAMES
from dccd_core.testing.sandbox.process import RunningSandbox
from dccd_pipeline.cli.doctor import examinable
from dccd_pipeline.config.read import embedded_settings, parse_settings
from dccd_pipeline.config.settings import Origin
from tests.dccd_pipeline.cli.terminal import dccd, refused

pytestmark = pytest.mark.usefixtures("project")


def findings(exit_code: int, *names: str) -> dict[str, set[bool]]:
    """Return for each exchange in the order of the answer which marks it got."""
    result = dccd("doctor", *names, "--json")
    assert result.exit_code == exit_code, result.output
    marks: dict[str, set[bool]] = {}
    for one in json.loads(result.stdout):
        assert one.keys() == {"exchange", "subject", "ok", "said", "hint"}
        marks.setdefault(one["exchange"], set()).add(one["ok"])
    return marks


def test_the_doctor_asks_the_configured_exchanges_or_those_named(
    project: Path, sandbox: RunningSandbox
) -> None:
    urls = ", ".join(f'{name}: {{rest_url: "{sandbox.rest_url(name)}"}}' for name in ("kraken", "binance"))
    (project / "dccd.yaml").write_text(f"exchanges: {{{urls}}}")
    assert findings(0) == {"binance": {True}, "kraken": {True}}
    assert findings(0, "kraken") == {"kraken": {True}}
    said = dccd("doctor", "kraken")
    assert said.exit_code == 0
    assert said.stdout.startswith("ok   kraken connection: answered in ")
    assert refused("doctor", "krakn") == "unknown exchange 'krakn' -> did you mean 'kraken'?"
    assert refused("doctor", "bitmex").startswith("BitMEX closed on 2026-09-23 -> set exchanges.bitmex")


def test_without_a_configuration_every_open_exchange_is_examined() -> None:
    assert examinable(embedded_settings()) == [name for name in NAMES if name != "bitmex"]
    assert examinable(parse_settings("", Origin("dccd.yaml", Path()))) == examinable(embedded_settings())
    some = "exchanges: {bitmex: {rest_url: http://h}, kraken: {budget: 0.5}}"
    assert examinable(parse_settings(some, Origin("dccd.yaml", Path()))) == ["kraken"]
