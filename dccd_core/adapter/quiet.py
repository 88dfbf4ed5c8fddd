"""Quiet bars, for venues that have them in their history but push only bars in which something was traded."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from dccd_core.adapter.frames import Came
from dccd_core.domain.barspan import bar_open
from dccd_core.domain.timespan import SECOND, Ns

T = TypeVar("T")

_LATE: Final = Ns(2 * SECOND)
"""A bar of which nothing was told by then after its end was a quiet one."""


@dataclass(frozen=True, slots=True)
class Newest(Generic[T]):
    """The newest bar of a topic: when it opened, and how it was told, if it was."""

    opened: Ns
    bar: Ns
    row: T | None


class FilledBars(Generic[T]):
    """The bars of one batch of messages, with the quiet ones.

    Args:
        flat: makes the row of a quiet bar from the one before it.
        most: no more are filled in at once, as there is no more of them in the venue's history.
        before: those of the batch before.
    """

    def __init__(self, flat: Callable[[T], T], most: int, before: "FilledBars[T] | None") -> None:
        self.came = Came[T]()
        self.opens: list[Ns] = []
        self._flat, self._most = flat, most
        self._newest: dict[str, Newest[T]] = {} if before is None else dict(before._newest)

    def begin(self, topic: str, bar: Ns, at: Ns) -> None:
        """Note that the venue agreed to send a topic: it begins with the bar before the one that runs."""
        self._newest[topic] = Newest(Ns(bar_open(at, bar) - 2 * bar), bar, None)

    def start(self, topic: str, received: Ns, bar: Ns, opened: Ns, row: T) -> None:
        """Take the last bar before a topic began: of one that is long over only the price counts."""
        newest = self._newest.get(topic)
        if newest is not None and opened <= newest.opened:
            self._newest[topic] = Newest(newest.opened, bar, row)
        else:
            self.take(topic, received, bar, opened, row)

    def take(self, topic: str, received: Ns, bar: Ns, opened: Ns, row: T) -> None:
        """Take a bar as it came, after the quiet ones before it."""
        self._fill(topic, received, opened)
        self._add(topic, received, bar, opened, row)

    def settle(self, received: Ns, at: Ns) -> None:
        """Fill in the bars that were quiet, now that the venue's clock shows ``at``."""
        for topic in self._newest:
            self._fill(topic, received, Ns(at - _LATE))

    def _fill(self, topic: str, received: Ns, until: Ns) -> None:
        newest = self._newest.get(topic)
        if newest is None or newest.row is None:
            return
        bar, flat = newest.bar, self._flat(newest.row)
        first = max(newest.opened + bar, bar_open(until, bar) - self._most * bar)
        for opened in range(first, until - bar + 1, bar):
            self._add(topic, received, bar, Ns(opened), flat)

    def _add(self, topic: str, received: Ns, bar: Ns, opened: Ns, row: T) -> None:
        self.came.add(topic, received, row)
        self.opens.append(opened)
        newest = self._newest.get(topic)
        if newest is None or newest.opened <= opened:
            self._newest[topic] = Newest(opened, bar, row)
