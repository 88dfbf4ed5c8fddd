"""What a run said, as lines."""

from collections.abc import Iterator

import dagster as dg
import pytest

from dccd_core.domain.errors import ConfigError
from dccd_pipeline.cli.runlines import run_lines
from dccd_pipeline.config.read import settings_of
from dccd_pipeline.tags import STREAM

SETTINGS = settings_of(
    {"stream": [{"name": "majors", "exchange": "binance", "symbols": ["BTC/USDT"], "data_types": ["trades"]}]}
)


@dg.op
def speak(context: dg.OpExecutionContext) -> None:
    context.log.info("first word")
    context.log.warning("last word")


@dg.job(name="stream_majors", tags={STREAM: "majors"})
def speaking() -> None:
    speak()


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def test_the_words_of_the_youngest_run_are_lines(instance: dg.DagsterInstance) -> None:
    speaking.execute_in_process(instance=instance)
    younger = speaking.execute_in_process(instance=instance).run_id
    lines = list(run_lines(instance, SETTINGS, "majors", 200))
    assert any(" INFO     speak: first word" in line for line in lines)
    assert any(" WARNING  speak: last word" in line for line in lines)
    assert lines == list(run_lines(instance, SETTINGS, younger[:8], 200)), "it is the same run"
    assert list(run_lines(instance, SETTINGS, "majors", 2)) == lines[-2:]
    assert list(run_lines(instance, SETTINGS, "majors", 0)) == []


def test_a_run_that_has_ended_is_followed_to_its_end(instance: dg.DagsterInstance) -> None:
    speaking.execute_in_process(instance=instance)
    shown = list(run_lines(instance, SETTINGS, "majors", 200))
    assert list(run_lines(instance, SETTINGS, "majors", 200, follow=True)) == shown


def test_one_that_goes_on_is_followed(instance: dg.DagsterInstance) -> None:
    run = instance.create_run_for_job(speaking, tags={STREAM: "majors"}, status=dg.DagsterRunStatus.STARTED)
    lines = run_lines(instance, SETTINGS, "majors", 200, follow=True, look_s=0)
    instance.report_engine_event("halfway", run)
    assert next(lines).endswith("halfway")
    instance.report_engine_event("nearly there", run)
    assert next(lines).endswith("nearly there")
    instance.report_run_canceled(run)
    assert len(list(lines)) == 1


def test_an_event_without_words_is_called_by_what_it_is(instance: dg.DagsterInstance) -> None:
    """Of each run the first two lines of `dccd logs` were empty."""
    run = instance.create_run_for_job(speaking, tags={STREAM: "majors"})
    event = dg.DagsterEvent(dg.DagsterEventType.RUN_STARTING.value, run.job_name)
    instance.report_dagster_event(event, run.run_id)
    (line,) = run_lines(instance, SETTINGS, "majors", 1)
    assert line.endswith(" INFO     run starting")


def test_what_never_ran_is_said(instance: dg.DagsterInstance) -> None:
    with pytest.raises(ConfigError, match="nothing of majors has run yet"):
        next(run_lines(instance, SETTINGS, "majors", 200))
