"""When ticks run; what they do is shown in tests/e2e."""

from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from dccd_pipeline.config.read import SettingsError, settings_of
from dccd_pipeline.dagster_compat import cron_string_iterator
from dccd_pipeline.tags import ENTRY
from dccd_pipeline.ticks.schedules import entry_schedule

CRON = {"exchange": "binance", "symbols": ["BTC/USDT"], "data_type": "trades", "start": "2026-01-01"}


@pytest.mark.parametrize(
    ("cron", "since", "ticks"),
    [
        ("30 2 * * *", "2026-03-28", ["28T01:30", "29T01:00", "30T00:30"]),  # 2:00 is 3:00 on the 29th
        ("30 2 * * *", "2026-10-24", ["24T00:30", "25T01:30", "26T01:30"]),  # 3:00 is 2:00 on the 25th
        ("0 9 * * *", "2026-03-28", ["28T08:00", "29T07:00", "30T07:00"]),
    ],
)
def test_a_cron_is_meant_in_the_time_zone_and_runs_once_a_day_whatever_the_clocks_do(
    cron: str, since: str, ticks: list[str]
) -> None:
    settings = settings_of({"collect": [{**CRON, "cron": cron}], "timezone": "Europe/Paris"})
    made = entry_schedule(settings.collect[0], settings.timezone, running=False)
    assert made.execution_timezone == "Europe/Paris"
    began = datetime.fromisoformat(f"{since}T00:00+00:00").timestamp()
    times = cron_string_iterator(began, cron, "Europe/Paris")
    found = [next(times).astimezone(UTC) for _ in ticks]
    assert [f"{at:%dT%H:%M}" for at in found] == ticks


def test_an_interval_stays_utc_and_a_zone_that_is_none_is_refused() -> None:
    settings = settings_of({"collect": [{**CRON, "every": "1d"}], "timezone": "Europe/Paris"})
    assert entry_schedule(settings.collect[0], "Europe/Paris", running=False).execution_timezone == "UTC"
    with pytest.raises(SettingsError, match="'Europe/Pari' is no time zone -> did you mean Europe/Paris"):
        settings_of({"timezone": "Europe/Pari"})


@pytest.mark.parametrize("job", ["binance_trades", "binance_trades_tick"])
def test_while_any_run_of_the_entry_goes_on_there_is_no_tick(job: str, tmp_path: Path) -> None:
    made = entry_schedule(settings_of({"collect": [CRON]}).collect[0], running=False)
    with (
        dg.DagsterInstance.local_temp(str(tmp_path)) as instance,
        dg.build_schedule_context(instance=instance, scheduled_execution_time=datetime.now(UTC)) as context,
    ):
        assert made.evaluate_tick(context).run_requests
        tags = {ENTRY: "binance_trades"}
        run = dg.DagsterRun(job_name=job, status=dg.DagsterRunStatus.STARTED, tags=tags)
        instance.add_run(run)
        told = made.evaluate_tick(context)
        assert not told.run_requests
        assert told.skip_message == f"run {run.run_id} of binance_trades has not ended"
