"""Holes that are an outage of the venue are named so, in the ledgers of all of its datasets.

Belongs here: what else the lake holds of that time, and writing the name. Does not: the decision
(dccd_core.quality.outage).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from dccd_core.adapter.contract import Endpoint
from dccd_core.domain.dataset import Dataset, partition_span
from dccd_core.domain.timespan import TimeRange, Us
from dccd_core.exchanges import get
from dccd_core.fetch.work import quiet_of
from dccd_core.lake.lake import CompletenessCheck, LakeStore, State
from dccd_core.lake.partition.ledger import Ledger
from dccd_core.quality.holes import BarCheck, Evidence
from dccd_core.quality.outage import named, silences, without

Held = Mapping[Dataset, Mapping[str, State]]


@dataclass(frozen=True, slots=True)
class _Naming:
    """Judges a partition as before, without new proof, and names the outages in it."""

    judge: CompletenessCheck
    outages: Sequence[TimeRange]
    bar: Us

    def see(self, rows: pl.DataFrame) -> None:
        self.judge.see(rows)

    def assess(self, ledger: Ledger) -> Ledger:
        return named(self.judge.assess(ledger), self.outages, self.bar)


def outages(lake: LakeStore, held: Held) -> list[TimeRange]:
    """Return when a venue was away, by all that is held of it: no bar of any symbol, and no trade."""
    found = silences(held)
    bars = [dataset.span for dataset in held if dataset.span is not None]
    for dataset in held:
        found = [left for span in found for left in without(span, _traded(lake, dataset, span), min(bars))]
    return found


def name_outages(lake: LakeStore, held: Held) -> list[tuple[Dataset, str]]:
    """Write into the ledgers of a venue's bars which holes are its outages; return what was written.

    What lies in the tail is named once it is folded, and what remotes hold is left alone.
    """
    if not (found := outages(lake, held)):
        return []
    done = list[tuple[Dataset, str]]()
    for dataset, states in held.items():
        for key in states if dataset.span else ():
            inside = [part for one in found if (part := one.clip(partition_span(dataset.grain, key)))]
            if inside and _write(lake, dataset, key, inside):
                done.append((dataset, key))
    return done


def _traded(lake: LakeStore, dataset: Dataset, span: TimeRange) -> Iterator[Us]:
    """Yield moments of trades, or opens of whole bars with trades in them."""
    if dataset.data_type.table.pictures or lake.elsewhere(dataset, span):
        return
    rows = lake.scan(dataset, span)
    if dataset.span is not None:  # a longer bar that goes on after it may have its trades there
        last = pl.lit(span.end - dataset.span)
        rows = rows.filter((pl.col("ts").to_physical() <= last) & (pl.col("volume") > 0))
    yield from (Us(at) for at in rows.select(pl.col("ts").to_physical().unique()).collect()["ts"].to_list())


def _write(lake: LakeStore, dataset: Dataset, key: str, inside: Sequence[TimeRange]) -> bool:
    state, bar = lake.state(dataset, key), dataset.span
    assert bar is not None
    if state is None or state.elsewhere or named(state.ledger, inside, bar) == state.ledger:
        return False
    endpoint = get(dataset.exchange).endpoint(dataset.symbol.market_type, dataset.data_type)
    with lake.draft(dataset, key) as draft:
        draft.commit([], lambda: _Naming(_judge(lake, dataset, key, endpoint), inside, bar))
    return True


def _judge(lake: LakeStore, dataset: Dataset, key: str, endpoint: Endpoint | None) -> CompletenessCheck:
    assert dataset.span is not None
    refused = lake.quarantined(dataset, key)
    return BarCheck(dataset.span, Evidence(Us(0), refused=refused, witness=True, quiet=quiet_of(endpoint)))
