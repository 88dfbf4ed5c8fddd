"""What ``dccd up`` asks Dagster's webserver: whether it is there, to load the code anew, when ticks come.

Belongs here: questions and what the answers mean. Does not: when to ask (up.py, reloading.py).
"""

import json
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Final, cast

from dccd_core.domain.timespan import SECOND, Us, iso
from dccd_pipeline.config.read import EMBEDDED
from dccd_pipeline.config.settings import Settings
from dccd_pipeline.tags import LOCATION

_READY_S: Final = 2.0
_ANSWER_S: Final = 30.0
_RELOAD_S: Final = 300.0
_NAMED: Final = 3
_RELOAD: Final = """
mutation($location: String!) { reloadRepositoryLocation(repositoryLocationName: $location) {
  __typename ... on Error { message }
  ... on WorkspaceLocationEntry { locationOrLoadError { __typename ... on PythonError { message } } } } }
"""
_SCHEDULES: Final = """
query($location: String!) { schedulesOrError(
  repositorySelector: {repositoryName: "__repository__", repositoryLocationName: $location}) {
  __typename ... on Error { message }
  ... on Schedules { results {
    name scheduleState { status } futureTicks(limit: 1) { results { timestamp } } } } } }
"""


def is_ready(url: str) -> bool:
    """Tell whether the page can be looked at."""
    try:
        with urllib.request.urlopen(f"{url}/server_info", timeout=_READY_S):  # noqa: S310 -- our own address
            return True
    except OSError:
        return False


def reload_code(url: str) -> str:
    """Have Dagster load the code location anew; return what went wrong, empty if nothing did."""
    told, wrong = _asked(url, _RELOAD, "reloadRepositoryLocation", _RELOAD_S)
    return wrong or _said(_within(told, "locationOrLoadError") or told)


def said_next(url: str, settings: Settings) -> str:
    """Say when the ticks of ``collect`` entries come, the soonest first; empty where none is meant to."""
    meant = {f"{one.name}_schedule": one.name for one in settings.collect if one.scheduled}
    if not meant or settings.source == EMBEDDED:
        return ""
    told, wrong = _asked(url, _SCHEDULES, "schedulesOrError", _ANSWER_S)
    if wrong := wrong or _said(told):
        return f"nobody knows when the next ticks come: {wrong} -> `dccd schedules`"
    schedules = cast("Sequence[object]", _within(told, "results") or ())
    found = [(str(_within(one, "name")), _next_of(one)) for one in schedules]
    ticks = sorted((at, meant[name]) for name, at in found if at is not None and name in meant)
    if not ticks:
        return "no tick comes: the schedules are stopped -> `dccd schedules on`"
    named = [f"{name} at {iso(at)}" for at, name in ticks[:_NAMED]]
    more = f" and {len(ticks) - _NAMED} more" if len(ticks) > _NAMED else ""
    return f"next ticks: {', '.join(named)}{more} -> `dccd collect` brings all up to date now"


def _next_of(schedule: object) -> Us | None:
    """Return when a schedule comes next; None where it is stopped."""
    if _within(_within(schedule, "scheduleState"), "status") != "RUNNING":
        return None
    ticks = cast("Sequence[object]", _within(_within(schedule, "futureTicks"), "results") or ())
    at = _within(ticks[0], "timestamp") if ticks else None
    return Us(round(at) * SECOND) if isinstance(at, float | int) else None


def _asked(url: str, question: str, field: str, patience_s: float) -> tuple[object, str]:
    """Return what is answered in a field, and what is wrong with the question, or the server."""
    body = json.dumps({"query": question, "variables": {"location": LOCATION}}).encode()
    request = urllib.request.Request(  # noqa: S310 -- our own address
        f"{url}/graphql", body, {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=patience_s) as answer:  # noqa: S310
            told = json.load(answer)
    except (OSError, ValueError) as e:
        return None, f"the webserver does not answer: {e}"
    if "errors" in told:
        return None, _said(cast("Sequence[object]", told["errors"])[0])
    found = _within(_within(told, "data"), field)
    return found, "" if found else "nothing was answered"


def _said(told: object) -> str:
    """Return the last line of an error's message; empty where it is none."""
    said = str(_within(told, "message") or "").strip()
    return said.splitlines()[-1] if said else ""


def _within(told: object, key: str) -> object:
    return cast("Mapping[str, object]", told).get(key) if isinstance(told, Mapping) else None
