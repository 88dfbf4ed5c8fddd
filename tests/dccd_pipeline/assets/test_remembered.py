import signal
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from dccd_core.domain.timespan import parse_time
from dccd_core.lake.lake import LakeStore
from dccd_core.testing.sandbox.process import RunningSandbox, running_sandbox
from dccd_pipeline.assets.remembered import (
    read_held,
    read_values,
    remember_held,
    vanished,
    write_values,
)
from dccd_pipeline.build import silent
from dccd_pipeline.cli.backfill import backfill, run_order
from dccd_pipeline.cli.collect import chosen_entries
from dccd_pipeline.cli.collect_here import look, tick_orders
from dccd_pipeline.config.read import settings_of
from dccd_pipeline.config.settings import Settings
from dccd_pipeline.ticks.status import gone_lines
from tests.dccd_pipeline.held import HOURS, MINUTES

ENTRY = {"exchange": "binance", "symbols": ["BTC/USDT"], "data_type": "ohlc", "span": "1h"}
NOW = parse_time("2026-11-28")
GONE = "binance/ohlc/BTC-USDT/1h: gone: 2024, the files vanished"


@pytest.fixture(scope="module")
def sandbox() -> Any:
    with running_sandbox() as running:
        yield running


@pytest.fixture
def settings(sandbox: RunningSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("DCCD_STATE_DIR", str(tmp_path / "state"))
    return made(sandbox, tmp_path / "lake")


def made(sandbox: RunningSandbox, store: Path) -> Settings:
    sandbox.reset()
    reach = {"binance": {"rest_url": sandbox.rest_url("binance")}}
    collect = [{**ENTRY, "start": "2023-01-01"}]
    return settings_of({"store": str(store), "exchanges": reach, "collect": collect})


def tick(settings: Settings, instance: dg.DagsterInstance) -> list[str]:
    """Do what a tick does; return the partitions that it asks for."""
    looked = look(chosen_entries(settings, ()), LakeStore(settings.store), instance, NOW)
    orders = [order for order, _ in tick_orders(looked, NOW)]
    for order in orders:
        assert run_order(settings, order, instance, silent).succeeded
    return [key for order in orders for key in order.keys]


def test_h8_after_a_run_in_the_background_the_next_one_still_hears_sigterm(settings: Settings) -> None:
    """A shell has what a script puts into the background ignore SIGINT; Dagster made SIGTERM do the same."""

    def mine(_number: int, _frame: object) -> None: ...

    before = signal.signal(signal.SIGINT, signal.SIG_IGN), signal.signal(signal.SIGTERM, mine)
    try:
        with dg.DagsterInstance.ephemeral() as instance:
            assert tick(settings, instance)
        assert signal.getsignal(signal.SIGTERM) is mine
    finally:
        signal.signal(signal.SIGINT, before[0])
        signal.signal(signal.SIGTERM, before[1])


def test_another_store_s_progress_is_not_this_one_s(
    settings: Settings, sandbox: RunningSandbox, tmp_path: Path
) -> None:
    """0e899d4: "everything is up to date", and the new lake stays empty."""
    with dg.DagsterInstance.ephemeral() as instance:
        assert backfill(settings, HOURS, ["2023", "2024"], instance, silent).complete
        other = made(sandbox, tmp_path / "other")
        assert tick(other, instance) == ["2023", "2024", "2025", "2026"]
        assert list(LakeStore(other.store).states(HOURS)) == ["2023", "2024", "2025", "2026"]
        assert tick(other, instance) == ["2026"]
        asked = sandbox.stats().count()
        assert tick(settings, instance) == ["2025", "2026"]  # what is there is not asked for again
        assert sandbox.stats().count() - asked <= 2 * 9 + 2


def test_d3_a_file_that_vanished_is_left_alone_by_ticks_and_restored_on_demand(
    settings: Settings, sandbox: RunningSandbox
) -> None:
    """0e899d4: the next tick leaves it alone, the one after downloads it again."""
    lake = LakeStore(settings.store)
    with dg.DagsterInstance.ephemeral() as instance:
        assert tick(settings, instance) == ["2023", "2024", "2025", "2026"]
        Path(lake.path(HOURS, "2024")).unlink()
        for _ in range(3):
            tick(settings, instance)
            assert list(lake.states(HOURS)) == ["2023", "2025", "2026"]
        assert [line.split(";")[0] for line in gone_lines(settings, instance)] == [GONE]

        assert backfill(settings, HOURS, ["2024"], instance, silent).complete
        assert list(lake.states(HOURS)) == ["2023", "2024", "2025", "2026"]
        tick(settings, instance)
        assert gone_lines(settings, instance) == []


def test_the_open_partition_is_never_gone() -> None:
    keys = ["2022", "2023", "2024", "2025"]
    assert vanished(["2023", "2024", "2025"], ["2024"], keys) == ["2023"]
    assert vanished([], [], keys) == []
    assert vanished(keys, keys, keys) == []


def test_what_was_ever_stored_is_noted_as_runs_of_one_store() -> None:
    keys = ["2022", "2023", "2024", "2025"]
    with dg.DagsterInstance.ephemeral() as instance:
        assert read_held(instance, [HOURS], "a", keys) == {}
        assert remember_held(instance, "a", keys, {HOURS: {"2022", "2025"}}) == {HOURS: {"2022", "2025"}}
        ever = {HOURS: {"2022", "2023", "2025"}}
        assert remember_held(instance, "a", keys, {HOURS: {"2023"}}) == ever
        assert read_held(instance, [HOURS], "a", keys) == {HOURS: {"2022", "2023", "2025"}}
        assert read_held(instance, [HOURS], "b", keys) == read_held(instance, [HOURS], None, keys) == {}


def test_nothing_is_remembered_of_a_store_without_a_name() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        assert remember_held(instance, None, ["2022"], {HOURS: {"2022"}}) == {HOURS: {"2022"}}
        assert remember_held(instance, None, ["2022"], {HOURS: set()}) == {HOURS: set()}


def test_new_keys_are_kept_beside_known_ones() -> None:
    """7146ed2: of new and known ones at once only the known ones were kept."""
    with dg.DagsterInstance.ephemeral() as instance:
        keys = ["2023", "2024", "2024-01"]
        remember_held(instance, "a", keys, {HOURS: ["2023"]})
        remember_held(instance, "a", keys, {HOURS: ["2023", "2024"], MINUTES: ["2024-01"]})
        held = read_held(instance, [HOURS, MINUTES], "a", keys)
        assert held[MINUTES] == {"2024-01"}
        assert held[HOURS] >= {"2023", "2024"}
        write_values(instance, {})
        assert read_values(instance, []) == {}
