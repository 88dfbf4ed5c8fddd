"""The sensor that looks whether anything is wrong for a while, and has alerts sent that were not taken.

Belongs here: when which kind looks, and what becomes of what it finds. Does not: the kinds (kinds.py).
See https://docs.dagster.io/guides/automate/sensors
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Final

import dagster as dg
import msgspec

from dccd_core.domain.errors import DccdError
from dccd_core.domain.timespan import MINUTE, SECOND, Us
from dccd_core.net.clock import Clock, SystemClock
from dccd_pipeline.alarms.kinds import KINDS
from dccd_pipeline.alarms.look import Kind, Look, Memory
from dccd_pipeline.config.settings import Settings
from dccd_pipeline.runs.alerts import Alarm
from dccd_pipeline.runs.outbox import Outbox, in_one

LOOK_EVERY_S: Final = 60
_EARLY: Final = 5 * SECOND
"""Ticks do not come on the second: a kind that would be due so soon looks now."""
_BLIND: Final = 15 * MINUTE
"""So long may a kind be unable to look before somebody is told."""


class Looked(msgspec.Struct):
    """When which kind looked last (us), and what it remembers: the sensor's cursor.

    ``blind``: since when which kind cannot look.
    """

    at: dict[str, int] = {}
    memories: dict[str, Memory] = {}
    blind: dict[str, int] = {}


_READ: Final = msgspec.json.Decoder(Looked)


def alert_sensor(
    settings: Settings, clock: Clock | None = None, kinds: Mapping[str, Kind] = KINDS
) -> dg.SensorDefinition:
    """Return the sensor that tells what is wrong for a while: once, then hourly, and when it is over."""
    clock, alerts = clock or SystemClock(), settings.alerts
    status = dg.DefaultSensorStatus.RUNNING if alerts else dg.DefaultSensorStatus.STOPPED

    @dg.sensor(
        name="alerts",
        minimum_interval_seconds=LOOK_EVERY_S,
        default_status=status,
        description=f"Tells what is wrong: {', '.join(kinds)}. Sends again what was not taken.",
    )
    def look(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        if alerts is None:
            return dg.SkipReason("nobody is to be told: write alerts into dccd.yaml")
        now, looked = clock.now(), _recalled(context.cursor)
        alarms, lines, troubles = list[Alarm](), list[str](), list[str]()
        blind = dict[str, str | None].fromkeys(kinds)
        for name, kind in _due(kinds, looked, now):
            looked.at[name] = now
            alarm = Alarm(context.instance, name)
            try:
                found = kind.look(Look(settings, context.instance, now, looked.memories.setdefault(name, {})))
            except Exception as e:  # noqa: BLE001 -- one that cannot look holds back no other, and is said
                troubles.append(f"{name} could not be looked at: {type(e).__name__}: {e}")
                blind[name] = _said_blind(looked, name, e, now)
                continue
            blind[name] = ""
            looked.blind.pop(name, None)
            lines += alarm.look(found, now)
            alarms.append(alarm)
        alarms.append(Alarm(context.instance, "looks"))
        lines += alarms[-1].look({f"looking at {name}": text for name, text in blind.items()}, now)
        outbox = Outbox(context.instance, alerts)
        troubles += outbox.tell(in_one(lines), now)
        for alarm in alarms:
            alarm.keep()
        for line in (*lines, *troubles):
            context.log.error(line)
        context.update_cursor(msgspec.json.encode(looked).decode())
        said = [*troubles, *(outbox.refusing() if not troubles else ())]
        return dg.SkipReason("; ".join(said) or f"{len(lines)} alerts were told")

    return look


def _recalled(cursor: str | None) -> Looked:
    """Return what a cursor says; one of another version, or of somebody's hand, says nothing."""
    with suppress(msgspec.DecodeError):
        return _READ.decode(cursor or "{}")
    return Looked()


def _said_blind(looked: Looked, name: str, error: Exception, now: Us) -> str | None:
    """Say that nothing is known of a kind, if that lasts: else a store that vanished would be told nobody."""
    since = min(now, looked.blind.get(name, now))
    looked.blind[name] = since
    why = str(error) if isinstance(error, DccdError) else type(error).__name__  # or it may hold secrets
    return f"{name} cannot be looked at: {why}" if now - since >= _BLIND else None


def _due(kinds: Mapping[str, Kind], looked: Looked, now: Us) -> Iterator[tuple[str, Kind]]:
    for name, kind in kinds.items():
        if not 0 <= now - looked.at.get(name, 0) < kind.every - _EARLY:
            yield name, kind
