from threading import Event

import pytest
from sqlalchemy.exc import OperationalError

from dccd_pipeline.runs.patience import line_of, patiently

LOCKED = OperationalError("update runs", {}, Exception("database is locked"))


class Database:
    """Answers after so many failures."""

    def __init__(self, failures: int, error: Exception = LOCKED) -> None:
        self.failures, self.error, self.asked = failures, error, 0

    def ask(self) -> str:
        self.asked += 1
        if self.asked <= self.failures:
            raise self.error
        return "an answer"


def test_it_is_asked_until_it_answers() -> None:
    database = Database(3)
    assert patiently(database.ask, 600) == "an answer"
    assert database.asked == 4


def test_patience_ends() -> None:
    database = Database(10**9)
    with pytest.raises(OperationalError):
        patiently(database.ask, 0)
    assert database.asked == 1
    over = Event()
    over.set()
    with pytest.raises(OperationalError):
        patiently(database.ask, 600, over)
    assert database.asked == 2


def test_what_is_no_trouble_of_the_database_is_raised_at_once() -> None:
    database = Database(1, KeyError("x"))
    with pytest.raises(KeyError):
        patiently(database.ask, 600)
    assert database.asked == 1


def test_its_words_are_one_line() -> None:
    assert line_of(LOCKED) == "database is locked"
    assert line_of(ValueError("two\nlines")) == "two lines"
    assert line_of(ValueError()) == "ValueError"
