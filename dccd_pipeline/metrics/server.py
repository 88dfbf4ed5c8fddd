"""``/metrics`` for Prometheus, ``/healthz`` for whoever restarts or wakes somebody, by HTTP.

An answer is found at most every few seconds, however often somebody asks.

Belongs here: HTTP. Does not: numbers (families.py), what is well (answer).
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from threading import Lock

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from dccd_core.domain.errors import DccdError
from dccd_core.domain.timespan import SECOND, Us
from dccd_core.net.clock import Clock

KEPT_S = 10


@dataclass(slots=True)
class Monitor:
    """What is told. ``look`` finds it: numbers, and a line for each thing that is wrong."""

    look: Callable[[], tuple[Iterable[Metric], Iterable[str]]]
    clock: Clock
    _lock: Lock = field(default_factory=Lock)
    _at: Us | None = None
    _metrics: bytes = b""
    _problems: tuple[str, ...] = ()

    def found(self) -> tuple[bytes, tuple[str, ...]]:
        """Return the numbers as Prometheus reads them, and what is wrong."""
        with self._lock:
            now = self.clock.now()
            if self._at is None or not 0 <= now - self._at < KEPT_S * SECOND:
                metrics, problems = self.look()
                self._metrics, self._problems, self._at = written(metrics), tuple(problems), now
            return self._metrics, self._problems


class _Families:
    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        return iter(self._metrics)


def written(metrics: Iterable[Metric]) -> bytes:
    """Write numbers as Prometheus reads them."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(list(metrics)))
    return generate_latest(registry)


def application(monitor: Monitor) -> Starlette:
    """Return who answers; looking takes a second, so it is done in threads."""

    def metrics(_: Request) -> Response:
        try:
            text, _problems = monitor.found()
        except DccdError as e:  # Prometheus says that it is down
            return PlainTextResponse(f"{e}\n", 503)
        return Response(text, media_type=CONTENT_TYPE_LATEST)

    def healthz(_: Request) -> Response:
        try:
            _metrics, problems = monitor.found()
        except DccdError as e:
            problems = (str(e),)
        return PlainTextResponse("\n".join(problems or ("all is well",)) + "\n", 503 if problems else 200)

    return Starlette(routes=[Route("/metrics", metrics), Route("/healthz", healthz)])
