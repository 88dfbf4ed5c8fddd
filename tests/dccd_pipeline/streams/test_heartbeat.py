from collections.abc import Iterator
from dataclasses import replace

import dagster as dg
import pytest

from dccd_core.domain.timespan import SECOND, Us
from dccd_core.stream.api import StreamPlan
from dccd_pipeline.runs.processes import KEEPER, Process
from dccd_pipeline.streams.heartbeat import beat_of, read_beats, write_beat
from tests.dccd_pipeline.held import BOOKS, LONG_AFTER, TRADES
from tests.dccd_pipeline.streamed import health

HEALTH = health(StreamPlan("majors", (TRADES, BOOKS)), LONG_AFTER)
LATER = Us(LONG_AFTER + 30 * SECOND)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def test_what_is_written_is_read_and_replaced_by_the_next(instance: dg.DagsterInstance) -> None:
    first, other = beat_of("a", "digest", LATER, HEALTH), beat_of("c", "digest", LATER, None)
    write_beat(instance, "majors", beat_of("b", "digest", LATER, None))
    write_beat(instance, "majors", first)
    write_beat(instance, "minors", other)
    assert read_beats(instance, ["majors", "minors", "never"]) == {"majors": first, "minors": other}
    assert read_beats(instance, []) == {}


def test_a_beat_is_as_old_as_what_the_recorder_said_last() -> None:
    assert beat_of("a", "digest", LATER, HEALTH).at == LONG_AFTER
    assert beat_of("a", "digest", LATER, HEALTH).ready
    assert beat_of("a", "digest", LATER, None).at == LATER
    assert not beat_of("a", "digest", LATER, None).ready


def test_a_refused_dataset_says_so() -> None:
    one = replace(HEALTH.datasets[0], refused="no such symbol", last=None, lag=None)
    beat = beat_of("a", "digest", LATER, replace(HEALTH, datasets=(one,)))
    (row,) = beat.datasets
    assert (row.dataset, row.refused, row.last, row.lag) == (str(TRADES), "no such symbol", None, None)


def test_the_beat_of_another_version_is_none(instance: dg.DagsterInstance) -> None:
    instance.daemon_cursor_storage.set_cursor_values({"dccd/stream/majors": '{"version": 7}'})
    assert read_beats(instance, ["majors"]) == {}


def test_a_beat_says_which_process_gives_it_and_with_which_one_it_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(KEEPER, raising=False)
    beat = beat_of("a", "digest", LATER, None)
    assert (beat.process, beat.orphaned) == (Process.this(), False)
    monkeypatch.setenv(KEEPER, "7")
    assert beat_of("a", "digest", LATER, None).keeper == 7
