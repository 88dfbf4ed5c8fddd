"""Which entry collects what the bars of another are built of.

Belongs here: questions across the entries of ``collect``. Does not: what can be built of what (sources.py).
"""

from collections.abc import Mapping

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.symbol import Symbol
from dccd_pipeline.config.collect import Entry


def with_origins(entries: Mapping[int, Entry]) -> dict[int, Entry]:
    """Return the entries, each told which ones collect what its bars are built of."""
    told, collected = dict(entries), dict[Dataset, Entry]()
    for at, entry in sorted(entries.items(), key=lambda one: one[1].turn):
        told[at] = entry.built_of(_origins(entry, collected))
        for dataset in entry.datasets:
            collected.setdefault(dataset, told[at])
    return told


def _origins(entry: Entry, collected: Mapping[Dataset, Entry]) -> dict[Symbol, Entry]:
    sources = [(dataset.symbol, entry.built_from(dataset)) for dataset in entry.datasets]
    return {symbol: collected[source] for symbol, source in sources if source and source in collected}
