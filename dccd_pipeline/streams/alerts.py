"""Alerts of streams that bring nothing, whatever the cause: silence, no connection, no run.

Belongs here: when a stream has been silent too long, and what is said of it. Does not: how it is (status.py).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Final

import dagster as dg
import msgspec

from dccd_core.domain.sizes import counted
from dccd_core.domain.timespan import MINUTE, SECOND, Us
from dccd_core.net.clock import Clock, SystemClock
from dccd_core.stream.api import Phase
from dccd_pipeline.config.alerts import Alerts
from dccd_pipeline.config.stream import StreamEntry
from dccd_pipeline.runs.alerts import Alarm
from dccd_pipeline.runs.outbox import Outbox, in_one
from dccd_pipeline.streams.status import BY_A_USER, StreamState, stream_states

LOOK_EVERY_S: Final = 60
_AWAY: Final = Us(5 * MINUTE)
"""If nobody looked for so long, the machine slept, perhaps: then streams get their time anew."""


class Silence(msgspec.Struct):
    """``brought``: when a stream last brought something, as far as is known. ``told``: if that was said."""

    brought: int
    told: bool = False


class Heard(msgspec.Struct):
    """What is remembered from one look to the next: the sensor's cursor."""

    looked: int = 0
    streams: dict[str, Silence] = {}


_READ: Final = msgspec.json.Decoder(Heard)


def silence_sensor(
    entries: Sequence[StreamEntry], alerts: Alerts | None, clock: Clock | None = None
) -> dg.SensorDefinition:
    """Return the sensor that says of each stream when it has been silent for too long, and when no more."""
    clock = clock or SystemClock()
    patience = {entry.name: entry.silent_after for entry in entries}

    @dg.sensor(
        name="silent_streams",
        minimum_interval_seconds=LOOK_EVERY_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Says that a stream brings nothing for its silent_after, hourly, and when it does again.",
    )
    def silent_streams(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        heard = _recalled(context.cursor)
        states = stream_states(context.instance, dict.fromkeys(patience, ""), clock)
        lines = dict(judged(states, patience, heard, clock.now()))
        for line in lines.values():
            context.log.error(line)
        if alerts:
            alarm, now = Alarm(context.instance, "streams"), clock.now()
            said = alarm.look(standing(states, patience, heard, now), now, lines)
            for refused in Outbox(context.instance, alerts).tell(in_one(said), now):
                context.log.error(refused)
            alarm.keep()
        context.update_cursor(msgspec.json.encode(heard).decode())
        silent = [name for name, one in heard.streams.items() if one.told]
        heard_of = f"{counted(len(patience), 'stream is', 'streams are')} heard of"
        return dg.SkipReason(f"silent: {', '.join(silent)}" if silent else heard_of)

    return silent_streams


def _recalled(cursor: str | None) -> Heard:
    """Return what a cursor says; one of another version, or of somebody's hand, says nothing."""
    with suppress(msgspec.DecodeError):
        return _READ.decode(cursor or "{}")
    return Heard()


def judged(
    states: Sequence[StreamState], patience: Mapping[str, Us], heard: Heard, now: Us
) -> Iterator[tuple[str, str]]:
    """Yield what is to be said of which stream; ``heard`` is brought up to date."""
    slept, heard.looked = not 0 <= now - heard.looked <= _AWAY, now  # or the clock was ahead
    heard.streams = {name: one for name, one in heard.streams.items() if name in patience}
    for state in states:
        if state.name not in patience:
            continue
        one = heard.streams.setdefault(state.name, Silence(now))
        if state.state in (Phase.PAUSED, BY_A_USER) or (slept and not one.told):
            one.brought, one.told = now, False
        last, one.brought = _last(state), min(one.brought, now)
        before, one.brought = one.brought, max(one.brought, last)
        if one.told and one.brought > before:
            one.told = False
            silent = (one.brought - before) // SECOND
            yield state.name, f"stream {state.name} brings data again, after {silent} s without: {state.said}"
        elif not one.told and now - one.brought > patience[state.name]:
            one.told = True
            yield state.name, _alert(state, Us(now - one.brought))


def standing(
    states: Sequence[StreamState], patience: Mapping[str, Us], heard: Heard, now: Us
) -> dict[str, str | None]:
    """Return of each stream that may not be silent what there is to say; None: too little is known yet."""
    found = dict[str, str | None]()
    for state in states:
        if state.name not in patience or state.state in (Phase.PAUSED, BY_A_USER):
            continue
        one = heard.streams[state.name]
        speaks = now - _last(state) <= patience[state.name]
        found[state.name] = _alert(state, Us(now - one.brought)) if one.told else "" if speaks else None
    return found


def _last(state: StreamState) -> int:
    """Return when a stream brought something last, as its run says; 0 where it says nothing."""
    return max((row.last or 0 for row in state.beat.datasets), default=0) if state.beat else 0


def _alert(state: StreamState, silent: Us) -> str:
    why = f" ({state.why})" if state.why and state.beat is None else ""
    return f"stream {state.name} has brought nothing for {silent // SECOND} s: {state.said}{why}"
