"""What is to be told, by address, until it was taken: an address that refuses is tried again, ever later.

What is told is kept in Dagster's storage before it is sent, so that neither a refusal nor the end of a
process loses it; it may be told twice. An address that refuses holds back no other.

Belongs here: what waits for whom, and since when. Does not: sending (post.py), what is told (alerts.py).
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from threading import Lock
from typing import Final

import dagster as dg
import msgspec

from dccd_core.domain.timespan import HOUR, MINUTE, SECOND, Us, iso
from dccd_pipeline.config.alerts import Alerts
from dccd_pipeline.runs.post import post_all
from dccd_pipeline.tags import WAITING

_MOST: Final = 50
"""So many texts wait for an address; of more the oldest are left out, which is said."""
_LONGEST: Final = 4_000
_LONGEST_POST: Final = 16_000
_ONE_AT_A_TIME: Final = Lock()
"""Sensors may run side by side in a process: what one adds the other must not overwrite."""


class Waiting(msgspec.Struct):
    """What an address has not taken yet, and since when (us). ``left_out``: how many texts were too many."""

    texts: list[str] = []
    since: int = 0
    why: str = ""
    tries: int = 0
    retry_at: int = 0
    left_out: int = 0


_READ: Final = msgspec.json.Decoder(dict[str, Waiting])


class Outbox:
    """The texts that wait for the addresses of ``alerts``; it is the instance that remembers."""

    def __init__(self, instance: dg.DagsterInstance, alerts: Alerts) -> None:
        self._storage = instance.daemon_cursor_storage
        self._addresses = {_key(one): (name, one) for name, one in alerts.addresses.items()}

    def tell(self, texts: Iterable[str], now: Us) -> list[str]:
        """Tell everybody, and send again what waits and is due; return a line for each who refused."""
        with _ONE_AT_A_TIME:
            boxes, news = self._read(), [text[:_LONGEST] for text in texts]
            if news:
                for key in self._addresses:
                    _put(boxes.setdefault(key, Waiting()), news)
                self._keep(boxes)
            due = {key: box for key, box in boxes.items() if not 0 < box.retry_at - now <= HOUR}
            if not due:
                return []
            said = post_all({self._addresses[key][1]: _joined(box) for key, box in due.items()})
            refused = list[str]()
            for key, box in due.items():
                name, address = self._addresses[key]
                if why := said[address]:
                    _refused(box, why, now)
                    refused.append(_said(name, box))
                else:
                    del boxes[key]
            self._keep(boxes)
        return refused

    def refusing(self) -> list[str]:
        """Return a line for each address that refused when it was tried last."""
        return [_said(self._addresses[key][0], box) for key, box in self._read().items() if box.tries]

    def _read(self) -> dict[str, Waiting]:
        """Return the boxes of the addresses that there are; what waited for others is nobody's any more."""
        text = self._storage.get_cursor_values({WAITING}).get(WAITING)
        try:
            boxes = _READ.decode(text) if text else dict[str, Waiting]()
        except msgspec.DecodeError:
            boxes = dict[str, Waiting]()
        return {key: box for key, box in boxes.items() if key in self._addresses}

    def _keep(self, boxes: dict[str, Waiting]) -> None:
        self._storage.set_cursor_values({WAITING: msgspec.json.encode(boxes).decode()})


def refusing_lines(alerts: Alerts | None, instance: dg.DagsterInstance) -> list[str]:
    """Return a line for each address that refused when it was tried last."""
    return Outbox(instance, alerts).refusing() if alerts else []


def in_one(lines: Sequence[str], most: int = 20) -> Iterator[str]:
    r"""Yield one text of many lines, if there are any; of very many the first are in it.

    >>> list(in_one(["a", "b", "c"], most=2)), list(in_one([]))
    (['a\nb\n... and 1 more: see `dccd status`'], [])
    """
    more = [f"... and {len(lines) - most} more: see `dccd status`"] if len(lines) > most else []
    if lines:
        yield "\n".join([*lines[:most], *more])


def _put(box: Waiting, texts: Sequence[str]) -> None:
    all_of_it = [*box.texts, *texts]
    box.left_out += max(0, len(all_of_it) - _MOST)
    box.texts = all_of_it[-_MOST:]


def _joined(box: Waiting) -> str:
    if len(box.texts) == 1 and not box.left_out:
        return box.texts[0]
    late = f", not taken since {_second(box.since)}" if box.tries else ""
    left_out = f" ({box.left_out} older ones are left out)" if box.left_out else ""
    return "\n\n".join([f"{len(box.texts)} alerts{late}{left_out}:", *box.texts])[:_LONGEST_POST]


def _refused(box: Waiting, why: str, now: Us) -> None:
    box.since, box.why = box.since or now, why
    box.retry_at = now + min(HOUR, MINUTE * 2**box.tries)
    box.tries += 1


def _said(name: str, box: Waiting) -> str:
    waits = f"{len(box.texts)} {'alert waits' if len(box.texts) == 1 else 'alerts wait'}"
    left_out = f", {box.left_out} older ones are left out" if box.left_out else ""
    return (
        f"{name} takes no alerts since {_second(box.since)}: {box.why}; {waits}{left_out}, "
        f"next try at {_second(box.retry_at)} -> `dccd alerts test`"
    )


def _second(at: int) -> str:
    return iso(Us(at - at % SECOND))


def _key(address: str) -> str:
    """Return what an address is known by where it must not stand."""
    return hashlib.sha256(address.encode()).hexdigest()[:12]
