import logging
import pickle
import sqlite3
from pathlib import Path

import pytest

from dccd_core.domain.errors import Unavailable
from dccd_core.net.ratelimit import sqlitefile
from dccd_core.net.ratelimit.sqlitefile import SqliteFile

SCHEMA = "CREATE TABLE numbers (number INTEGER)"


def opened(path: Path, version: int = 7) -> SqliteFile:
    return SqliteFile(path, SCHEMA, version)


def add(file: SqliteFile, number: int) -> None:
    file.transact(lambda db: db.execute("INSERT INTO numbers VALUES (?)", (number,)))


def numbers(file: SqliteFile) -> list[int]:
    return [row[0] for row in file.transact(lambda db: db.execute("SELECT number FROM numbers").fetchall())]


def test_what_one_writes_another_reads(tmp_path: Path) -> None:
    one, other = opened(tmp_path / "new" / "a.sqlite"), opened(tmp_path / "new" / "a.sqlite")
    add(one, 1)
    add(other, 2)
    assert numbers(one) == [1, 2]
    one.close()
    assert numbers(opened(tmp_path / "new" / "a.sqlite")) == [1, 2]


def test_a_failed_transaction_writes_nothing(tmp_path: Path) -> None:
    file = opened(tmp_path / "a.sqlite")

    def half(db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO numbers VALUES (1)")
        raise KeyError

    with pytest.raises(KeyError):
        file.transact(half)
    assert numbers(file) == []


@pytest.mark.parametrize("foreign", ["garbage", "other tables", "other version", "cut"])
def test_what_is_not_ours_is_set_aside_with_a_word(
    tmp_path: Path, foreign: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.sqlite"
    if foreign == "garbage":
        path.write_bytes(b"no database " * 500)
    elif foreign == "other tables":
        with sqlite3.connect(path) as db:
            db.execute("CREATE TABLE theirs (x)")
        db.close()
    else:
        file = opened(path, version=6 if foreign == "other version" else 7)
        for number in range(2_000):
            add(file, number)
        file.close()
        if foreign == "cut":
            path.write_bytes(path.read_bytes()[:5_000])
    before = path.read_bytes()
    with caplog.at_level(logging.WARNING):
        file = opened(path)
    add(file, 1)
    assert numbers(file) == [1]
    assert (tmp_path / "a.sqlite.damaged").read_bytes()[100:] == before[100:]
    assert "set aside" in caplog.text
    assert str(path) in caplog.text


def test_a_deleted_file_is_begun_anew_and_shared_again(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    one, other = opened(path), opened(path)
    add(one, 1)
    for leftover in tmp_path.iterdir():
        leftover.unlink()
    add(other, 2)
    add(one, 3)
    assert numbers(one) == numbers(other) == [2, 3]


def test_damage_while_open_is_survived_by_all(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    one, other = opened(path), opened(path)
    for number in range(2_000):
        add(one, number)
    one.transact(lambda db: None)
    path.write_bytes(b"x" * 8_192)
    (tmp_path / "a.sqlite-wal").write_bytes(b"")
    add(other, 1)
    add(one, 2)
    assert numbers(one) == numbers(other) == [1, 2]


def test_a_file_locked_for_too_long_is_a_typed_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlitefile, "_BUSY_S", 0.01)
    path = tmp_path / "a.sqlite"
    file = opened(path)
    hog = sqlite3.connect(path, isolation_level=None)
    hog.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match="locked") as caught:
        add(file, 1)
    assert str(path) in str(caught.value)
    pickle.loads(pickle.dumps(caught.value))
    hog.execute("ROLLBACK")
    hog.close()
    add(file, 2)
    assert numbers(file) == [2]


def test_an_impossible_place_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="a\\.sqlite"):
        opened(tmp_path / "file" / "a.sqlite")
