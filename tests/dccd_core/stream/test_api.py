"""What a stream is told and tells, and that those who record or listen take it as it is written down."""

import inspect
from dataclasses import FrozenInstanceError, replace

import pytest

from dccd_core.api import work
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import SECOND, Us
from dccd_core.stream import replay
from dccd_core.stream.api import DatasetHealth, Listener, Phase, RecordStream, StreamHealth, StreamPlan
from dccd_core.stream.run import run_stream
from dccd_core.tables import DataType
from dccd_pipeline.cli import record
from dccd_pipeline.streams import report
from tests.dccd_pipeline.streamed import FakeRecorder

TRADES = Dataset("kraken", Symbol("BTC", "USD"), DataType.TRADES)
PLAN = StreamPlan("majors", (TRADES,))


def taken(function: object) -> list[str]:
    """Return the names of what a function takes, as its callers may write them."""
    assert callable(function)
    return [name for name in inspect.signature(function).parameters if name != "self"]


def test_a_plan_keeps_fifty_levels_each_second_and_pauses_nothing() -> None:
    assert (PLAN.depth, PLAN.snapshot_every, PLAN.paused) == (50, SECOND, frozenset())


def test_a_plan_is_another_one_only_if_something_in_it_is() -> None:
    """So a stream can be given the same one again, and loses nothing."""
    assert StreamPlan("majors", (TRADES,)) == PLAN
    changes = [{"paused": frozenset([TRADES])}, {"depth": 10}, {"name": "x"}, {"datasets": ()}]
    assert len({PLAN, *(replace(PLAN, **change) for change in changes)}) == 5
    with pytest.raises(FrozenInstanceError):
        PLAN.depth = 10  # pyright: ignore[reportAttributeAccessIssue]


def test_of_what_was_not_heard_of_yet_nothing_is_known() -> None:
    health = DatasetHealth(TRADES)
    assert health.phase is Phase.CONNECTING
    assert (health.rate, health.messages, health.rows, health.invalid, health.crossed) == (0.0, 0, 0, 0, 0)
    unknown = (health.last, health.lag, health.proven, health.since, health.refused, health.invalid_since)
    assert {*unknown, health.price, health.bid, health.ask} == {None}
    stream = StreamHealth(Us(2), Us(1), 0, 0, 0.0, 0, 0, (health,))
    assert (stream.phase, stream.tries, stream.why) == (Phase.CONNECTING, 0, "")


def test_a_phase_is_a_word_for_people_and_explained() -> None:
    assert [str(phase) for phase in Phase] == [phase.name.lower() for phase in Phase]
    assert [phase.name for phase in Phase if f"{phase.name}: " not in (Phase.__doc__ or "")] == []


@pytest.mark.parametrize("recorder", [run_stream, FakeRecorder.__call__])
def test_who_records_takes_what_a_recorder_is_given(recorder: RecordStream) -> None:
    assert taken(recorder) == taken(RecordStream.__call__)


LISTENERS = [
    found
    for module in (work, replay, record, report)
    for found in vars(module).values()
    if inspect.isclass(found) and hasattr(found, "beat") and found.__module__ == module.__name__
]


def test_all_that_listen_are_known() -> None:
    assert len(LISTENERS) >= 4


@pytest.mark.parametrize("listener", LISTENERS)
@pytest.mark.parametrize("name", ["beat", "folded", "note"])
def test_who_listens_is_told_by_the_same_names(listener: type[Listener], name: str) -> None:
    assert taken(getattr(listener, name)) == taken(getattr(Listener, name))
