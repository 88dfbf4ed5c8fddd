"""``dccd quarantine``, as it is typed."""

import json
from pathlib import Path

import polars as pl
import pytest

from dccd_core.lake.lake import LakeStore
from dccd_core.testing.sandbox.process import RunningSandbox
from tests.dccd_pipeline.cli.terminal import CONFIG, dccd, refused
from tests.dccd_pipeline.held import HOURS, MINUTES, bars, hold, whole

pytestmark = pytest.mark.usefixtures("project")
WHY = "the high is below the low"
ACCEPTED = """
accepted: [{dataset: binance/ohlc/BTC-USDT/1h, start: 2024-01-01, end: 2024-01-02, why: "known"}]
"""


@pytest.fixture
def lake(project: Path) -> LakeStore:
    """A year of hours; the sixth was refused, and is missing."""
    lake, opens = LakeStore(project / "lake"), list(whole(HOURS, "2024"))
    bad = bars([opens[5]], high=0.5).with_columns(reason=pl.lit(WHY))
    lake.quarantine(HOURS, "2024", bad)
    hold(lake, HOURS, "2024", bars(opens[:5] + opens[6:]))
    return lake


def test_rows_are_shown_with_their_reasons(lake: LakeStore) -> None:
    for words in (("quarantine",), ("quarantine", str(HOURS))):
        result = dccd(*words)
        assert result.exit_code == 1
        assert f"{HOURS} 2024: 1 count of 1: 1 x {WHY}" in result.stdout
        assert "2024-01-01T05:00:00Z" in result.stdout
        assert "high=0.5" in " ".join(result.stdout.split())
        assert (
            "1 row in quarantine, of 1 that were refused -> dccd quarantine [DATASET] --retry"
            in result.stdout
        )
    (told,) = json.loads(dccd("quarantine", "--json").stdout)
    assert (told["dataset"], told["partition"], told["counts"]) == (str(HOURS), "2024", 1)
    (row,) = told["rows"]
    assert (row["high"], row["reason"], row["accepted"]) == (0.5, WHY, None)
    assert row["ts"].startswith("2024-01-01T05:00:00")


def test_what_the_configuration_accepts_is_shown_and_does_not_count(lake: LakeStore, project: Path) -> None:
    (project / "dccd.yaml").write_text(CONFIG % "http://127.0.0.1:9" + ACCEPTED)
    result = dccd("quarantine")
    assert result.exit_code == 0, result.output
    assert "known" in result.stdout
    assert "nothing is in quarantine; refused before and settled by now: 1 row" in result.stdout
    (told,) = json.loads(dccd("quarantine", "--json").stdout)
    assert (told["counts"], told["rows"][0]["accepted"]) == (0, "known")


def test_an_absence_is_accepted_by_name_and_the_configuration_wins(lake: LakeStore, project: Path) -> None:
    assert "--accept is for one dataset, and for a reason" in refused("quarantine", "--accept", "known")
    assert "--accept is for one dataset" in refused("quarantine", str(HOURS), "--accept", " ")
    assert "exclude each other" in refused("quarantine", str(HOURS), "--accept", "a", "--retry")
    result = dccd("quarantine", str(HOURS), "--accept", "the venue's outage")
    assert result.exit_code == 0, result.output
    assert "settled by now: 1 row" in result.stdout
    (told,) = json.loads(dccd("quarantine", "--json").stdout)
    assert (told["counts"], told["rows"][0]["accepted"]) == (0, "the venue's outage")
    state = LakeStore(project / "lake").states(HOURS)["2024"]
    assert [hole.proof for hole in state.ledger.holes] == ["accepted: the venue's outage"]
    assert (state.ledger.gaps(), state.ledger.quarantined) == ((), 0)
    (project / "dccd.yaml").write_text(CONFIG % "http://127.0.0.1:9" + ACCEPTED)
    (told,) = json.loads(dccd("quarantine", "--json").stdout)
    assert (told["counts"], told["rows"][0]["accepted"]) == (0, "known")


def test_where_nothing_was_refused_nothing_is_shown(project: Path) -> None:
    hold(LakeStore(project / "lake"), MINUTES, "2024-01", bars(whole(MINUTES, "2024-01")))
    for words in (("quarantine",), ("quarantine", str(MINUTES)), ("quarantine", "--retry")):
        result = dccd(*words)
        assert result.exit_code == 0, result.output
        assert "settled by now: 0 rows" in result.stdout
    assert json.loads(dccd("quarantine", "--json").stdout) == []
    assert f"did you mean {MINUTES}?" in refused("quarantine", "binance/ohlc/BTC-USDT/2m")


def test_of_many_rows_the_first_are_drawn(lake: LakeStore) -> None:
    opens = list(whole(HOURS, "2024"))
    many = bars(opens[100:130], high=0.5).with_columns(reason=pl.lit(WHY))
    lake.quarantine(HOURS, "2024", many)
    result = dccd("quarantine")
    assert f"1 count of 31: 31 x {WHY}" in result.stdout  # of thirty there is a good row
    assert f"and 11 more: dccd quarantine {HOURS} --json" in result.stdout
    (told,) = json.loads(dccd("quarantine", "--json").stdout)
    assert len(told["rows"]) == 31


@pytest.mark.usefixtures("own_home")
def test_rows_are_asked_for_again(lake: LakeStore, project: Path, sandbox: RunningSandbox) -> None:
    (project / "dccd.yaml").write_text(CONFIG % sandbox.rest_url("binance"))
    result = dccd("quarantine", "--retry")
    assert result.exit_code == 0, result.output
    assert "nothing is in quarantine; refused before and settled by now: 1 row" in result.stdout
    again = LakeStore(project / "lake").states(HOURS)["2024"]
    assert (again.rows, again.ledger.gaps(), again.ledger.quarantined) == (8_784, (), 0)
