"""Pinning from a notebook and from the command line: the tail is folded first, which asks no exchange."""

from collections.abc import Iterable

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import TimeRange
from dccd_core.keep.pins import Pin, Pins
from dccd_core.lake.lake import LakeStore
from dccd_core.net.clock import SystemClock


def make_pin(lake: LakeStore, name: str, datasets: Iterable[Dataset], wanted: TimeRange | None) -> Pin:
    """Keep partitions as they are now, under a name; what the tail has of them is folded first.

    Raises:
        ConfigError, LakeError: as ``Pins.make``.
    """
    clock = SystemClock()

    def fold(dataset: Dataset) -> None:
        from dccd_core.api.unasked import unasked  # noqa: PLC0415 -- mostly there is no tail
        from dccd_core.fetch.fold import fold_dataset  # noqa: PLC0415

        fold_dataset(unasked(dataset.exchange, clock), lake, dataset)

    return Pins(lake).make(name, datasets, wanted, fold, clock.now())
