"""``dccd schedules``: which schedules are on, and turning them on and off.

Belongs here: options in, lines out. Does not: how Dagster keeps it (runs/instigators.py).
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from difflib import get_close_matches
from typing import Final

import click
import dagster as dg

from dccd_core.domain.errors import ConfigError
from dccd_core.domain.timespan import Us, iso
from dccd_core.net.clock import SystemClock
from dccd_pipeline.build import build_definitions
from dccd_pipeline.cli import render
from dccd_pipeline.cli.instance import existing_instance, open_instance
from dccd_pipeline.cli.options import lasting, told
from dccd_pipeline.config.settings import Settings
from dccd_pipeline.runs.instigators import ScheduleState, schedule_states, turn

_ON: Final = "on"
_END: Final = "_schedule"


@click.command()
@click.argument("turned", metavar="[on|off]", type=click.Choice([_ON, "off"]), required=False)
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@told
def schedules(turned: str | None, name: str | None, as_json: bool) -> None:
    """List the schedules; or turn them on or off, all or the one of an entry NAME. It is remembered.

    Streams have none: dccd stream pause NAME.
    """
    settings, now = lasting(), SystemClock().now()
    known = chosen_schedules(settings, name)
    if turned is None:
        with existing_instance() as instance:
            _show(schedule_states(instance, known, now), settings.timezone, as_json=as_json)
        return
    with open_instance() as instance:
        changed = turn(instance, known, now, on=turned == _ON)
        states = schedule_states(instance, known, now)
    if as_json:
        _show(states, settings.timezone, as_json=True)
        return
    for one in states:
        click.echo(f"{one.name}: {turned}" + ("" if one.name in changed else ", as it was"))


def chosen_schedules(settings: Settings, name: str | None) -> list[dg.ScheduleDefinition]:
    """Return all schedules, or the one that is called so or belongs to the entry that is.

    Raises:
        ConfigError: there is none.
    """
    repository = build_definitions(settings).get_repository_def()
    known = {one.name: one for one in repository.schedule_defs}
    if name is None:
        return list(known.values())
    if found := known.get(name) or known.get(f"{name}{_END}"):
        return [found]
    words = [one.removesuffix(_END) for one in known]
    near = get_close_matches(name, words, 1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(words))}"
    raise ConfigError(f"there is no schedule of {name}", hint=hint)


def _show(states: Sequence[ScheduleState], zone: str, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([asdict(one) for one in states]))
        return
    head = ("schedule", "state", "cron", "last tick", "came to", "next tick")
    render.table(
        f"{len(states)} schedules{'' if zone == 'UTC' else f', times of {zone}'}",
        head,
        [
            (
                *(one.name.removesuffix(_END), _ON if one.on else "off", one.cron),
                *(_said(one.last, zone), one.outcome or "-", _said(one.next, zone)),
            )
            for one in states
        ],
    )


def _said(at: Us | None, zone: str) -> str:
    return "-" if at is None else render.local(iso(at), zone)
