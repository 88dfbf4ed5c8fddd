"""The section ``alerts``: addresses hold secrets, which are nowhere but in the request itself."""

import json
from typing import Any

import pytest

from dccd_pipeline.config.alerts import Alerts
from dccd_pipeline.config.read import SettingsError, settings_of

SECRET = "tok3n"
QUOTED = "write it in quotes, like 'https://example.org/hook'"
NO_SIZE = "'much' is no size -> write it like 500MiB or 2GiB"
ADDRESSES = [
    f"slack://{SECRET}/x/y",
    f"https://u:{SECRET}@example.org/{SECRET}",
    f"mailto://me:{SECRET}@gmx.com",
]


def said(alerts: Any) -> list[str]:
    with pytest.raises(SettingsError) as e:
        settings_of({"alerts": alerts})
    return list(e.value.lines)


def test_addresses_have_names_that_may_be_shown() -> None:
    alerts = Alerts(to=tuple(ADDRESSES), webhook_url=f"https://example.org/{SECRET}")
    assert list(alerts.addresses) == [
        "alerts.to[0] (slack)",
        "alerts.to[1] (https)",
        "alerts.to[2] (mailto)",
        "alerts.webhook_url",
    ]
    assert list(alerts.addresses.values()) == [*ADDRESSES, f"https://example.org/{SECRET}"]


def test_an_address_that_is_given_twice_is_told_once() -> None:
    alerts = Alerts(to=("https://h/x", "https://h/x"), webhook_url="https://h/x")
    assert list(alerts.addresses) == ["alerts.to[0] (https)"]


def test_secrets_are_in_nothing_that_is_printed() -> None:
    settings = settings_of({"alerts": {"to": ADDRESSES, "webhook_url": f"https://example.org/{SECRET}"}})
    assert settings.alerts
    for text in (
        repr(settings),
        str(settings.alerts),
        settings.model_dump_json(),
        str(settings.model_dump()),
    ):
        assert SECRET not in text
    shown = json.loads(settings.model_dump_json())["alerts"]
    assert shown["to"] == ["slack://...", "https://...", "mailto://..."]
    assert shown["webhook_url"] == "https://..."


@pytest.mark.parametrize(
    ("alerts", "line"),
    [
        ({"to": f"slack://{SECRET}"}, "alerts.to: should be a list of addresses -> write to: [https://example.org/hook]"),
        ({"to": [{"slack": SECRET}]}, f"alerts.to[0]: is no address -> {QUOTED}"),
        (
            {"to": ["https://h/x", SECRET]},
            "alerts.to[1]: is no address -> write it like slack://TOKENS, mailto://..., or https://example.org/hook",
        ),
        ({"to": [f"https://:{SECRET}/"]}, "alerts.to[0]: is no http address -> write it like https://example.org/path"),
        ({"webhook_url": f"slack://{SECRET}"}, "alerts.webhook_url: is no http address -> write it like https://example.org/path"),
        ({"webhook_url": [SECRET]}, f"alerts.webhook_url: is no address -> {QUOTED}"),
        ({"to": []}, "alerts: has no address -> write to: [https://example.org/hook]"),
        ({"to": ["https://h/x"], "low_disk": "much"}, f"alerts.low_disk: {NO_SIZE}"),
    ],
)  # fmt: skip
def test_what_is_refused_is_not_repeated(alerts: Any, line: str) -> None:
    assert said(alerts) == [line]


def test_without_more_it_takes_three_failures_and_two_gibibytes() -> None:
    alerts = Alerts(to=("https://h/x",))
    assert (alerts.after_failures, alerts.low_disk) == (3, 2 << 30)
    assert settings_of({"alerts": {"to": ["json://h"], "low_disk": 0}}).alerts == Alerts(
        to=("json://h",), low_disk=0
    )
