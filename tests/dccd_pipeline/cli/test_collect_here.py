from pathlib import Path

import dagster as dg
import pytest

from dccd_core.domain.timespan import parse_time
from dccd_core.lake.lake import LakeStore
from dccd_pipeline.cli.collect import chosen_entries
from dccd_pipeline.cli.collect_here import look, planned_orders, tick_orders
from dccd_pipeline.config.capabilities import present
from tests.dccd_pipeline.cli.terminal import dccd, said
from tests.dccd_pipeline.cli.test_collect import SETTINGS
from tests.dccd_pipeline.held import HOURS, bars, hold, whole


def test_a_tick_by_hand_asks_for_what_is_behind(tmp_path: Path) -> None:
    now, lake = parse_time("2024-03-15"), LakeStore(tmp_path)
    with dg.DagsterInstance.ephemeral() as instance:
        ((order, _),) = tick_orders(
            look(chosen_entries(SETTINGS, ["binance", "ETH/USDT"]), lake, instance, now), now
        )
        planned = planned_orders(tick_orders(look(chosen_entries(SETTINGS, []), lake, instance, now), now))
    assert (order.keys, len(order.datasets)) == (("2024-01", "2024-02", "2024-03"), 1)
    assert order.catch_up
    assert [one.entry.name for one in planned] == ["kraken_trades", "majors", "majors"]


ONE = """
store: ./lake
collect:
  - {exchange: binance, symbols: [BTC/USDT], data_type: ohlc, span: 1h, start: 2023-01-01, end: 2025-01-01}
"""


@pytest.mark.usefixtures("own_home")
class TestNothingIsPassedOver:
    """What can neither be read nor be brought is never up to date."""

    @pytest.fixture
    def lake(self, project: Path) -> LakeStore:
        (project / "dccd.yaml").write_text(ONE)
        lake = LakeStore(project / "lake")
        for key in ("2023", "2024"):
            hold(lake, HOURS, key, bars(whole(HOURS, key)))
        return lake

    @pytest.mark.parametrize("how", [(), ("--dry-run",)])
    def test_r1_a_file_that_cannot_be_read_is_named_and_exits_1(
        self, lake: LakeStore, how: tuple[str, ...]
    ) -> None:
        """36c92f8: "binance: everything is up to date", exit code 0."""
        assert dccd("collect").stdout.startswith("binance: everything is up to date")
        Path(lake.path(HOURS, "2023")).write_bytes(b"")
        told = dccd("collect", *how)
        assert told.exit_code == 1
        assert said(told).startswith(f"{HOURS}: {lake.path(HOURS, '2023')} cannot be read: ")
        assert told.stdout == "binance: everything else is up to date\n"

    def test_r1_a_file_that_vanished_is_named_and_exits_1(self, lake: LakeStore) -> None:
        """36c92f8: "binance: everything is up to date", exit code 0."""
        assert dccd("collect").exit_code == 0
        Path(lake.path(HOURS, "2023")).unlink()
        told = dccd("collect")
        assert told.exit_code == 1
        assert said(told).startswith(f"{HOURS}: gone: 2023, the files vanished; ticks leave them alone -> ")

    def test_what_lacks_something_that_cannot_be_asked_for_now_is_not_up_to_date(
        self, lake: LakeStore
    ) -> None:
        """d446da6: of a gap that waits for its next question, "binance: everything is up to date"."""
        missing = whole(HOURS, "2024")[100:]
        Path(lake.path(HOURS, "2024")).unlink()
        hold(LakeStore(lake.url), HOURS, "2024", bars(missing), at=present())
        told = dccd("collect")
        assert (told.exit_code, told.stdout) == (
            0,
            f"binance: nothing can be asked for now; `dccd status` says what lacks of {HOURS}\n",
        )
