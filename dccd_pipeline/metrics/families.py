"""From the answer whether a lake is complete and right to numbers that Prometheus keeps. Pure.

Belongs here: names, help texts and values. Does not: finding anything out (answer), HTTP (server.py).
See https://prometheus.io/docs/practices/naming/
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from dccd_core.domain.timespan import SECOND, Us
from dccd_core.net.ratelimit.spent import Spent
from dccd_pipeline.answer.dataset import DatasetStatus
from dccd_pipeline.answer.gather import Answer
from dccd_pipeline.streams.status import RunState, StreamState

Row = tuple[Sequence[str], float]
"""The values of the labels, and the number."""


def families(found: Answer, budgets: Iterable[Spent]) -> Iterator[Metric]:
    """Yield all families: of the lake, its datasets, streams, budgets and runs."""
    now = found.at
    yield _gauge("well", "1 when the lake is complete and right, as dccd status says", (), [((), found.well)])
    yield _gauge("problems", "Things that are wrong", (), [((), len(found.problems))])
    yield from _of_datasets(found.datasets, now)
    yield from _of_streams(found.streams, now)
    yield from _of_runs(found.runs, now)
    spent = list(budgets)
    weights = [((one.name,), one.weight) for one in spent]
    yield _gauge("budget_weight", "Weight spent in the last minute, by budget", ("budget",), weights)
    closed = [((one.name,), _seconds(one.closed_until, now)) for one in spent]
    yield _gauge("budget_closed_seconds", "How long no request goes out yet", ("budget",), closed)


def _of_datasets(datasets: Sequence[DatasetStatus], now: Us) -> Iterator[Metric]:
    def each(name: str, text: str, value: "dict[str, float | None]") -> Metric:
        rows = [((one,), number) for one, number in value.items() if number is not None]
        return _gauge(f"dataset_{name}", text, ("dataset",), rows)

    by_name = {str(one.dataset): one for one in datasets}
    yield each(
        "proven_until_age_seconds",
        "How long ago it was that all is proven up to; absent while nothing is",
        {n: None if one.until is None else (now - one.until) / SECOND for n, one in by_name.items()},
    )
    yield each(
        "behind_seconds",
        "How far it is from where its schedule should have brought it",
        {n: one.behind / SECOND for n, one in by_name.items()},
    )
    yield each(
        "gap_ppm",
        "Millionths of the wanted time that are not proven",
        {n: one.gap_ppm for n, one in by_name.items()},
    )
    yield each(
        "gap_day_ppm",
        "Millionths of the last whole day that are not proven",
        {n: one.gap_ppm_days[max(one.gap_ppm_days)] for n, one in by_name.items() if one.gap_ppm_days},
    )
    yield each("gaps", "Gaps that nobody explained", {n: one.gaps for n, one in by_name.items()})
    yield each("rows", "Rows stored, tail included", {n: one.rows for n, one in by_name.items()})
    yield each("bytes", "Bytes of its files", {n: one.bytes for n, one in by_name.items()})
    yield each("quarantined_rows", "Rows in quarantine", {n: one.quarantined for n, one in by_name.items()})
    yield each(
        "differing_rows",
        "Rows that another source tells otherwise",
        {n: one.differ for n, one in by_name.items()},
    )
    yield each("well", "1 when nothing is wrong with it", {n: one.well for n, one in by_name.items()})


def _of_streams(streams: Sequence[StreamState], now: Us) -> Iterator[Metric]:
    yield _gauge(
        "stream_state",
        "1 for the state that it is in",
        ("stream", "state"),
        [((one.name, one.state), 1) for one in streams],
    )
    beats = [(one.name, one.beat) for one in streams if one.beat]
    for name, text, values in (
        (
            "heartbeat_age_seconds",
            "How old its last sign of life is",
            [(now - b.at) / SECOND for _, b in beats],
        ),
        ("messages_per_second", "Messages", [b.rate for _, b in beats]),
        ("reconnects", "Reconnects of its run", [b.reconnects for _, b in beats]),
        ("refused_messages", "Messages that could not be understood", [b.bad for _, b in beats]),
    ):
        rows = [((stream,), value) for (stream, _), value in zip(beats, values, strict=True)]
        yield _gauge(f"stream_{name}", text, ("stream",), rows)
    each = [(stream, row) for stream, beat in beats for row in beat.datasets]
    yield _gauge(
        "stream_dataset_last_age_seconds",
        "How old the last message of it is",
        ("stream", "dataset"),
        [((stream, row.dataset), (now - row.last) / SECOND) for stream, row in each if row.last is not None],
    )


def _of_runs(runs: Sequence[RunState], now: Us) -> Iterator[Metric]:
    counts = Counter(run.status for run in runs)
    yield _gauge(
        "recent_runs", "The youngest runs, by state", ("status",), [((s,), n) for s, n in counts.items()]
    )
    newest = {run.job: run for run in reversed(runs)}
    failed = [((job,), run.status == "failure") for job, run in newest.items()]
    yield _gauge("job_failed", "1 when the last run of a job failed", ("job",), failed)
    ages = [((job,), (now - run.ended) / SECOND) for job, run in newest.items() if run.ended is not None]
    yield _gauge("job_ended_age_seconds", "How long ago the last run of a job ended", ("job",), ages)


def _seconds(until: Us, now: Us) -> float:
    return max(0.0, (until - now) / SECOND)


def _gauge(name: str, text: str, labels: Sequence[str], rows: Iterable[Row]) -> Metric:
    family = GaugeMetricFamily(f"dccd_{name}", text, labels=list(labels))
    for values, number in rows:
        family.add_metric(list(values), float(number))
    return family
