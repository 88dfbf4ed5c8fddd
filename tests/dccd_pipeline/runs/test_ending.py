"""Which runs a user means, and how they are told to end."""

import subprocess
import sys
from collections.abc import Iterator

import dagster as dg
import pytest

from dccd_core.domain.errors import ConfigError
from dccd_pipeline.config.read import settings_of
from dccd_pipeline.runs.ending import end_runs, named_runs, still_there
from dccd_pipeline.runs.processes import Process
from dccd_pipeline.tags import ENTRY, STREAM

S = dg.DagsterRunStatus
SETTINGS = settings_of(
    {
        "collect": [
            {"exchange": "binance", "symbols": ["BTC/USDT"], "data_type": "trades", "start": "2024-01-01"}
        ],
        "stream": [
            {"name": "majors", "exchange": "binance", "symbols": ["BTC/USDT"], "data_types": ["trades"]}
        ],
    }
)


@dg.job
def working() -> None: ...


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def begun(
    instance: dg.DagsterInstance, tag: str = "", value: str = "", status: dg.DagsterRunStatus = S.STARTED
) -> str:
    tags = {tag: value} if tag else {}
    return instance.create_run_for_job(working, tags=tags, status=status).run_id


def named(instance: dg.DagsterInstance, word: str, *, under_way: bool = True) -> list[str]:
    return [run.run_id for run in named_runs(instance, SETTINGS, word, under_way=under_way)]


def test_runs_are_meant_by_their_ids_or_by_what_they_do(instance: dg.DagsterInstance) -> None:
    stream = begun(instance, STREAM, "majors")
    tick = begun(instance, ENTRY, "binance_trades")
    over = begun(instance, ENTRY, "binance_trades", S.SUCCESS)
    assert named(instance, stream) == named(instance, stream[:8]) == named(instance, "majors") == [stream]
    assert named(instance, "binance_trades") == [tick]
    assert named(instance, "binance_trades", under_way=False) == [over, tick]
    assert named(instance, "working") == [tick, stream]
    assert named(instance, over) == [over], "an id is an id, ended or not"


def test_what_is_configured_may_have_no_run_and_what_is_not_is_answered(instance: dg.DagsterInstance) -> None:
    assert (
        named(instance, "majors")
        == named(instance, "stream_majors")
        == named(instance, "binance_trades_tick")
        == []
    )
    with pytest.raises(ConfigError, match="called major -> did you mean majors"):
        named(instance, "major")
    with pytest.raises(ConfigError, match="configured: majors, stream_majors, binance_trades"):
        named(instance, "deadbeef")


def test_a_beginning_of_several_ids_is_no_name(instance: dg.DagsterInstance) -> None:
    for end in "ab":
        instance.create_run_for_job(working, run_id=f"1234567{end}-0000-0000-0000-000000000000")
    with pytest.raises(ConfigError, match="1234567 begins the ids of 2 runs -> write more of it"):
        named(instance, "1234567")


def test_a_run_that_nobody_hears_is_told_in_the_storage(instance: dg.DagsterInstance) -> None:
    """Its own process looks there every three seconds, as that of `dccd backfill` does."""
    run = instance.get_run_by_id(begun(instance))
    assert run
    end_runs(instance, [run])
    (told,) = still_there(instance, [run])
    assert told.status is S.CANCELING
    instance.report_run_canceled(told)
    assert still_there(instance, [run]) == []
    assert still_there(instance, []) == []


def test_a_run_whose_process_died_is_over_at_once(instance: dg.DagsterInstance) -> None:
    with subprocess.Popen([sys.executable, "-S", "-c", ""]) as process:
        process.wait()
    run_id = begun(instance)
    dead = Process(Process.this().host, process.pid)
    instance.add_run_tags(run_id, dead.tag(run_id))
    run = instance.get_run_by_id(run_id)
    assert run
    end_runs(instance, [run])
    ended = instance.get_run_by_id(run_id)
    assert ended
    assert ended.status is S.CANCELED
