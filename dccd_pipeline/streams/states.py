"""The words for how a stream is: the same ones in ``dccd status``, on its asset, and in alerts.

Belongs here: from a sign of life to words, and to metadata. Does not: finding it (status.py), how it
comes to be (the core).
"""

from collections.abc import Sequence

import dagster as dg

from dccd_core.domain.timespan import MILLISECOND, SECOND, Us, iso
from dccd_core.stream.api import Phase
from dccd_pipeline.streams.heartbeat import Beat, DatasetBeat


def said_of(beat: Beat) -> str:
    """Say how a stream is.

    ``connecting (21 tries: connection refused)``, ``silent since 2026-11-28T12:00:00Z``, ``recording``.
    """
    if not beat.ready:
        return "getting ready"
    if beat.phase is Phase.SILENT:
        return _silent(beat.datasets)
    tries = f"{beat.tries} {'try' if beat.tries == 1 else 'tries'}" if beat.tries else ""
    more = ": ".join(part for part in (tries, beat.why) if part)
    return f"{beat.phase} ({more})" if more else beat.phase.value


def _silent(datasets: Sequence[DatasetBeat]) -> str:
    silent = [one for one in datasets if one.phase is Phase.SILENT]
    if not silent:
        return "silent"
    began = [one.since for one in silent if one.since is not None]
    since = f"silent since {said_second(min(began))}" if began else "silent"
    if len(silent) == len(datasets):
        return since
    more = ", ..." if len(silent) > 1 else ""
    return f"{since} ({len(silent)} of {len(datasets)} datasets: {silent[0].dataset}{more})"


def said_of_dataset(one: DatasetBeat) -> str:
    """Say how one dataset of a stream is."""
    if one.refused:
        return f"refused: {one.refused}"
    if one.phase is Phase.SILENT and one.since is not None:
        return f"silent since {said_second(one.since)}"
    if one.phase in (Phase.CONNECTING, Phase.RECORDING) and one.invalid_since is not None:
        return f"{one.phase}, not recorded since {said_second(one.invalid_since)}"
    return one.phase.value


def said_price(one: DatasetBeat) -> str:
    """Write the last price, or the best bid and ask."""
    if one.bid is not None or one.ask is not None:
        return f"{_number(one.bid)} / {_number(one.ask)}"
    return _number(one.price)


def said_second(at: int | None) -> str:
    """Write a moment to the second: beyond, it does not matter to people."""
    return "-" if at is None else iso(Us(at - at % SECOND))


def health_metadata(beat: Beat) -> dict[str, dg.MetadataValue]:
    """Describe how a stream is, and in a table how each of its datasets is."""
    counts = {
        "connections": beat.connections,
        "reconnects": beat.reconnects,
        "messages": beat.messages,
        "bad_messages": beat.bad,
    }
    return {
        "state": dg.MetadataValue.text(said_of(beat)),
        "at": dg.MetadataValue.text(said_second(beat.at)),
        "recording_since": dg.MetadataValue.text(said_second(beat.started)),
        **{name: dg.MetadataValue.int(count) for name, count in counts.items()},
        "messages_per_s": dg.MetadataValue.float(beat.rate),
        "datasets": dg.MetadataValue.table([dg.TableRecord(health_row(one)) for one in beat.datasets]),
    }


def health_row(one: DatasetBeat) -> dict[str, str | int | float]:
    """Say for people how one dataset of a stream is."""
    return {
        "dataset": one.dataset,
        "state": said_of_dataset(one),
        "price": said_price(one),
        "last_message": said_second(one.last),
        "proven_until": said_second(one.proven),
        "lag_ms": "-" if one.lag is None else round(one.lag / MILLISECOND),
        "messages_per_s": one.rate,
        "messages": one.messages,
        "rows": one.rows,
        "invalid_intervals": one.invalid,
        "crossed": one.crossed,
    }


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.12g}"
