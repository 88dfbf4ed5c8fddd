import pytest

from dccd_core.adapter.contract import Response
from dccd_core.domain.timespan import SECOND, Ns


@pytest.mark.parametrize(
    ("headers", "at"),
    [
        ({"date": "Thu, 01 Jan 1970 00:03:10 GMT"}, 190 * SECOND),
        ({"date": "Thu, 01 Jan 1970 01:03:10 +0100"}, 190 * SECOND),
        ({"date": "yesterday"}, 7),
        ({"date": ""}, 7),
        ({}, 7),
    ],
)
def test_the_venues_time_is_its_date_header_else_our_clock(headers: dict[str, str], at: int) -> None:
    assert Response(200, headers, b"", Ns(7)).venue_time == at
