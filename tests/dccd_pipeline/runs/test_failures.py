from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest

from dccd_core.domain.timespan import HOUR, Us, parse_time
from dccd_core.net.clock import ManualClock
from dccd_pipeline.config.alerts import Alerts
from dccd_pipeline.config.lastgood import Loaded
from dccd_pipeline.config.settings import Settings
from dccd_pipeline.runs import failures
from dccd_pipeline.runs.failures import configuration_sensor, failure_sensor, failure_text, recovery_sensor
from dccd_pipeline.runs.outbox import refusing_lines
from dccd_pipeline.tags import FAILING
from tests.dccd_pipeline.hooks import Hook, hook

LINE = "binance/ohlc/X-USDT/1h 2024: [binance /api/v3/klines X/USDT] HTTP 400: -1121 Invalid symbol."


@dg.op(config_schema={"how": str})
def break_down(context: dg.OpExecutionContext) -> None:
    how = context.op_config["how"]
    if how == "told":
        raise dg.Failure(f"1 of 1 datasets failed\n{LINE}")
    if how == "defect":
        raise ValueError("unforeseen")


@dg.job
def collecting() -> None:
    break_down()


@dg.job
def other() -> None:
    break_down()


def config(how: str) -> dict[str, Any]:
    return {"ops": {"break_down": {"config": {"how": how}}}}


def run(
    instance: dg.DagsterInstance, how: str, job: dg.JobDefinition = collecting
) -> dg.RunFailureSensorContext | None:
    result = job.execute_in_process(config(how), instance=instance, raise_on_error=False)
    if result.success:
        return None
    event = next(e for e in result.all_events if e.event_type is dg.DagsterEventType.RUN_FAILURE)
    context = dg.build_run_status_sensor_context("run_failures", event, instance, result.dagster_run)
    return context.for_run_failure()


def begun(instance: dg.DagsterInstance) -> dg.DagsterRun:
    return instance.create_run_for_job(
        collecting, run_config=config("any"), status=dg.DagsterRunStatus.STARTED
    )


@pytest.fixture
def taking() -> Iterator[Hook]:
    with hook() as one:
        yield one


@pytest.fixture
def alerts(taking: Hook) -> Alerts:
    return Alerts(webhook_url=taking.url, after_failures=3)


def test_the_text_is_what_the_step_says_of_itself() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        context = run(instance, "told")
        assert context
        head, *lines = failure_text(context).splitlines()
        assert head == f"collecting failed (run {context.dagster_run.run_id})"
        assert lines == ["1 of 1 datasets failed", LINE]


def test_a_tick_that_left_out_what_fails_is_no_success_between_failures(taking: Hook, alerts: Alerts) -> None:
    sensor, recovery = failure_sensor(alerts), recovery_sensor(alerts)
    with dg.DagsterInstance.ephemeral() as instance:
        for how in ("told", "not at all", "told"):
            tags = {FAILING: "1"} if how == "not at all" else {}
            result = collecting.execute_in_process(
                config(how), instance=instance, raise_on_error=False, tags=tags
            )
            kind = dg.DagsterEventType.RUN_SUCCESS if result.success else dg.DagsterEventType.RUN_FAILURE
            event = next(e for e in result.all_events if e.event_type is kind)
            context = dg.build_run_status_sensor_context("a sensor", event, instance, result.dagster_run)
            if result.success:
                recovery(context)
            else:
                sensor(context.for_run_failure())
        assert len(taking.texts) == 1  # three in a row, and no recovery


def test_an_unforeseen_error_is_told_too() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        context = run(instance, "defect")
        assert context
        assert failure_text(context).splitlines()[1:] == ["ValueError: unforeseen"]


def test_a_run_that_failed_outside_of_its_steps_says_why() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        lost = begun(instance)
        event = instance.report_run_failed(lost, "the process of this run is gone")
        failed = instance.get_run_by_id(lost.run_id)
        assert failed
        context = dg.build_run_status_sensor_context("run_failures", event, instance, failed)
        assert failure_text(context.for_run_failure()).splitlines() == [
            f"collecting failed (run {lost.run_id})",
            "the process of this run is gone",
        ]


def test_only_failures_of_one_job_in_a_row_are_posted(taking: Hook, alerts: Alerts) -> None:
    sensor = failure_sensor(alerts)
    with dg.DagsterInstance.ephemeral() as instance:
        for job, how in [
            (collecting, "told"),
            (collecting, "told"),
            (other, "told"),
            (collecting, "not at all"),
            (collecting, "told"),
            (collecting, "told"),
        ]:
            if context := run(instance, how, job):
                assert sensor(context) is None
        assert taking.texts == []

        context = run(instance, "told")
        assert context
        begun(instance)  # the next run may have begun before the sensor looks
        assert sensor(context) is None
        assert taking.texts == [failure_text(context)]

        context = run(instance, "defect")  # another cause
        assert context
        assert sensor(context) is None
        assert taking.texts[1:] == [failure_text(context)]


def test_an_address_that_refuses_is_said_in_the_tick_and_the_alert_waits(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """157d310 raises: Dagster shows the address, secrets and all, and the alert is lost."""
    with dg.DagsterInstance.ephemeral() as instance, hook(500) as refusing:
        alerts = Alerts(to=(refusing.url,), after_failures=1)
        context = run(instance, "told")
        assert context
        assert failure_sensor(alerts)(context) is None
        logged = capfd.readouterr().err
        assert "ERROR - alerts.to[0] (http) takes no alerts" in logged
        assert "127.0.0.1" not in logged
        assert len(refusing_lines(alerts, instance)) == 1


def test_d2_a_tick_that_posts_for_one_job_and_not_for_another_says_nothing_to_dagster(
    taking: Hook, alerts: Alerts
) -> None:
    """0e899d4 returns a SkipReason for the other: a CheckError, and every post again in 30 seconds."""
    with dg.DagsterInstance.ephemeral() as instance:
        contexts = [run(instance, "told") for _ in range(3)] + [run(instance, "told", other)]
        said = [failure_sensor(alerts)(context) for context in contexts if context]
        assert said == [None] * 4
        assert len(taking.texts) == 1
        assert failure_sensor(None)(contexts[0]) is None


def test_d2_one_cause_is_told_once_an_hour_and_that_it_is_over(taking: Hook, alerts: Alerts) -> None:
    """0e899d4 posts at every failure, and never that it is over."""
    clock = ManualClock(parse_time("2026-11-28"))
    alerts = alerts.model_copy(update={"after_failures": 1})
    sensor, recovery = failure_sensor(alerts, clock), recovery_sensor(alerts, clock)
    with dg.DagsterInstance.ephemeral() as instance:

        def fail(how: str) -> int:
            context = run(instance, how)
            assert context
            sensor(context)
            return len(taking.texts)

        assert [fail("told"), fail("told"), fail("told")] == [1, 1, 1]
        assert fail("defect") == 2
        clock.set(Us(clock.now() + HOUR))
        assert [fail("told"), fail("told")] == [3, 3]

        for count in (4, 4):
            result = collecting.execute_in_process(config("not at all"), instance=instance)
            event = next(e for e in result.all_events if e.event_type is dg.DagsterEventType.RUN_SUCCESS)
            recovery(dg.build_run_status_sensor_context("r", event, instance, result.dagster_run))
            assert len(taking.texts) == count
        said = taking.texts[-1]
        assert said.startswith("collecting is well again (run ")
        assert said.endswith(") after 1 h; it failed 6 times since 2026-11-28T00:00:00Z")
        assert fail("told") == 5


def test_without_an_address_it_is_only_logged(capfd: pytest.CaptureFixture[str]) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        context = run(instance, "told")
        assert context
        assert failure_sensor(None)(context) is None
        assert failure_text(context) in capfd.readouterr().err


@pytest.mark.parametrize(
    ("loaded", "said"),
    [
        (Loaded(Settings(), "line 3"), "the last good configuration goes on, because of:\nline 3"),
        (Loaded(Settings(), unkept="it cannot be kept: No space left"), "it cannot be kept: No space left"),
    ],
)
def test_a_configuration_that_does_not_last_fails_its_sensor(
    monkeypatch: pytest.MonkeyPatch, loaded: Loaded, said: str
) -> None:
    monkeypatch.setattr(failures, "load_lasting", lambda: loaded)
    sensor, context = configuration_sensor(), dg.build_sensor_context()
    with pytest.raises(dg.Failure) as failed:
        sensor.evaluate_tick(context)
    assert failed.value.description == said
