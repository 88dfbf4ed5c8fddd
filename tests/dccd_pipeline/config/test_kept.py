import os
from pathlib import Path

import pytest

from dccd_core.domain.timespan import SECOND
from dccd_pipeline.config.kept import kept_file, kept_since


def test_each_configuration_has_a_place_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert kept_file(Path("a.yaml"), tmp_path) == kept_file(tmp_path / "a.yaml", tmp_path)
    assert kept_file(Path("a.yaml"), tmp_path) != kept_file(Path("b.yaml"), tmp_path)


def test_only_the_very_text_is_kept_since_a_time(tmp_path: Path) -> None:
    kept = tmp_path / "kept.yaml"
    assert kept_since(kept, "text") is None
    kept.write_text("text")
    os.utime(kept, (1, 1_000))
    assert kept_since(kept, "text") == 1_000 * SECOND
    assert kept_since(kept, "text ") is None
    kept.write_bytes(b"\xff")
    assert kept_since(kept, "text") is None
