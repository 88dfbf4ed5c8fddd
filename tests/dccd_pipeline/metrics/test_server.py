"""``/metrics`` and ``/healthz`` by HTTP: an answer is found now and then, not for each who asks."""

from collections.abc import Generator
from contextlib import contextmanager
from threading import Thread

import httpx
import uvicorn
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from dccd_core.domain.errors import LakeError
from dccd_core.domain.timespan import SECOND, Us, parse_time
from dccd_core.net.clock import ManualClock
from dccd_pipeline.metrics.server import KEPT_S, Monitor, application

NOW = parse_time("2026-02-01")


@contextmanager
def serving(monitor: Monitor) -> Generator[httpx.Client]:
    """Serve it on this machine until the block ends."""
    config = uvicorn.Config(application(monitor), host="127.0.0.1", port=0, log_level="error", lifespan="off")
    server = uvicorn.Server(config)
    thread = Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            thread.join(0.05)
            assert thread.is_alive()
        port = server.servers[0].sockets[0].getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()


def test_what_is_wrong_is_no_success_and_what_is_well_is() -> None:
    clock, looks = ManualClock(NOW), list[int]()
    problems = ["majors: failed"]

    def look() -> tuple[list[Metric], list[str]]:
        looks.append(clock.now())
        return [GaugeMetricFamily("dccd_well", "Whether all is well", value=0 if problems else 1)], problems

    with serving(Monitor(look, clock)) as client:
        said = client.get("/healthz")
        assert (said.status_code, said.text) == (503, "majors: failed\n")
        read = client.get("/metrics")
        assert read.headers["content-type"].startswith("text/plain; version=")
        assert "dccd_well 0.0\n" in read.text
        assert len(looks) == 1

        problems.clear()
        clock.set(Us(NOW + KEPT_S * SECOND - 1))
        assert client.get("/healthz").status_code == 503, "it is kept for a few seconds"
        clock.set(Us(NOW + KEPT_S * SECOND))
        said = client.get("/healthz")
        assert (said.status_code, said.text) == (200, "all is well\n")
        assert "dccd_well 1.0\n" in client.get("/metrics").text
        clock.set(NOW)
        client.get("/healthz")
        assert len(looks) == 3, "a clock that was stepped back keeps nothing"
        assert client.get("/other").status_code == 404


def test_r10_a_lake_that_cannot_be_looked_at_is_not_well_and_says_why() -> None:
    """36c92f8: "Internal Server Error", 500, for a store that is not mounted or a broken dccd.yaml."""

    def look() -> tuple[list[Metric], list[str]]:
        raise LakeError("the store /data is not there", hint="mount it")

    with serving(Monitor(look, ManualClock(NOW))) as client:
        for path in ("/healthz", "/metrics"):
            said = client.get(path)
            assert (said.status_code, said.text) == (503, "the store /data is not there -> mount it\n")
