import pytest
from pydantic import ValidationError

from dccd_core.domain.timespan import DAY
from dccd_pipeline.config.purge import Purge
from dccd_pipeline.config.read import SettingsError, settings_of


def test_sizes_and_ages_as_people_write_them() -> None:
    purge = Purge.model_validate({"keep_free": "20GiB", "older_than": "90d", "copies": 2})
    assert (purge.keep_free, purge.older_than, purge.copies) == (20 << 30, 90 * DAY, 2)
    assert Purge.model_validate({"older_than": "12w"}).copies == 1


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({}, "says neither when nor what"),
        ({"copies": 2}, "says neither when nor what"),
        ({"keep_free": "much"}, "is no size"),
        ({"older_than": "long"}, "is no length of time"),
        ({"older_than": "1d", "copies": 0}, "greater than or equal to 1"),
        ({"older_than": "1d", "copys": 1}, "Extra inputs"),
    ],
)
def test_what_is_no_rule_is_refused(typed: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Purge.model_validate(typed)


def test_a_mistake_is_one_line_that_says_what_to_write() -> None:
    with pytest.raises(SettingsError) as caught:
        settings_of({"purge": {"keep_free": "a lot", "copys": 2}})
    assert caught.value.lines == (
        "purge.keep_free: 'a lot' is no size -> write it like 500MiB or 2GiB",
        "purge.copys: unknown key -> did you mean copies?",
    )
