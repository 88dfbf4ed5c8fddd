"""What is accepted by name is explained, stays so, and is a gap again for nobody."""

from pathlib import Path

import polars as pl
import pytest

from dccd_core.api.unasked import unasked
from dccd_core.domain.errors import LakeError
from dccd_core.domain.timespan import MINUTE, Us
from dccd_core.fetch.accept import accept
from dccd_core.lake.lake import LakeStore
from dccd_core.net.clock import ManualClock
from tests.dccd_pipeline.held import LONG_AFTER, MINUTES, bars, hold, whole

VENUE = unasked("binance", ManualClock(LONG_AFTER))


@pytest.fixture
def lake(tmp_path: Path) -> LakeStore:
    """A month of minutes without three: one was refused, one stood between two, one is just missing."""
    lake, opens = LakeStore(tmp_path), list(whole(MINUTES, "2024-01"))
    bad = pl.concat([bars([opens[5]]), bars([opens[20] + MINUTE // 2])]).with_columns(reason=pl.lit("a test"))
    lake.quarantine(MINUTES, "2024-01", bad)
    hold(lake, MINUTES, "2024-01", bars(o for n, o in enumerate(opens) if n not in (5, 20, 40)))
    return lake


def test_the_absence_of_what_was_refused_is_accepted_and_nothing_else(lake: LakeStore) -> None:
    before = lake.state(MINUTES, "2024-01")
    assert before
    assert (len(before.ledger.gaps()), before.ledger.quarantined) == (3, 2)
    after = accept(VENUE, lake, MINUTES, "2024-01", "an outage")
    assert after == lake.state(MINUTES, "2024-01") == lake.known(MINUTES, "2024-01")
    opens = list(whole(MINUTES, "2024-01"))
    assert [gap.span.start for gap in after.ledger.gaps()] == [opens[40]]
    assert [hole.proof for hole in after.ledger.holes] == ["accepted: an outage", "accepted: an outage", None]
    assert after.content_hash == before.content_hash
    assert lake.quarantined(MINUTES, "2024-01").height == 2


def test_it_stays_accepted_and_a_good_row_takes_its_place(lake: LakeStore) -> None:
    accept(VENUE, lake, MINUTES, "2024-01", "an outage")
    opens = list(whole(MINUTES, "2024-01"))
    state = hold(lake, MINUTES, "2024-01", bars([opens[40]]), at=Us(LONG_AFTER + 1))
    assert state.ledger.gaps() == ()
    assert len(state.ledger.holes) == 2
    state = hold(lake, MINUTES, "2024-01", bars([opens[5]]), at=Us(LONG_AFTER + 2))
    assert [hole.span.start for hole in state.ledger.holes] == [opens[20]]
    assert state.ledger.gaps() == ()


def test_what_has_no_file_has_no_ledger_to_say_it(tmp_path: Path) -> None:
    with pytest.raises(LakeError, match="it has no file yet"):
        accept(VENUE, LakeStore(tmp_path), MINUTES, "2024-01", "an outage")
