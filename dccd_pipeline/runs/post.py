"""One text to one address: a webhook by httpx, anything else by apprise. No secret leaves this module.

Belongs here: how it is sent, and why it was not taken, in words that may be shown. Does not: what becomes of
it then (outbox.py).
See https://github.com/caronc/apprise/wiki
"""

import logging
import re
import warnings
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from html import escape
from threading import Lock, Thread
from time import monotonic
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import httpx

from dccd_pipeline.config.alerts import is_web

if TYPE_CHECKING:
    from apprise import Apprise

_ANSWER_S: Final = 10
_PATIENCE_S: Final = 25
"""A sensor is given a minute."""
_SLACK: Final = ("hooks.slack.com", "hooks.slack-gov.com")
_OWN_FORMAT: Final = ("discord.com", "discordapp.com", "webhook.office.com", "chat.googleapis.com")
"""Hosts whose webhooks take neither text nor Slack's JSON: apprise knows their addresses."""
_TEXT: Final = {"Content-Type": "text/plain; charset=utf-8", "X-Title": "dccd", "X-Priority": "high"}
_HTTP: Final = re.compile(r"error=(\d{3})\b")
_TALK: Final = (
    "httpx",
    "httpcore.connection",
    "httpcore.http11",
    "httpcore.http2",
    "httpcore.proxy",
    "urllib3.connectionpool",
    "urllib3.util.retry",
    "apprise",
)
"""Loggers that write addresses as they are."""
_PLAIN: Final = "text"
_ONE_AT_A_TIME: Final = Lock()
_HEARD: Final[ContextVar[list[str] | None]] = ContextVar("heard", default=None)
"""What was logged while something is sent; None: nothing is."""


class _Unheard(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        heard = _HEARD.get()
        if heard is None:
            return True
        heard.append(record.getMessage())
        return False


_UNHEARD: Final = _Unheard()


def post_all(texts: Mapping[str, str]) -> dict[str, str]:
    """Send texts to their addresses, side by side; return why each was not taken: see ``post``."""
    said = dict[str, str]()

    def send(address: str, text: str) -> None:
        said[address] = post(address, text)

    threads = [Thread(target=send, args=one, daemon=True) for one in texts.items()]
    for thread in threads:
        thread.start()
    end = monotonic() + _PATIENCE_S
    for thread in threads:
        thread.join(max(0, end - monotonic()))
    return {address: said.get(address, f"no answer within {_PATIENCE_S} s") for address in texts}


def post(address: str, text: str) -> str:
    """Send a text to an address; return why it was not taken, empty when it was.

    What is returned names neither the address nor what was answered: both may hold secrets.
    """
    with _unheard() as heard:
        try:
            if is_web(address) and not _is_at(address, _OWN_FORMAT):
                return _to_webhook(address, text)
            return _by_apprise(address, text, heard)
        except Exception as e:  # noqa: BLE001 -- services raise what they like, and their words may hold secrets
            return f"it could not be sent ({type(e).__name__})"


def is_known(address: str) -> bool:
    """Tell whether an address can be sent to; to learn it of apprise's takes a second."""
    if is_web(address):
        return True
    with _unheard(), suppress(Exception):  # what services raise may hold secrets
        return _service(address) is not None
    return False


def _to_webhook(address: str, text: str) -> str:
    """Post a text; what others say in it is nothing that Slack acts on, as ``<!channel>`` would be."""
    try:
        if _is_at(address, _SLACK):
            answer = httpx.post(address, json={"text": escape(text, quote=False)}, timeout=_ANSWER_S)
        else:
            answer = httpx.post(address, content=text.encode(), headers=_TEXT, timeout=_ANSWER_S)
    except httpx.TimeoutException:
        return f"no answer within {_ANSWER_S} s"
    except httpx.TransportError:
        return "no connection"
    return "" if answer.is_success else f"HTTP {answer.status_code}"


def _by_apprise(address: str, text: str, heard: list[str]) -> str:
    service = _service(address)
    if service is None:
        return "apprise does not know such an address"
    with service.notify(body=text, title="dccd", body_format=_PLAIN) as result:
        return "" if result else _said(heard)


def _service(address: str) -> "Apprise | None":
    """Return what sends to an address; None: nobody knows what that is."""
    with _ONE_AT_A_TIME, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # more than a hundred services are imported: it takes a second
        from apprise import Apprise  # noqa: PLC0415

        service = Apprise()
        return service if service.add(address) else None


def _said(messages: Iterable[str]) -> str:
    """Return the reason in what a service said, without its other words."""
    told = "\n".join(messages)
    if found := _HTTP.search(told):
        return f"HTTP {found[1]}"
    return "no connection" if "onnection" in told else "it was refused"


def _is_at(address: str, hosts: Iterable[str]) -> bool:
    host = urlsplit(address).hostname or ""
    return any(host == one or host.endswith(f".{one}") for one in hosts)


@contextmanager
def _unheard() -> Generator[list[str]]:
    """Keep what others log of addresses from all who listen, in this context; give it."""
    for name in _TALK:
        logging.getLogger(name).addFilter(_UNHEARD)
    heard = list[str]()
    token = _HEARD.set(heard)
    try:
        yield heard
    finally:
        _HEARD.reset(token)
