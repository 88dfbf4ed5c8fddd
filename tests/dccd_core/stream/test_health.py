"""What a stream says of itself is so: recording is what is heard of as often as its market explains."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from dccd_core.adapter.live import BookChange
from dccd_core.domain.timespan import SECOND, ZERO, Us
from dccd_core.stream.api import DatasetHealth, Phase, StreamHealth, StreamPlan
from dccd_core.stream.booktopic import BookTopic
from dccd_core.stream.claim import Moment
from dccd_core.stream.connection import Connection
from dccd_core.stream.feeds import Line, topic_of
from dccd_core.stream.health import HealthReport
from dccd_core.stream.recorder import Place
from dccd_core.stream.wanted import Seen, Wanted
from tests.dccd_core.stream.pushing import BOOK, A, B, Stage, group, play, wanted

NONE = wanted("NONE/USD")


@dataclass
class FakeConnection:
    own: list[Line]
    connected: bool = True
    messages: int = 0
    bad: int = 0
    refused: dict[str, str] = field(default_factory=dict[str, str])
    accepted: set[str] = field(default_factory=set[str])

    def lines(self) -> list[Line]:
        return self.own


class Show:
    def __init__(self, folder: Path, *ones: Wanted) -> None:
        stage = Stage(folder)
        self.clock = stage.clock
        self.context = stage.context(*ones)
        self.plan = StreamPlan("majors", tuple(one.dataset for one in ones))
        self.report = HealthReport(self.context)

    def wait(self, seconds: float) -> None:
        play(self.clock.sleep(seconds))

    def line(self, one: Wanted, *, accepted: bool = True) -> Line:
        now = self.clock.steady()
        line = Line(str(one.dataset.symbol), one, self.context.seen[one.dataset], topic_of(one, now))
        if accepted:
            line.accepted = now
            line.topic.accept(Moment(now, self.clock.now()))
        return line

    def place(self, *ones: Wanted, connections: Sequence[FakeConnection] = ()) -> Place:
        place = Place(group(*ones))
        place.connections = [cast("Connection", connection) for connection in connections]
        return place

    def health(self, *places: Place, draining: bool = False) -> StreamHealth:
        return self.report.report(self.plan, places, draining=draining)

    def phases(self, *places: Place) -> list[Phase]:
        return [one.phase for one in self.health(*places).datasets]


class TestPhases:
    def test_nothing_is_recorded_before_a_connection_is(self, tmp_path: Path) -> None:
        show = Show(tmp_path, A)
        off = FakeConnection([show.line(A)], connected=False)
        assert show.phases(show.place(A)) == [Phase.CONNECTING]
        assert show.phases(show.place(A, connections=[off])) == [Phase.CONNECTING]
        assert show.phases(show.place(A, connections=[FakeConnection([show.line(A, accepted=False)])])) == [
            Phase.CONNECTING
        ]

    def test_one_that_is_not_heard_of_is_silent_since_then(self, tmp_path: Path) -> None:
        show = Show(tmp_path, A, B)
        one, other = show.line(A), show.line(B)
        place = show.place(A, B, connections=[FakeConnection([one, other])])
        assert show.health(place).phase is Phase.RECORDING
        began = show.clock.now()
        for _ in range(70):
            show.wait(1)
            one.topic.pace.count(show.clock.steady(), 1)
        health = show.health(place)
        assert [each.phase for each in health.datasets] == [Phase.RECORDING, Phase.SILENT]
        assert [each.since for each in health.datasets] == [None, began]
        assert (health.phase, health.why) == (Phase.SILENT, "1 of 2 datasets")

    def test_one_of_two_connections_is_enough(self, tmp_path: Path) -> None:
        show = Show(tmp_path, A)
        old = show.line(A)
        show.wait(60)
        new = show.line(A)
        place = show.place(A, connections=[FakeConnection([old]), FakeConnection([new])])
        assert show.phases(place) == [Phase.RECORDING]

    def test_a_book_that_is_lost_is_not_recorded(self, tmp_path: Path) -> None:
        show = Show(tmp_path, BOOK)
        line = show.line(BOOK)
        place = show.place(BOOK, connections=[FakeConnection([line])])
        assert show.phases(place) == [Phase.CONNECTING]
        whole = BookChange("c", show.clock.now(), [("9", "1")], [("11", "1")], whole=True, last=1)
        assert isinstance(line.topic, BookTopic)
        line.topic.update(whole, ZERO, Moment(show.clock.steady(), show.clock.now()))
        assert show.phases(place) == [Phase.RECORDING]

    def test_what_is_refused_paused_or_not_listed(self, tmp_path: Path) -> None:
        show = Show(tmp_path, A, B, NONE)
        connection = FakeConnection([show.line(A, accepted=False)], refused={"a.trades": "no such market"})
        show.plan = StreamPlan("majors", show.plan.datasets, paused=frozenset({B.dataset}))
        health = show.health(show.place(A, connections=[connection]))
        assert [one.phase for one in health.datasets] == [Phase.REFUSED, Phase.PAUSED, Phase.REFUSED]
        said = [one.refused for one in health.datasets]
        assert said == ["no such market", None, "the venue does not list it"]
        assert (health.phase, health.why) == (Phase.REFUSED, "the venue refuses all of it")

    def test_all_of_it_is_paused(self, tmp_path: Path) -> None:
        show = Show(tmp_path, A)
        show.plan = StreamPlan("majors", show.plan.datasets, paused=frozenset({A.dataset}))
        assert show.health().phase is Phase.PAUSED

    def test_it_is_recorded_only_when_all_that_is_wanted_is(self, tmp_path: Path) -> None:
        show = Show(tmp_path, A, B)
        connection = FakeConnection([show.line(A), show.line(B, accepted=False)])
        health = show.health(show.place(A, B, connections=[connection]))
        assert (health.phase, health.why) == (Phase.CONNECTING, "1 of 2 datasets")
        assert show.health(show.place(A, B, connections=[connection]), draining=True).phase is Phase.DRAINING


class TestNumbers:
    def test_what_is_proven_is_what_the_best_connection_proves(self, tmp_path: Path) -> None:
        show = Show(tmp_path, A)
        lines = [show.line(A), show.line(A), show.line(A)]
        for line, at in zip(lines, (50, 70), strict=False):
            line.claim.begin(Us(10 * SECOND))
            line.claim.reach(Us(at * SECOND))
        place = show.place(A, connections=[FakeConnection([line]) for line in lines])
        assert show.health(place).datasets[0].proven == 70 * SECOND
        assert show.health().datasets[0].proven is None

    def test_rates_are_those_since_the_last_report(self, tmp_path: Path) -> None:
        show = Show(tmp_path, A)
        seen: Seen = show.context.seen[A.dataset]
        seen.messages = 100
        show.wait(10)
        assert show.health().datasets[0].rate == 10.0
        seen.messages = 120
        show.wait(10)
        assert show.health().rate == 2.0

    def test_what_was_seen_is_told(self, tmp_path: Path) -> None:
        show = Show(tmp_path, A)
        show.context.seen[A.dataset] = Seen(5, 4, Us(9), Us(3), 2, Us(8), 1.5, 1.0, 2.0, 1)
        assert show.health().datasets[0] == DatasetHealth(
            A.dataset,
            last=Us(9),
            lag=Us(3),
            rate=5 * SECOND,  # within a nanosecond
            messages=5,
            rows=4,
            invalid=2,
            invalid_since=Us(8),
            refused="the venue does not list it",
            phase=Phase.REFUSED,
            price=1.5,
            bid=1.0,
            ask=2.0,
            crossed=1,
        )

    def test_connections_and_what_went_wrong_with_them(self, tmp_path: Path) -> None:
        show = Show(tmp_path, A, B)
        up = show.place(A, connections=[FakeConnection([show.line(A)], messages=7, bad=1)])
        down = show.place(B)
        down.reconnects, down.failures, down.why, down.messages = 3, 2, "the venue is closed", 5
        health = show.health(up, down)
        assert (health.connections, health.reconnects, health.tries) == (1, 3, 2)
        assert (health.messages, health.bad, health.why) == (12, 1, "the venue is closed")
        assert health.phase is Phase.CONNECTING
