"""One connection: what to send when, and what the venue's answers mean. Pure: time is handed in."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from dccd_core.adapter.live import Ack, DecodedBatch, Topic, WebSocketApi
from dccd_core.domain.timespan import SECOND, Us

_ANSWER_WITHIN: Final = Us(30 * SECOND)
"""How long a venue has to answer a subscription: Bitfinex was seen to take 12.9 s."""
_TRIES: Final = 3
"""What is not answered so often may be another connection's."""
_UNANSWERED: Final = "no answer to its subscription"


@dataclass(frozen=True, slots=True)
class _Message:
    """A message that waits for its turn: a ready one, or topics to subscribe to or to give up.

    ``again``: as nobody answered the last one; an answer that comes late makes it needless.
    """

    text: bytes = b""
    names: tuple[str, ...] = ()
    leave: bool = False
    again: bool = False


@dataclass(frozen=True, slots=True)
class _Sent:
    names: tuple[str, ...]
    at: Us


class Session:
    """One connection's subscriptions.

    Args:
        live: the venue's ways.
        topics: what to subscribe to, by the names that the venue's messages use.
        now: a clock that is never stepped, as in all other methods; not the time of day.
    """

    def __init__(self, live: WebSocketApi, topics: Mapping[str, Topic], now: Us) -> None:
        self.refused: dict[str, str] = {}
        """What the venue said of topics that it does not send."""
        self.full: set[str] = set()
        """Those of them that another connection may get."""
        self._live, self._topics, self._known = live, dict(topics), dict(topics)
        self._waiting = deque(_Message(text) for text in live.greeting)
        self._subscribe(topics)
        self._sent: dict[int, _Sent] = {}
        self._subscribed: set[str] = set()
        self._news: list[str] = []
        self._unanswered: dict[str, int] = {}
        """How often in a row nobody answered for a topic."""
        self._late: list[str] = []
        self._one_by_one = False
        self._ids = 0
        self._next_message = self._heard = now
        self._next_ping = Us(now + live.ping_every)
        self._restart: str | None = None
        self._state: object = None

    @property
    def settled(self) -> bool:
        """Whether the venue has answered for every topic."""
        return len(self._subscribed) + len(self.refused) >= len(self._topics)

    def due(self, now: Us) -> list[bytes]:
        """Return what is to be sent now."""
        self._ask_again(now)
        if now < self._next_message:
            return []
        message = self._ping(now) or self._next(now)
        if message is None:
            return []
        self._next_message = Us(now + self._live.pace)
        return [message]

    def wake(self) -> Us:
        """Return when there may be something to send next."""
        wanted = self._next_message if self._may_send() else self._next_ping
        return max(self._next_message, min(wanted, self._next_ping))

    def receive(self, frames: Sequence[bytes], received: Sequence[Us], now: Us) -> DecodedBatch:
        """Take messages as they came, with the time of day at which they did."""
        self._heard = now
        batch = self._live.decode(frames, received, self._state)
        self._state = batch.state
        for ack in batch.acks:
            self._settle(ack)
        self._restart = self._restart or batch.restart
        return batch

    def concerned(self, bad: Sequence[tuple[bytes, str]]) -> frozenset[str]:
        """Return the topics that messages may have been of which nobody understands; empty: any."""
        named = [self._live.topics_in(frame, self._state) for frame, _ in bad]
        return frozenset(name for names in named for name in names) if all(named) else frozenset()

    def alive(self, now: Us) -> None:
        """Note that something came which is no message: a ping or a pong of the protocol."""
        self._heard = now

    def accepted(self) -> list[str]:
        """Return the topics that the venue has agreed to send since this was last asked."""
        news, self._news = self._news, []
        return news

    def unanswered(self) -> list[str]:
        """Return the topics that nobody answered for since this was last asked; they are asked for anew."""
        late, self._late = self._late, []
        return late

    def add(self, topics: Mapping[str, Topic]) -> None:
        """Subscribe to more topics."""
        self._topics |= topics
        self._known |= topics
        self._subscribe(topics)

    def leave(self, name: str) -> None:
        """Give a topic up for good."""
        if self._topics.pop(name, None) is None:
            return
        if name not in self.refused:
            self._waiting.append(_Message(names=(name,), leave=True))
        self.refused.pop(name, None)
        self.full.discard(name)
        self._subscribed.discard(name)
        self._forget(name)

    def resubscribe(self, name: str) -> None:
        """Give one topic up and subscribe to it again: its book begins anew then.

        Nothing is done while the last time is still under way.
        """
        if any(name in message.names for message in (*self._waiting, *self._sent.values())):
            return
        self._subscribed.discard(name)
        self._waiting.append(_Message(names=(name,), leave=True))
        self._waiting.append(_Message(names=(name,)))

    def over(self, now: Us) -> str | None:
        """Say why the connection is to be given up, if it is."""
        if self._restart:
            return self._restart
        if now - self._heard > self._live.silence:
            return f"nothing came for {self._live.silence // SECOND} s, not even an answer to a ping"
        late = next((sent for sent in self._sent.values() if now - sent.at > _ANSWER_WITHIN), None)
        if late is not None and not self._subscribed:  # else what it brings is not given up for one topic
            return f"no answer to the subscription of {', '.join(late.names[:3])}"
        if self._topics and len(self.refused) == len(self._topics) and not self.full:
            return f"every subscription was refused: {next(iter(self.refused.values()))}"
        return None

    def _ask_again(self, now: Us) -> None:
        """Ask anew for what nobody answered, where others were: it may be the answer that was lost."""
        if not self._subscribed:
            return
        for number, sent in [one for one in self._sent.items() if now - one[1].at > _ANSWER_WITHIN]:
            del self._sent[number]
            for name in sent.names:
                self._late.append(name)
                self._unanswered[name] = self._unanswered.get(name, 0) + 1
                if self._unanswered[name] >= _TRIES:
                    self.refused[name] = _UNANSWERED
                    self.full.add(name)
                else:
                    self._waiting.append(_Message(names=(name,), leave=True, again=True))
                    self._waiting.append(_Message(names=(name,), again=True))
        self._calm()

    def _subscribe(self, names: Iterable[str], batch: int | None = None) -> None:
        wanted, size = list(names), batch or self._live.batch
        for at in range(0, len(wanted), size):
            self._waiting.append(_Message(names=tuple(wanted[at : at + size])))

    def _may_send(self) -> bool:
        return bool(self._waiting) and not (self._one_by_one and self._sent)

    def _next(self, now: Us) -> bytes | None:
        while self._may_send():
            message = self._waiting.popleft()
            if message.text:
                return message.text
            if message.leave:
                topics = [self._known[name] for name in message.names]
                return self._live.unsubscribe(topics, self._number(), self._state)
            if names := tuple(name for name in message.names if name in self._topics):
                number = self._number()
                self._sent[number] = _Sent(names, now)
                return self._live.subscribe([self._topics[name] for name in names], number)
        return None

    def _ping(self, now: Us) -> bytes | None:
        if self._live.ping is None or now < self._next_ping:
            return None
        self._next_ping = Us(now + self._live.ping_every)
        return self._live.ping(self._number())

    def _number(self) -> int:
        self._ids += 1
        return self._ids

    def _settle(self, ack: Ack) -> None:
        names = self._answered(ack)
        if ack.error is None:
            self._accept(names)
        elif len(names) == 1:
            self.refused[names[0]] = ack.error
            self.full |= set(names) if ack.full else set()
        elif names:  # one bad topic may have failed the others with it
            self._one_by_one = True
            self._subscribe([name for name in names if name not in self._subscribed], batch=1)
        self._calm()

    def _accept(self, names: Iterable[str]) -> None:
        for name in names:
            self._news += [name] if name not in self._subscribed else []
            self._subscribed.add(name)
            self.refused.pop(name, None)
            self.full.discard(name)
            if self._unanswered.pop(name, 0):
                again = [one for one in self._waiting if one.again and one.names == (name,)]
                self._waiting = deque(one for one in self._waiting if one not in again)

    def _calm(self) -> None:
        """Send as usual again once every topic that was tried alone is answered for."""
        waiting = (message for message in self._waiting if message.names and not message.leave)
        if not self._sent and next(waiting, None) is None:
            self._one_by_one = False

    def _answered(self, ack: Ack) -> tuple[str, ...]:
        """Return the topics that an answer is about, and stop waiting for it."""
        if ack.topic is not None:
            self._forget(ack.topic)
            return (ack.topic,) if ack.topic in self._topics else ()
        if ack.id is not None:
            sent = self._sent.pop(ack.id, None)
            return sent.names if sent else ()
        names = tuple(name for sent in self._sent.values() for name in sent.names)
        self._sent.clear()
        return names

    def _forget(self, name: str) -> None:
        for number, sent in list(self._sent.items()):
            left = tuple(other for other in sent.names if other != name)
            if left:
                self._sent[number] = _Sent(left, sent.at)
            else:
                del self._sent[number]
