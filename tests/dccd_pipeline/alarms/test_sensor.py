"""The sensor tells what kinds find, each as often as it is due, and sends again what was not taken."""

from pathlib import Path

import dagster as dg
import msgspec
import pytest

from dccd_core.domain.errors import LakeError
from dccd_core.domain.timespan import DAY, MINUTE, Us
from dccd_core.net.clock import ManualClock
from dccd_pipeline.alarms.look import Found, Kind, Look
from dccd_pipeline.alarms.sensor import Looked, alert_sensor
from tests.dccd_pipeline.alarms.looked import NOW, minutes, settings
from tests.dccd_pipeline.hooks import Hook, hook


def looks(kinds: dict[str, Kind], one: Hook, folder: Path, count: int) -> list[str]:
    """Let the sensor look once a minute; return what its ticks say."""
    clock, said, cursor = ManualClock(NOW), list[str](), None
    sensor = alert_sensor(settings(folder, alerts={"to": [one.url]}), clock, kinds)
    with dg.DagsterInstance.ephemeral() as instance:
        for minute in range(count):
            clock.set(minutes(minute))
            context = dg.build_sensor_context(instance, cursor)
            result = sensor(context)
            assert isinstance(result, dg.SkipReason)
            said.append(result.skip_message or "")
            cursor = context.cursor
    return said


def test_a_kind_is_told_hourly_and_its_end_too(tmp_path: Path) -> None:
    def heat(look: Look) -> Found:
        hot = (look.now - NOW) // MINUTE in range(30, 150)
        return {"oven": "the oven is hot" if hot else "", "fridge": ""}

    with hook() as one:
        said = looks({"heat": Kind(heat)}, one, tmp_path, 160)
        assert one.texts == ["the oven is hot"] * 2 + ["oven: well again after 2 h (it was told 2 times)"]
        assert [minute for minute, text in enumerate(said) if text == "1 alerts were told"] == [30, 90, 150]


def test_a_kind_looks_as_often_as_it_is_due_and_remembers(tmp_path: Path) -> None:
    seen = list[int]()

    def count(look: Look) -> Found:
        seen.append(len(look.memory.setdefault("looks", [])))
        look.memory["looks"].append(look.now)
        return {}

    with hook() as one:
        looks({"count": Kind(count), "other": Kind(count, every=Us(7 * MINUTE))}, one, tmp_path, 15)
    assert seen == [0, 0, 1, 1, 2, 2], "each has a memory of its own"


def test_one_that_cannot_look_is_said_and_holds_back_no_other(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def breaks(_: Look) -> Found:
        raise ZeroDivisionError("unforeseen")

    with hook() as one:
        said = looks(
            {"odd": Kind(breaks), "hot": Kind(lambda _: {"oven": "the oven is hot"})}, one, tmp_path, 1
        )
        assert one.texts == ["the oven is hot"]
    assert said == ["odd could not be looked at: ZeroDivisionError: unforeseen"]
    assert f"ERROR - {said[0]}" in capfd.readouterr().err


def test_who_cannot_look_for_a_while_is_told_too(tmp_path: Path) -> None:
    """A store that vanishes takes with it all that would say so: it stood in a log only."""

    def breaks(look: Look) -> Found:
        if (look.now - NOW) // MINUTE in range(10, 90):
            raise LakeError("the disk is gone", hint="mount it")
        if (look.now - NOW) // MINUTE in range(95, 100):
            raise ValueError("user:secret")
        return {}

    with hook() as one:
        looks({"behind": Kind(breaks), "other": Kind(lambda _: {})}, one, tmp_path, 130)
        assert one.texts == [
            *["behind cannot be looked at: the disk is gone -> mount it"] * 2,
            "looking at behind: well again after 1 h 5 min (it was told 2 times)",
        ]


@pytest.mark.parametrize(
    "cursor",
    [msgspec.json.encode(Looked({"hot": NOW + 1_000 * DAY})).decode(), '{"at": 7}', "by hand"],
    ids=["a clock was ahead", "of another version", "by hand"],
)
def test_whatever_is_remembered_kinds_look(tmp_path: Path, cursor: str) -> None:
    seen = list[Us]()
    with hook() as one, dg.DagsterInstance.ephemeral() as instance:
        sensor = alert_sensor(
            settings(tmp_path, alerts={"to": [one.url]}),
            ManualClock(NOW),
            {"hot": Kind(lambda look: seen.append(look.now) or {})},
        )
        sensor(dg.build_sensor_context(instance, cursor))
    assert seen == [NOW]


def test_what_was_not_taken_is_said_and_sent_again(tmp_path: Path) -> None:
    with hook(500) as one:
        said = looks({"hot": Kind(lambda _: {"oven": "the oven is hot"})}, one, tmp_path, 2)
        assert one.tried == ["the oven is hot"] * 2
    assert said[0].startswith("alerts.to[0] (http) takes no alerts since 2026-11-20T12:00:00Z: HTTP 500; ")
    assert said[1] == "0 alerts were told"


def test_without_addresses_it_is_off(tmp_path: Path) -> None:
    sensor = alert_sensor(settings(tmp_path, alerts=None))
    assert sensor.default_status is dg.DefaultSensorStatus.STOPPED
    result = sensor(dg.build_sensor_context())
    assert isinstance(result, dg.SkipReason)
    assert result.skip_message == "nobody is to be told: write alerts into dccd.yaml"
