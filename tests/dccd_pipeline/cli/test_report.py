"""``dccd report``, as it is typed."""

from pathlib import Path

import pytest

from dccd_core.lake.lake import LakeStore
from tests.dccd_pipeline.cli.terminal import dccd
from tests.dccd_pipeline.cli.test_status import ONE
from tests.dccd_pipeline.held import HOURS, bars, hold, whole

pytestmark = pytest.mark.usefixtures("own_home")


def test_the_page_lies_where_it_is_said(project: Path) -> None:
    (project / "dccd.yaml").write_text(ONE)
    told = dccd("report", "--charts", "0")
    assert told.exit_code == 1
    assert told.stdout.splitlines()[1] == str(project / "dccd-report.html")
    hold(LakeStore(project / "lake"), HOURS, "2024", bars(whole(HOURS, "2024")))
    told = dccd("report", "-o", "pages/one.html")
    assert told.exit_code == 0
    assert told.stdout.startswith("all is well: 1 dataset is complete")
    text = (project / "pages" / "one.html").read_text()
    assert "all is well" in text
    assert "<svg" in text
