"""What Dagster's webserver answers is understood; the real one answers in tests/e2e/test_up.py."""

import http.server
import json
import threading
from collections.abc import Iterator

import pytest

from dccd_core.domain.timespan import SECOND, parse_time
from dccd_pipeline.cli.webserver import is_ready, reload_code, said_next
from dccd_pipeline.config.read import settings_of
from dccd_pipeline.config.settings import Settings

BARS = {"exchange": "binance", "symbols": ["BTC/USDT"], "data_type": "ohlc", "start": "2024-01-01"}


class _Answers(http.server.BaseHTTPRequestHandler):
    answer: object = None

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert asked["variables"] == {"location": "dccd_pipeline.definitions"}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(self.answer).encode())

    def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002 -- its name


@pytest.fixture
def server() -> Iterator[str]:
    with http.server.HTTPServer(("127.0.0.1", 0), _Answers) as one:
        thread = threading.Thread(target=one.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{one.server_port}"
        one.shutdown()
        thread.join()


def test_what_dagster_answers_is_understood(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def answers(told: object) -> str:
        monkeypatch.setattr(_Answers, "answer", told)
        return reload_code(server)

    def reloaded(told: object) -> object:
        return {"data": {"reloadRepositoryLocation": told}}

    assert is_ready(server)
    good = {
        "__typename": "WorkspaceLocationEntry",
        "locationOrLoadError": {"__typename": "RepositoryLocation"},
    }
    assert answers(reloaded(good)) == ""
    bad = {"locationOrLoadError": {"message": "Traceback\nValueError: no\n"}}
    assert answers(reloaded(bad)) == "ValueError: no"
    assert answers(reloaded({"message": "not allowed"})) == "not allowed"
    assert answers({}) == "nothing was answered"
    assert answers({"errors": [{"message": "no such field"}]}) == "no such field"


def test_a_server_that_is_not_there_is_said() -> None:
    nowhere = "http://127.0.0.1:9"
    assert not is_ready(nowhere)
    assert reload_code(nowhere).startswith("the webserver does not answer: ")


def settings(*names: str, every: str = "1h") -> Settings:
    spans = ("1m", "5m", "15m", "1h")
    entries = [
        {**BARS, "name": name, "span": span, "every": every} for name, span in zip(names, spans, strict=False)
    ]
    return settings_of({"collect": entries})


def schedule(name: str, at: str | None, status: str = "RUNNING") -> dict[str, object]:
    ticks = [{"timestamp": parse_time(at) / SECOND}] if at else []
    return {
        "name": f"{name}_schedule",
        "scheduleState": {"status": status},
        "futureTicks": {"results": ticks},
    }


def test_when_ticks_come_is_said_the_soonest_first(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def said(*schedules: dict[str, object], of: Settings) -> str:
        told = {"data": {"schedulesOrError": {"__typename": "Schedules", "results": schedules}}}
        monkeypatch.setattr(_Answers, "answer", told)
        return said_next(server, of)

    helps = "-> `dccd collect` brings all up to date now"
    one, two = schedule("one", "2026-11-29T23:00"), schedule("two", "2026-11-29T22:05")
    report = schedule("lake_report", "2026-11-29T22:00")
    assert said(one, two, report, of=settings("one", "two")) == (
        f"next ticks: two at 2026-11-29T22:05:00Z, one at 2026-11-29T23:00:00Z {helps}"
    )
    stopped = schedule("two", "2026-11-29T22:05", "STOPPED")
    assert said(one, stopped, of=settings("one", "two")) == f"next ticks: one at 2026-11-29T23:00:00Z {helps}"
    assert said(stopped, report, of=settings("two")) == (
        "no tick comes: the schedules are stopped -> `dccd schedules on`"
    )
    many = [schedule(name, "2026-11-29T23:00") for name in "abcd"]
    assert said(*many, of=settings(*"abcd")).endswith(f"c at 2026-11-29T23:00:00Z and 1 more {helps}")


def test_where_no_tick_is_meant_to_come_nothing_is_asked() -> None:
    assert said_next("http://127.0.0.1:9", settings("one", every="never")) == ""
    assert said_next("http://127.0.0.1:9", settings()) == ""


def test_that_nobody_knows_when_ticks_come_is_said(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Answers, "answer", {"data": {"schedulesOrError": {"message": "not loaded"}}})
    assert said_next(server, settings("one")) == (
        "nobody knows when the next ticks come: not loaded -> `dccd schedules`"
    )
    assert "the webserver does not answer" in said_next("http://127.0.0.1:9", settings("one"))
