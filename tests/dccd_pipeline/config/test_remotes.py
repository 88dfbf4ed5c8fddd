import re
from pathlib import Path
from typing import Any

import pytest

from dccd_core.domain.timespan import DAY, HOUR
from dccd_core.keep.remotes.remote import Place
from dccd_pipeline.config.read import SettingsError, settings_of
from dccd_pipeline.config.settings import Origin, off_lines

HERE = Origin("dccd.yaml", Path("/etc/dccd"))


def entry(**keys: Any) -> dict[str, Any]:
    return {"name": "nas", "to": "/mnt/nas/lake", **keys}


def said(*remotes: dict[str, Any], **more: Any) -> list[str]:
    with pytest.raises(SettingsError) as e:
        settings_of({"remotes": list(remotes), **more}, HERE)
    return [re.sub(r"\s+", " ", line) for line in e.value.lines]


def test_what_is_left_out_is_every_hour_and_as_fast_as_it_goes() -> None:
    (one,) = settings_of({"remotes": [entry()]}, HERE).remotes
    assert (one.every, one.cron_schedule, one.scheduled, one.job) == (HOUR, "0 * * * *", True, "sync_nas")
    assert one.place == Place("nas", "/mnt/nas/lake", None)


@pytest.mark.parametrize(
    ("to", "meant"),
    [
        ("copy", "/etc/dccd/copy"),
        ("~/copy", "/home/someone/copy"),
        ("s3://backup/lake", "s3://backup/lake"),
        ("rclone:nas:crypto", "rclone:nas:crypto"),
    ],
)
def test_a_folder_is_relative_to_the_file(to: str, meant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    (one,) = settings_of({"remotes": [entry(to=to)]}, HERE).remotes
    assert one.to == meant


def test_how_often_and_how_fast() -> None:
    (one,) = settings_of({"remotes": [entry(every="1d", bandwidth="20MiB")]}, HERE).remotes
    assert (one.every, one.cron_schedule, one.place.bandwidth) == (DAY, "0 0 * * *", 20 << 20)


@pytest.mark.parametrize(
    ("keys", "why"), [({"every": "never"}, "every: never"), ({"enabled": False}, "enabled: false")]
)
def test_one_that_is_off_is_said(keys: dict[str, Any], why: str) -> None:
    settings = settings_of({"remotes": [entry(**keys)]}, HERE)
    assert not settings.remotes[0].scheduled
    assert off_lines(settings) == [f"remote/nas: off ({why}); `dccd sync nas` brings it up"]


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ({"to": "ftp://x/y"}, "remotes[0].to: 'ftp://x/y' is no place for a copy -> write a folder like"),
        ({"name": "my nas"}, "remotes[0].name: 'my nas' is not letters, digits and _"),
        ({"every": "7m"}, "remotes[0].every: cannot run every 7m -> write"),
        ({"bandwidth": "fast"}, "remotes[0].bandwidth: 'fast' is no size"),
        ({"bandwidth": 10}, "remotes[0].bandwidth: 10 a second would take for ever"),
        ({"bwlimit": 10}, "remotes[0].bwlimit: unknown key -> did you mean bandwidth?"),
    ],
)
def test_what_cannot_be_is_one_clear_line(keys: dict[str, Any], line: str) -> None:
    (found,) = said(entry(**keys))
    assert found.startswith(line)


def test_mistakes_of_s3_are_said_where_they_are() -> None:
    assert said(s3={"retries": -1})[0].startswith("s3.retries: ")
    assert said(s3={"regoin": "x"}) == ["s3.regoin: unknown key -> did you mean region?"]


def test_remotes_have_names_of_their_own() -> None:
    assert said(entry(), entry(to="/other"))[0].startswith(
        "remotes[1].name: nas is already the name of remotes[0]"
    )
    bars = {"exchange": "binance", "symbols": ["BTC/USDT"], "data_type": "ohlc", "span": "1m"}
    assert said(entry(), collect=[{**bars, "start": "2024-01-01", "name": "sync_nas"}]) == [
        "remotes[0].name: its job would be called like that of collect[0] -> "
        "give one of the two another name, like nas_copy"
    ]


@pytest.mark.parametrize(
    ("store", "to"),
    [
        ("./data", "./data"),
        ("./data", "data/copy"),
        ("./data/lake", "./data"),
        ("s3://bucket/lake", "s3://bucket/lake/copy"),
        ("s3://bucket/lake?one_writer=true", "s3://bucket"),
    ],
)
def test_a_copy_is_apart_from_the_lake(store: str, to: str) -> None:
    (line,) = said(entry(to=to), store=store)
    assert "the place of store -> choose a place of its own" in line


def test_copies_are_apart_from_one_another() -> None:
    (line,) = said(entry(to="rclone:a:x"), entry(name="b", to="rclone:a:x/y"))
    assert line == (
        "remotes[1].to: rclone:a:x/y is not apart from the place of remotes[0] -> choose a place of its own"
    )
    apart = [entry(to="rclone:a:x"), entry(name="b", to="rclone:a:xy"), entry(name="c", to="/mnt/x")]
    assert len(settings_of({"remotes": apart}, HERE).remotes) == 3
