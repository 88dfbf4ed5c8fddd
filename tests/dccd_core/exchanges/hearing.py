"""What the tests of every venue ask of its adapters: what messages and answers mean."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from dccd_core.adapter.contract import Response
from dccd_core.adapter.live import DecodedBatch, WebSocketApi
from dccd_core.domain.errors import DccdError, Throttled
from dccd_core.domain.timespan import Us, parse_time
from dccd_core.stream.book import Book
from dccd_core.tables import DataType

START: Final = parse_time("2024-01-01")
CAME: Final = Us(1_000)
_OWN: Final = object()


def response(status: int, body: bytes = b"", **headers: str) -> Response:
    """Return what came as 2024 began; the names of headers are written with ``_`` for ``-``."""
    return Response(status, {name.replace("_", "-"): value for name, value in headers.items()}, body, START)


def stays_away(error: DccdError | None) -> tuple[type[Throttled], float | None]:
    """Return what kind of refusal it is, and for how many seconds nothing is to be asked."""
    assert isinstance(error, Throttled)
    return type(error), error.wait_s


@dataclass(frozen=True)
class Ear:
    """The adapter of a venue, given messages that come a microsecond apart, the first one at ``came``.

    ``state``: of the connection, where none is given.
    """

    live: WebSocketApi
    came: Us = CAME
    state: object = None

    def decoded(self, *frames: bytes, state: object = _OWN) -> DecodedBatch:
        return self._heard(frames, range(len(frames)), self.state if state is _OWN else state)

    def understood(self, *frames: bytes, state: object = _OWN) -> DecodedBatch:
        found = self.decoded(*frames, state=state)
        assert found.bad == []
        return found

    def followed(self, *frames: bytes, depth: int = 0) -> Book:
        """Return the book that messages of one topic make."""
        kept = Book(self.live.channels[DataType.ORDERBOOK], depth)
        for change in self.understood(*frames).books:
            kept.apply(change)
        return kept

    def spoils_no_other(self, bad: bytes, *good: bytes) -> None:
        """Assert that a message is not understood, with a reason, and its neighbours are as without it."""
        found = self.decoded(*good, bad, *good, bad)
        assert [frame for frame, _ in found.bad] == [bad, bad]
        assert all(reason for _, reason in found.bad)
        places = [place for place in range(2 * len(good) + 1) if place != len(good)]
        whole = self._heard([*good, *good], places, self.state)
        assert whole.bad == []
        for name in ("books", "acks", "words", "at", "restart", "state"):
            assert getattr(found, name) == getattr(whole, name), name
        for mine, theirs in ((found.trades, whole.trades), (found.bars, whole.bars)):
            assert (mine is None) == (theirs is None)
            assert mine is None or theirs is None or mine.equals(theirs)

    def _heard(self, frames: Sequence[bytes], places: Sequence[int], state: object) -> DecodedBatch:
        return self.live.decode(frames, [Us(self.came + place) for place in places], state)
