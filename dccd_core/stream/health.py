"""How a stream is: from what its connections know to words that are so."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import SECOND, Us
from dccd_core.stream.api import DatasetHealth, Phase, StreamHealth, StreamPlan
from dccd_core.stream.booktopic import BookTopic
from dccd_core.stream.connection import StreamContext
from dccd_core.stream.feeds import Line

if TYPE_CHECKING:  # it makes the reports
    from dccd_core.stream.recorder import Place


class HealthReport:
    """Makes one report after another; rates are those since the last one."""

    def __init__(self, context: StreamContext) -> None:
        self._context, self._clock = context, context.clock
        self._started = context.clock.now()
        self._counted: dict[Dataset, int] = {}
        self._beaten = context.clock.steady()

    def report(self, plan: StreamPlan, places: "Sequence[Place]", *, draining: bool) -> StreamHealth:
        """Return how all is now."""
        now = self._clock.steady()
        passed, self._beaten = max(1, now - self._beaten), now
        topics: dict[Dataset, list[Line]] = {}
        connections = [connection for place in places for connection in place.connections]
        for connection in connections:
            for topic in connection.lines() if connection.connected else ():
                topics.setdefault(topic.wanted.dataset, []).append(topic)
        refused = _refused(places)
        wanted = {one for place in places for one in place.group.datasets}
        unlisted = [one for one in plan.datasets if one not in wanted and one not in plan.paused]
        refused |= dict.fromkeys(unlisted, "the venue does not list it")
        datasets = tuple(
            self._dataset(plan, one, topics.get(one, []), refused.get(one), passed) for one in plan.datasets
        )
        phase, why = _overall(datasets, draining=draining)
        down = [place for place in places if not any(one.connected for one in place.connections)]
        return StreamHealth(
            at=self._clock.now(),
            started=self._started,
            connections=sum(connection.connected for connection in connections),
            reconnects=sum(place.reconnects for place in places),
            rate=sum(one.rate for one in datasets),
            messages=sum(one.messages for one in (*places, *connections)),
            bad=sum(one.bad for one in (*places, *connections)),
            datasets=datasets,
            phase=phase,
            tries=max((place.failures for place in down), default=0),
            why=next((place.why for place in down if place.why), why),
        )

    def _dataset(
        self, plan: StreamPlan, dataset: Dataset, topics: list[Line], refused: str | None, passed: int
    ) -> DatasetHealth:
        seen = self._context.seen[dataset]
        before = self._counted.get(dataset, 0)
        self._counted[dataset] = seen.messages
        phase, since = self._phase(dataset in plan.paused, topics, refused)
        reached = [at for topic in topics if (at := topic.claim.reached) is not None]
        return DatasetHealth(
            dataset,
            last=seen.last,
            lag=seen.lag,
            rate=(seen.messages - before) * SECOND / passed,
            messages=seen.messages,
            rows=seen.rows,
            invalid=seen.invalid,
            invalid_since=seen.invalid_since,
            refused=refused,
            phase=phase,
            since=since,
            proven=max(reached, default=None),
            price=seen.price,
            bid=seen.bid,
            ask=seen.ask,
            crossed=seen.crossed,
        )

    def _phase(self, paused: bool, topics: list[Line], refused: str | None) -> tuple[Phase, Us | None]:  # noqa: FBT001
        """Say how a dataset is; since when it is silent, on our wall clock."""
        now = self._clock.steady()
        accepted = [topic for topic in topics if topic.accepted is not None]
        if paused:
            return Phase.PAUSED, None
        if refused is not None and not accepted:
            return Phase.REFUSED, None
        if not accepted:
            return Phase.CONNECTING, None
        if all(topic.topic.pace.alarming(now) for topic in accepted):
            heard = max(topic.topic.pace.heard for topic in accepted)
            return Phase.SILENT, Us(self._clock.now() - (now - heard))
        if all(isinstance(topic.topic, BookTopic) and topic.topic.lost for topic in accepted):
            return Phase.CONNECTING, None
        return Phase.RECORDING, None


def _refused(places: "Sequence[Place]") -> dict[Dataset, str]:
    return {
        one.dataset: said
        for place in places
        for name, said in place.refused.items()
        for one in place.group.wanted[name]
    }


def _overall(datasets: Sequence[DatasetHealth], *, draining: bool) -> tuple[Phase, str]:
    """Say how the whole stream is, by its datasets: RECORDING only when all of them are."""
    if draining:
        return Phase.DRAINING, ""
    phases = [one.phase for one in datasets if one.phase not in (Phase.PAUSED, Phase.REFUSED)]
    if not phases:
        refused = any(one.phase is Phase.REFUSED for one in datasets)
        return (Phase.REFUSED, "the venue refuses all of it") if refused else (Phase.PAUSED, "")
    for phase in (Phase.SILENT, Phase.CONNECTING):
        if count := phases.count(phase):
            return phase, f"{count} of {len(phases)} datasets" if count < len(phases) else ""
    return Phase.RECORDING, ""
