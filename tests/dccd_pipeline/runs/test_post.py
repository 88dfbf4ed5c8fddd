"""One text to one address: a webhook by its host, anything else by apprise; no secret leaves."""

import logging
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from dccd_pipeline.runs.post import is_known, post, post_all
from tests.dccd_pipeline.hooks import Hook, hook

SECRET = "tok3n"
NOBODY = "http://127.0.0.1:9/"


@pytest.fixture
def taking() -> Iterator[Hook]:
    with hook() as one:
        yield one


def test_a_webhook_gets_the_text_as_dccd_sends_it(taking: Hook) -> None:
    assert post(taking.url, "it failed: è") == ""
    assert taking.texts == ["it failed: è"]
    sent = taking.headers[0]
    assert sent["content-type"] == "text/plain; charset=utf-8"
    assert (sent["x-title"], sent["x-priority"]) == ("dccd", "high")


def test_slack_s_webhook_gets_its_json(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[str, Any]] = []

    def answer(url: str, **more: Any) -> httpx.Response:
        sent.append((url, more.get("json")))
        return httpx.Response(200, request=httpx.Request("POST", url))

    monkeypatch.setattr(httpx, "post", answer)
    for url in ("https://hooks.slack.com/services/T/B/x", "https://hooks.slack.com.example.org/x"):
        assert post(url, "<!channel> & it failed") == ""
    assert sent == [
        ("https://hooks.slack.com/services/T/B/x", {"text": "&lt;!channel&gt; &amp; it failed"}),
        ("https://hooks.slack.com.example.org/x", None),
    ]


def test_other_addresses_are_apprise_s(taking: Hook) -> None:
    assert post(taking.by_apprise, "<b> & *it* failed") == ""
    assert taking.texts == ["<b> & *it* failed"]


@pytest.mark.parametrize("status", [500, 404, 302])
def test_a_refusal_is_its_status(status: int) -> None:
    with hook(status, status) as refusing:
        assert post(refusing.url, "it failed") == f"HTTP {status}"
        assert post(refusing.by_apprise.replace("hook", "hook?redirect=no"), "it failed") == f"HTTP {status}"


@pytest.mark.parametrize("scheme", ["http", "json"])
def test_where_nobody_answers_there_is_no_connection(scheme: str) -> None:
    assert post(NOBODY.replace("http", scheme), "it failed") == "no connection"


def test_what_apprise_does_not_know_is_said() -> None:
    assert post(f"slak://{SECRET}", "it failed") == "apprise does not know such an address"
    assert [is_known(one) for one in ("slak://x", "json://localhost", "https://h/x")] == [False, True, True]


def test_an_address_at_which_apprise_breaks_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_: object) -> bool:
        raise ValueError("user:secret")

    monkeypatch.setattr("apprise.Apprise.add", breaks)
    assert not is_known("json://user:secret@127.0.0.1:9/x")
    assert post("json://user:secret@127.0.0.1:9/x", "it failed") == "it could not be sent (ValueError)"


def test_an_error_that_nobody_foresaw_is_told_by_its_kind_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(url: str, **_more: Any) -> httpx.Response:
        raise ValueError(url)

    monkeypatch.setattr(httpx, "post", answer)
    assert post(f"https://example.org/{SECRET}", "it failed") == "it could not be sent (ValueError)"


def test_nothing_that_others_log_holds_the_address(taking: Hook, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for url in (taking.url, taking.by_apprise):
        assert post(f"{url}/{SECRET}", "it failed") == ""
    with hook(500, 500) as refusing:
        for url in (refusing.url, refusing.by_apprise):
            assert post(f"{url}/{SECRET}", "it failed") == "HTTP 500"
    assert SECRET not in caplog.text
    httpx.get(taking.url)
    assert "127.0.0.1" in caplog.text, "what others ask for is logged as ever"


def test_one_that_refuses_holds_back_no_other(taking: Hook) -> None:
    with hook(503) as refusing:
        said = post_all({refusing.url: "a", taking.url: "b", NOBODY: "c"})
    assert said == {refusing.url: "HTTP 503", taking.url: "", NOBODY: "no connection"}
    assert (taking.texts, refusing.texts) == (["b"], [])
