"""The store of the configuration, and nothing else of it."""

from pathlib import Path

import pytest

from dccd_core.api.configured import config_file, configured_store
from dccd_core.domain.errors import ConfigError


@pytest.fixture(autouse=True)
def somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("DCCD_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_without_a_file_it_is_data_in_this_folder(tmp_path: Path) -> None:
    assert configured_store() == str(tmp_path / "data")
    assert config_file() == Path("dccd.yaml")


def test_a_folder_counts_from_the_file_that_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "mine.yaml").write_text("store: ../lake\n")
    monkeypatch.setenv("DCCD_CONFIG", "conf/mine.yaml")
    assert Path(configured_store()).resolve() == tmp_path / "lake"


def test_a_bucket_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "dccd.yaml").write_text("store: s3://bucket/prefix/\n")
    assert configured_store() == "s3://bucket/prefix"


def test_what_else_is_wrong_in_the_file_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHERE", "lake")
    (tmp_path / "dccd.yaml").write_text("colect: 7\nalerts: {to: ['${NOT_SET}']}\nstore: ./${WHERE}\n")
    assert configured_store() == str(tmp_path / "lake")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("store: ftp://host", "is no place for the data"),
        ("store: ''", "is no place for the data"),
        ("store: ${NOT_SET}", "NOT_SET is not set"),
        ("store: [", "cannot be read"),
    ],
)
def test_a_store_that_is_none_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "dccd.yaml").write_text(text)
    with pytest.raises(ConfigError, match=said):
        configured_store()


def test_a_file_that_is_named_and_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DCCD_CONFIG", "elsewhere.yaml")
    with pytest.raises(ConfigError, match=r"elsewhere\.yaml cannot be read"):
        configured_store()
