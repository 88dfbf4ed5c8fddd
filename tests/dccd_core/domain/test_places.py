from pathlib import Path

import pytest

from dccd_core.domain.places import state_dir


def test_the_users_folder_is_chosen_or_goes_by_xdg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.delenv("DCCD_STATE_DIR", raising=False)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    assert state_dir() == Path("/home/me/.local/state/dccd")
    monkeypatch.setenv("XDG_STATE_HOME", "/xdg")
    assert state_dir() == Path("/xdg/dccd")
    monkeypatch.setenv("DCCD_STATE_DIR", "/chosen")
    assert state_dir() == Path("/chosen")
