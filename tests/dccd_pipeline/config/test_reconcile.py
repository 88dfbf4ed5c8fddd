import pytest

from dccd_core.domain.errors import DccdError
from dccd_pipeline.config.read import settings_of


def test_how_much_is_asked_for_again_is_said_by_requests_a_day() -> None:
    assert settings_of({}).reconcile.requests == 60
    assert settings_of({"reconcile": {"requests": 0}}).reconcile.requests == 0


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"requests": -1}, "should be greater than or equal to 0, not -1"),
        ({"requests": "many"}, "requests"),
        ({"budget": 3}, "budget: unknown key"),
    ],
)
def test_what_is_no_number_of_requests_is_refused(value: dict[str, object], said: str) -> None:
    with pytest.raises(DccdError, match=said):
        settings_of({"reconcile": value})
