"""A connection to a simulated venue without a server: what one says, and what one is sent."""

from collections.abc import Sequence

import msgspec

from dccd_core.domain.timespan import TimeRange, Us
from dccd_core.testing.sandbox.live import Act, Close, Live, Message, Opening, Ping
from dccd_core.testing.sandbox.market import Market


class Talk:
    """One connection, opened at ``now``; time passes only by ``until``."""

    def __init__(
        self, live: Live, path: str, now: Us, market: Market, *, enforced: bool = False, **params: str
    ) -> None:
        assert path in live.paths
        self.side = live.open(Opening(market, path, params, now, enforced))
        self.now = now
        self.greeting = self.side.opened(now)

    def say(self, words: object) -> list[Act]:
        """Return the answer; text is sent as it is, all else as JSON."""
        text = words if isinstance(words, str) else msgspec.json.encode(words).decode()
        return self.side.heard(text, self.now)

    def until(self, end: Us) -> list[Act]:
        """Return all that is sent before ``end``."""
        acts = self.side.due(TimeRange(self.now, end))
        assert all(self.now <= act.at < end for act in acts)
        assert [act.at for act in acts] == sorted(act.at for act in acts)
        self.now = end
        return acts


def messages(acts: Sequence[Act], topic: str | None = None) -> list[Message]:
    return [act for act in acts if isinstance(act, Message) and topic in (None, act.topic)]


def told(acts: Sequence[Act], topic: str | None = None) -> list[dict[str, object]]:
    """Return the JSON objects that were sent."""
    return [msgspec.json.decode(act.text, type=dict[str, object]) for act in messages(acts, topic)]


def pings(acts: Sequence[Act]) -> list[Ping]:
    return [act for act in acts if isinstance(act, Ping)]


def closes(acts: Sequence[Act]) -> list[Close]:
    return [act for act in acts if isinstance(act, Close)]
