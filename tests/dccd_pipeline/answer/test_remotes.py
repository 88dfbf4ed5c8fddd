"""What is wrong with the copies elsewhere, as the lake remembers it."""

from pathlib import Path

from dccd_core.domain.timespan import HOUR, ZERO, Us, parse_time
from dccd_core.keep.copies import Copies, LastSync, Trouble
from dccd_core.lake.lake import LakeStore
from dccd_pipeline.answer.remotes import remote_problems
from dccd_pipeline.config.read import settings_of
from dccd_pipeline.config.settings import Settings
from tests.dccd_pipeline.held import HOURS, bars, hold

NOW = parse_time("2024-06-01T12:00")


def remotes(folder: Path, **more: object) -> Settings:
    return settings_of({"store": str(folder), "remotes": [{"name": "nas", "to": "/mnt/nas", **more}]})


def test_r11_what_is_wrong_with_a_remote_is_named_until_it_is_well(tmp_path: Path) -> None:
    """36c92f8: `dccd status` knew of no remote: "all is well", and not a file was elsewhere."""
    lake, settings = LakeStore(tmp_path), remotes(tmp_path)
    assert list(remote_problems(settings, lake, NOW)) == [], "there is nothing that could be copied"
    hold(lake, HOURS, "2024", bars([]))
    never = "remote/nas: nothing was ever copied there -> `dccd sync nas`"
    assert list(remote_problems(settings, lake, NOW)) == [never]

    copies = Copies(lake.store, "nas")
    copies.remember(LastSync("an id", ZERO))
    assert list(remote_problems(settings, lake, NOW)) == [never], "the first one was killed"
    copies.remember(LastSync("an id", Us(NOW - 2 * HOUR)))
    assert list(remote_problems(settings, lake, NOW)) == []
    late = "remote/nas: late: what came since 2024-06-01T10:00:00Z was not copied there -> `dccd sync nas`"
    assert list(remote_problems(settings, lake, Us(NOW + 1))) == [late]

    kept, gone = Trouble("a/file", "it has more rows"), Trouble("another", "cannot be read")
    copies.remember(LastSync("an id", NOW, troubles=2, conflicts=(kept,), failed=(gone,)))
    (said,) = remote_problems(settings, lake, NOW)
    assert said == (
        "remote/nas: a conflict: a/file: it has more rows, and 1 more -> `dccd sync nas` says what to do"
    )
    copies.remember(LastSync("an id", NOW, troubles=1, failed=(gone,)))
    (said,) = remote_problems(remotes(tmp_path, every="never"), lake, Us(NOW + 9 * HOUR))
    assert said.startswith("remote/nas: not copied: another: cannot be read -> ")
    assert list(remote_problems(remotes(tmp_path, enabled=False), lake, NOW)) == []


def test_what_a_sync_that_was_stopped_left_is_named(tmp_path: Path) -> None:
    """6e38909: of a sync that was stopped each time before its end, "all is well"."""
    lake, settings = LakeStore(tmp_path), remotes(tmp_path)
    hold(lake, HOURS, "2024", bars([]))
    Copies(lake.store, "nas").remember(LastSync("an id", NOW, files=1, waiting=6))
    assert list(remote_problems(settings, lake, NOW)) == [
        "remote/nas: 6 files were not copied: its last sync was stopped -> `dccd sync nas`"
    ]


def test_a_sync_that_is_yet_to_come_proves_nothing(tmp_path: Path) -> None:
    """6e38909: a clock that was ahead once, and a remote was never late until then."""
    lake, settings = LakeStore(tmp_path), remotes(tmp_path)
    hold(lake, HOURS, "2024", bars([]))
    Copies(lake.store, "nas").remember(LastSync("an id", Us(NOW + HOUR)))
    (said,) = remote_problems(settings, lake, NOW)
    assert said.startswith("remote/nas: its last sync was at 2024-06-01T13:00:00Z, by a clock that was ahead")
