"""What is wanted of a run that goes on."""

from pathlib import Path

import pytest

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.symbol import Symbol
from dccd_core.stream.api import StreamPlan
from dccd_core.tables import DataType
from dccd_pipeline.build import stream_orders
from dccd_pipeline.streams.orders import Part, Wishes, in_place
from tests.dccd_pipeline.held import BOOKS, TRADES
from tests.dccd_pipeline.streamed import STREAM, settings_of

ETH = Dataset("binance", Symbol("ETH", "USDT"), DataType.TRADES)


@pytest.mark.parametrize(
    ("change", "goes_on"),
    [
        (("[BTC/USDT]", "[BTC/USDT, ETH/USDT]"), True),
        (("[trades]", "[trades, orderbook]"), True),
        (("[trades]", "[trades], silent_after: 1h"), True),
        (("exchange: binance", "exchange: okx"), False),
        (("[trades]", "[ohlc], span: 1m"), False),
        (("[trades]", "[trades, orderbook], depth: 20"), False),
        (("[trades]", "[trades, orderbook], snapshot_every: 2s"), False),
    ],
)
def test_only_other_datasets_are_changed_in_place(
    tmp_path: Path, change: tuple[str, str], *, goes_on: bool
) -> None:
    before = stream_orders(settings_of(tmp_path))["majors"].digest
    after = stream_orders(settings_of(tmp_path, STREAM.replace(*change)))["majors"].digest
    assert in_place(before, after) is goes_on
    assert (before == after) is ("silent_after" in change[1])


def test_a_digest_of_another_version_takes_a_new_run() -> None:
    assert not in_place("abcdef", "abcdef")


def test_the_order_of_symbols_changes_nothing(tmp_path: Path) -> None:
    one, other = (
        stream_orders(settings_of(tmp_path, STREAM.replace("[BTC/USDT]", symbols)))["majors"].digest
        for symbols in ("[BTC/USDT, ETH/USDT]", "[ETH/USDT, BTC/USDT]")
    )
    assert one == other


def test_an_order_makes_the_plan_that_its_entry_would(tmp_path: Path) -> None:
    (entry,) = settings_of(tmp_path).stream
    wanted = STREAM.replace("[BTC/USDT]", "[ETH/USDT, BTC/USDT]").replace("[trades]", "[trades, orderbook]")
    changed = settings_of(tmp_path, wanted)
    order = stream_orders(changed)["majors"]
    assert order.changes(entry).plan == changed.stream[0].plan


def test_paused_is_what_a_part_has(tmp_path: Path) -> None:
    wanted = STREAM.replace("[BTC/USDT]", "[BTC/USDT, ETH/USDT]").replace("[trades]", "[trades, orderbook]")
    (entry,) = settings_of(tmp_path, wanted).stream
    wishes = Wishes(paused=frozenset({Part("BTC/USDT", "trades"), Part("SOL/USDT")}))
    plan = wishes.plan(entry)
    assert isinstance(plan, StreamPlan)
    assert plan.paused == {TRADES}
    assert {BOOKS, ETH} <= set(plan.datasets)
