"""The demonstration: a little of every exchange, collected from the sandbox in real Dagster runs, offline.

Belongs here: what is shown. Does not: how a run is started (backfill.py).
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import dagster as dg

from dccd_core.domain.dataset import Dataset, partition_key, partition_span
from dccd_core.domain.timespan import DAY, TimeRange, Us, moment
from dccd_core.exchanges import NAMES
from dccd_core.fetch.fill import Progress
from dccd_core.net.clock import SystemClock
from dccd_core.tables import DataType
from dccd_core.testing.sandbox.process import running_sandbox
from dccd_pipeline.answer.gather import Answer, answer
from dccd_pipeline.answer.reporting import written
from dccd_pipeline.cli.backfill import Order, Result, run_order
from dccd_pipeline.config.capabilities import present
from dccd_pipeline.config.collect import Entry
from dccd_pipeline.config.lastgood import Loaded
from dccd_pipeline.config.read import settings_of
from dccd_pipeline.config.settings import Origin, Settings
from dccd_pipeline.config.wanted import wanted_ever

STORE: Final = "./data/demo"
HOME: Final = f"{STORE}/.dagster"
"""Its own Dagster instance: what it collects is nobody's asset elsewhere."""
PAGE: Final = f"{STORE}/report.html"
"""What came of it, to look at."""
_NOBODY: Final = "http://127.0.0.1"
"""For whoever asks nobody any more."""
# Listed on the afternoon of a month's last day: so a month of bars is built of one day of trades.
NEWCOMER: Final = "MOSS/USD"
_SURELY_SHOWN: Final = 29 * DAY
"""Of the reach of what is shown for a limited time, 720 hours."""
_SOURCE: Final = next(one.table.built_from for one in DataType if one.table.built_from)
_QUARTER: Final = ("2024-01", "2024-02", "2024-03")
_DAYS: Final = ("2024-01-01", "2024-01-02", "2024-01-03")
_PERPETUALS: Final = ("BTC/USDT:USDT", "BTC/USD:BTC")
SHOWN: Final[tuple[tuple[tuple[str, ...], dict[str, Any], tuple[str, ...]], ...]] = (
    (("binance", "BTC/USDT", "ETH/USDT"), {"span": "1m", "start": "2024-01-01"}, _QUARTER),
    (("binance", "BTC/USDT"), {"start": "2024-01-01"}, _DAYS),
    (("bybit", "BTC/USDT", *_PERPETUALS), {"span": "1h", "start": "2024-01-01"}, ("2024",)),
    (("bybit", "BTC/USDT"), {"depth": 50}, ()),
    (("okx", "BTC/USDT", *_PERPETUALS), {"span": "15m", "start": "2024-01-01"}, ("2024-01",)),
    (("coinbase", "BTC/USD"), {"span": "5m", "start": "2024-01-01"}, ("2024-01",)),
    (("coinbase", "BTC/USD"), {"start": "2024-01-01"}, _DAYS[:1]),
    (("kraken", "BTC/USD"), {"span": "1h", "start": "recent"}, ()),
    (("kraken", NEWCOMER), {"start": "2019-09-01"}, ("2019-09-30",)),
    (
        ("kraken", NEWCOMER),
        {"span": "10m", "start": "2019-09-01", "derive_from": _SOURCE, "name": "kraken_derived_10m"},
        ("2019-09",),
    ),
    (("bitfinex", "BTC/USD"), {"span": "5m", "start": "2024-01-01"}, ("2024-01",)),
    (("bitmex", "BTC/USD:BTC"), {"span": "1h", "start": "2024-01-01"}, ("2024",)),
)
"""Exchange and symbols; what else an entry says; the partitions, where there are none the open one."""


def demo(instance: dg.DagsterInstance, progress: Progress) -> Iterator[Result]:
    """Yield the result of each entry's run. What ``STORE`` already holds is not asked for again."""
    with running_sandbox(symbols=[NEWCOMER]) as sandbox:
        settings = demo_settings({name: sandbox.rest_url(name) for name in NAMES})
        for entry, (_, _, keys) in zip(settings.collect, SHOWN, strict=True):
            shown = keys or (partition_key(entry.datasets[0].grain, present()),)
            within = None if keys else _within(settings, entry.datasets[0], shown[0])
            yield run_order(settings, Order(entry, entry.datasets, shown, within), instance, progress)


def _within(settings: Settings, dataset: Dataset, key: str) -> TimeRange | None:
    """Return what is wanted of an open partition; None: all of it, or pictures, which promise no moment."""
    part = partition_span(dataset.grain, key).clip(wanted_ever(settings)[dataset])
    return None if dataset.data_type.table.pictures else part


def demo_wanted() -> dict[Dataset, TimeRange]:
    """Return what is wanted of each dataset that is shown."""
    return wanted_ever(demo_settings(dict.fromkeys(NAMES, _NOBODY)))


def demo_page(instance: dg.DagsterInstance) -> tuple[Answer, Path]:
    """Write the page that says how the lake of the demonstration is; return what it says, and where it is."""
    settings = demo_settings(dict.fromkeys(NAMES, _NOBODY))
    found = replace(answer(Loaded(settings), instance, {}, SystemClock()), notes=())  # they tell of schedules
    return found, written(found, settings, Path(PAGE).absolute())


def demo_settings(rest_urls: Mapping[str, str]) -> Settings:
    """Return what is shown as a configuration: no more is wanted of each dataset than what is collected."""
    collect = [
        {"exchange": exchange, "symbols": symbols, "data_type": _data_type(more), "every": "never", **more}
        for (exchange, *symbols), more, _ in SHOWN
    ]
    exchanges: dict[str, dict[str, Any]] = {name: {"rest_url": url} for name, url in rest_urls.items()}
    exchanges["kraken"]["symbols"] = {NEWCOMER: {"listed": "2019-09-30"}}
    raw = {"store": STORE, "exchanges": exchanges, "collect": collect}
    settings = settings_of(raw, Origin("dccd demo"))
    shown = (_whole(entry, keys) for entry, (_, _, keys) in zip(settings.collect, SHOWN, strict=True))
    return settings.model_copy(update={"collect": tuple(shown)})


def _whole(entry: Entry, keys: tuple[str, ...]) -> Entry:
    """Return an entry that wants nothing after its last partition, nor what is not shown any more."""
    if not keys:
        grain, now = entry.datasets[0].grain, present()
        since = max(Us(now - _SURELY_SHOWN), partition_span(grain, partition_key(grain, now)).start)
        return entry.model_copy(update={"start": moment(since).date()})
    end = moment(partition_span(entry.datasets[0].grain, keys[-1]).end).date()
    return entry.model_copy(update={"end": end})


def _data_type(more: Mapping[str, object]) -> str:
    """Return the one that takes what the entry says."""
    said = "span" in more, "depth" in more
    return next(one.value for one in DataType if (one.table.takes_span, one.table.takes_depth) == said)
