"""Whether a file here may take the place of one there: it must hold all that is there, and say so.

Both footers are compared first: who has less rows or has asked for less time is less. Then the rows, as a
lake unites them: what is there must add nothing to what is here, and change nothing in it. Where an answer
of the venue took the place of rows that were taken over from elsewhere, those are nobody's past. Pictures
that were taken back are beside the partition, and their time is named as lost: that is no less, either.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import BinaryIO, Final

import polars as pl

from dccd_core.domain.timespan import TimeRange, iso, union
from dccd_core.lake.partition.digest import Digest
from dccd_core.lake.partition.ledger import DAMAGED, Source
from dccd_core.lake.partition.merge import Feed, merged, outside
from dccd_core.lake.partition.parquet import Reader, State
from dccd_core.tables import DataType

ANOTHER_PAST: Final = "it has rows that are not here, or other values in them"


def less(ours: State, theirs: State, aside: int = 0) -> str:
    """Say why ours is less than theirs, by what both footers say; empty when it is not.

    ``aside``: so many rows were taken back here.
    """
    if theirs.owner and ours.owner != theirs.owner:
        return f"it holds {theirs.owner}"
    if theirs.rows > ours.rows + aside and not ours.ledger.replaces(theirs.ledger):
        return f"it has {theirs.rows} rows, and there are {ours.rows} here"
    covered = ours.ledger.covered()
    lost = [one.span for one in ours.ledger.lost if one.reason != DAMAGED]  # what was is not taken back
    claimed = [one.span.minus(lost if one.source is Source.STREAM else ()) for one in theirs.ledger.asked]
    lacking = union(part for spans in claimed for span in spans for part in span.minus(covered))
    return f"it covers {_said(lacking)}, which is not covered here" if lacking else ""


def holds_all(
    data_type: DataType,
    ours: Reader,
    theirs: State,
    fetch: Callable[[], AbstractContextManager[Reader]],
    aside: pl.DataFrame | None = None,
) -> bool:
    """Return whether all rows there are among those here, with the same values.

    Args:
        data_type: whose table the rows follow.
        ours: the file here.
        theirs: what the footer there says: see ``less``.
        fetch: brings the file there here; that is needed only where ours did not just grow at its end.
        aside: the rows that were taken back here, if any.

    Raises:
        DamagedFile: one of them is not what was written.
    """
    if theirs.content_hash in (ours.state.content_hash, _digest(data_type, _first(ours, theirs.rows))):
        return True
    with fetch() as there:
        there.verify()
        clashes, gone = list[pl.DataFrame](), ours.state.ledger.replaces(theirs.ledger)
        feed = _without(outside(there.feed(), gone), aside)
        union_of_both = merged(data_type, ours.feed(), [feed], clashes)
        return _digest(data_type, union_of_both) == ours.state.content_hash and not clashes


def _without(feed: Feed, aside: pl.DataFrame | None) -> Feed:
    if aside is None or aside.is_empty():
        return feed
    return feed.kept(
        lambda rows: rows.join(aside, on=rows.columns, how="anti", nulls_equal=True, maintain_order="left")
    )


def has_all_lines(ours: BinaryIO, theirs: BinaryIO) -> bool:
    """Return whether each line there is here, too."""
    known = set(ours)
    return all(line in known for line in theirs if line.endswith(b"\n"))


def _first(ours: Reader, rows: int) -> Iterator[pl.DataFrame]:
    left = rows
    for group in ours.groups() if rows else ():
        yield group.head(left)
        left -= group.height
        if left <= 0:
            return


def _digest(data_type: DataType, rows: Iterator[pl.DataFrame]) -> str:
    digest = Digest(data_type.table)
    for portion in rows:
        digest.add(portion)
    return digest.hexdigest()


def _said(spans: list[TimeRange]) -> str:
    first, more = spans[0], len(spans) - 1
    return f"{iso(first.start)} to {iso(first.end)}" + (f" and {more} spans more" if more else "")
