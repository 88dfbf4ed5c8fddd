"""What is known to differ between stored rows and another source of them, until both are found alike.

It lies in the lake, ``.dccd/differences``, a file for the datasets that differ in nothing but the symbol. No
row is changed by it. Belongs here: keeping it. Does not: comparing (diff.py, compare.py, reconcile.py).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import BinaryIO, Final

import msgspec

from dccd_core.bars.diff import MOST, Difference
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import TimeRange, Us, iso
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.layout import DIFFERENCES, StreamKey
from dccd_core.lake.store.folder import Stored, rewrite, writing

TRADES: Final = "the stored trades"
"""The other source of bars that were held against those; else it is the exchange, by its title."""


class Known(msgspec.Struct, frozen=True):
    """A row that two sources do not tell alike.

    ``at``: its time. ``name``: by what it is known beside that. ``said``: how it differs. ``against``: which
    other source. ``seen``: when that was found (us).
    """

    at: Us
    name: str
    said: str
    against: str
    seen: Us


_BySymbol = dict[str, tuple[Known, ...]]
_READ: Final = msgspec.json.Decoder(_BySymbol)


def known_differences(lake: LakeStore, datasets: Iterable[Dataset]) -> dict[Dataset, list[Known]]:
    """Return what is known of each dataset of which anything is, in order of time; not what was accepted."""
    files, found = dict[StreamKey, _BySymbol](), dict[Dataset, list[Known]]()
    for dataset in datasets:
        family = StreamKey.of(dataset)
        if family not in files:
            with lake.store.open(_path(family)) as stored:
                files[family] = _read(stored)
        taken = [one.span for one in lake.accepted(dataset)]
        mine = files[family].get(str(dataset.symbol), ())
        if left := [one for one in mine if not _lies_in(taken, one.at)]:
            found[dataset] = left
    return found


def note_differences(
    lake: LakeStore,
    dataset: Dataset,
    compared: Sequence[TimeRange],
    against: str,
    found: Sequence[Difference],
    now: Us,
) -> None:
    """Remember what was found in the time that was ``compared``, and nothing else of it any more.

    The newest ``MOST`` rows of a dataset are kept.

    Raises:
        LakeError: it cannot be written.
    """
    symbol, path = str(dataset.symbol), _path(StreamKey.of(dataset))
    found = [one for one in found if _lies_in(compared, one.at)]  # a row near its border may lie outside

    def merged(before: _BySymbol) -> _BySymbol:
        mine = before.get(symbol, ())
        other = [one for one in mine if one.against != against or not _lies_in(compared, one.at)]
        since = {(one.at, one.name, one.said): one.seen for one in mine if one.against == against}
        news = [
            Known(one.at, one.name, one.said, against, since.get((one.at, one.name, one.said), now))
            for one in found
        ]
        left = sorted([*other, *news], key=lambda one: (one.at, one.name, one.against))[-MOST:]
        after = {**before, symbol: tuple(left)}
        return {name: rows for name, rows in sorted(after.items()) if rows}

    def fill(file: BinaryIO, stored: Stored | None) -> tuple[None, bool]:
        before = _read(stored)
        after = merged(before)
        file.write(msgspec.json.encode(after))
        return None, after != before

    with lake.store.open(path) as stored:
        before = _read(stored)
    if merged(before) != before:  # who finds nothing new needs no right to write
        with writing(lake.store.url(path)):
            rewrite(lake.store, path, fill)


def forget_differences(lake: LakeStore, dataset: Dataset) -> None:
    """Remember nothing of a dataset that was removed on purpose, nor what was accepted of it."""
    always = [TimeRange(Us(0), Us(2**62))]
    with lake.store.open(_path(StreamKey.of(dataset))) as stored:
        known = _read(stored).get(str(dataset.symbol), ())
    for against in sorted({one.against for one in known}):
        note_differences(lake, dataset, always, against, (), Us(0))


def by_source(known: Iterable[Known]) -> Mapping[str, list[Known]]:
    """Sort differences by the other source."""
    found = dict[str, list[Known]]()
    for one in known:
        found.setdefault(one.against, []).append(one)
    return found


def said_differences(known: Sequence[Known]) -> str:
    """Say how many rows differ, from what, and the first of them."""
    of = [f"{len(rows):,} from {against}" for against, rows in by_source(known).items()]
    rows = "row differs" if len(known) == 1 else "rows differ"
    first = known[0]
    named = f" {first.name}" if first.name else ""
    return f"{len(known):,} {rows}: {', '.join(of)}; the first {iso(first.at)}{named}: {first.said}"


def _lies_in(spans: Sequence[TimeRange], at: Us) -> bool:
    return any(span.start <= at < span.end for span in spans)


def _path(family: StreamKey) -> str:
    return f"{DIFFERENCES}/{family.folder}.json"


def _read(stored: Stored | None) -> _BySymbol:
    """Read what was written; what cannot be read says nothing, and is found out anew."""
    try:
        return _READ.decode(stored.file.read()) if stored else {}
    except msgspec.MsgspecError:
        return {}
