"""What a sync says of itself on the asset ``remote/NAME``: numbers, a table by dataset, what is in the way.

Belongs here: turning known facts into metadata. Does not: finding them out (dccd_core.keep).
See https://docs.dagster.io/guides/build/assets/metadata-and-tags
"""

from collections.abc import Iterable, Sequence
from typing import Final

import dagster as dg
import polars as pl

from dccd_core.domain.timespan import iso
from dccd_core.keep.copies import LastSync, Trouble
from dccd_core.keep.sync import Line, Synced, said_of
from dccd_core.tables.table import TIME
from dccd_pipeline.assets.plots import picture

_SHOWN: Final = 100


def remote_key(name: str) -> dg.AssetKey:
    """Return the asset on which one sees how a remote is."""
    return dg.AssetKey(["remote", name])


def metadata(synced: Synced, last: LastSync | None) -> dict[str, dg.MetadataValue]:
    """Describe a sync. Dagster draws each number over time by itself; ``bytes`` is drawn here, too."""
    lines = synced.datasets.values()
    numbers = {
        "files": synced.files,
        "bytes": synced.bytes,
        "copied": synced.copied,
        "mended": len(synced.mended),
        "verified": synced.copied + len(synced.mended) + synced.proven,
        "bytes_sent": synced.sent,
        "waiting": synced.waiting,
        "conflicts": len(synced.conflicts),
        "failed": len(synced.failed),
        "only_there": synced.only_there,
    }
    verified = [line.verified for line in lines if line.verified is not None]
    told: dict[str, dg.MetadataValue] = {
        "last_sync": dg.MetadataValue.text(iso(synced.at)),
        **{name: dg.MetadataValue.int(number) for name, number in numbers.items()},
    }
    if verified:
        told["all_verified_since"] = dg.MetadataValue.text(iso(min(verified)))
    if synced.datasets:
        told["datasets"] = dg.MetadataValue.table(list(_records(synced.datasets.items())))
    for name, troubles in (
        ("conflicts_kept", synced.conflicts),
        ("failures", synced.failed),
        ("what_was_mended", synced.mended),
    ):
        if troubles:
            told[name] = dg.MetadataValue.md(_listed(troubles))
    if last and len(last.history) > 1:
        history = pl.DataFrame(last.history, {"at": TIME, "size": pl.Int64}, orient="row")
        drawn = picture("bytes", "held there, MB", history["at"], history["size"] / 1e6)
        told["bytes_over_time"] = dg.MetadataValue.md(drawn)
    return told


def report(synced: Synced, last: LastSync | None) -> dg.AssetMaterialization | dg.AssetObservation:
    """Return what Dagster is told of a sync: the copy is materialised when all that is here is there."""
    event = dg.AssetMaterialization if synced.well else dg.AssetObservation
    return event(remote_key(synced.remote), metadata=metadata(synced, last))


def failure_of(synced: Synced) -> str:
    """Say in lines what is not there as it is here; empty when all is."""
    if synced.well:
        return ""
    counts = (
        (len(synced.conflicts), "conflicts, kept as they are there"),
        (len(synced.failed), "failed"),
        (synced.waiting, "wait for the next sync"),
    )
    head = f"{synced.remote}: " + "; ".join(f"{count} {what}" for count, what in counts if count)
    named = [*synced.conflicts, *synced.failed]
    more = [f"... and {len(named) - _SHOWN} more"] if len(named) > _SHOWN else []
    return "\n".join([head, *map(said_of, named[:_SHOWN]), *more, *hints(synced)])


def hints(synced: Synced) -> list[str]:
    """Say what can be done about conflicts."""
    if not synced.conflicts:
        return []
    return [
        f"-> what is there is kept. If that is right: `dccd sync {synced.remote} --take DATASET/PARTITION` "
        "unites ours with it; where ours is right: the same with --replace"
    ]


def _records(lines: Iterable[tuple[str, Line]]) -> Iterable[dg.TableRecord]:
    for name, line in sorted(lines):
        yield dg.TableRecord(
            {
                "dataset": name,
                "files": line.files,
                "bytes": line.bytes,
                "verified_since": iso(line.verified) if line.verified is not None else "never",
                "waiting": line.waiting,
                "conflicts": line.conflicts,
                "failed": line.failed,
            }
        )


def _listed(troubles: Sequence[Trouble]) -> str:
    more = [f"- and {len(troubles) - _SHOWN} more"] if len(troubles) > _SHOWN else []
    return "\n".join([*(f"- {said_of(one)}" for one in troubles[:_SHOWN]), *more])
