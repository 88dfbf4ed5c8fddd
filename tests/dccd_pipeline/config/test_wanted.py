import pytest

from dccd_core.domain.timespan import TimeRange, parse_time
from dccd_pipeline.config.read import settings_of
from dccd_pipeline.config.wanted import wanted_ever, wanted_times
from tests.dccd_pipeline.held import HOURS

NOW = parse_time("2025-03-01T12:30")


@pytest.mark.parametrize(
    ("keys", "life", "start", "end"),
    [
        ({"start": "2024-01-01"}, {}, "2024-01-01", "2025-03-01T12:00"),
        ({"start": "2024-01-01", "end": "2025-01-01"}, {}, "2024-01-01", "2025-01-01"),
        ({"start": "2024-01-01"}, {"listed": "2024-02-03"}, "2024-02-03", "2025-03-01T12:00"),
        ({"start": "2024-01-01"}, {"delisted": "2024-06-01"}, "2024-01-01", "2024-06-02"),
        ({}, {}, "2017-07-14", "2025-03-01T12:00"),
    ],
)
def test_what_is_wanted_begins_with_start_or_listing_and_ends_with_what_is_final(
    keys: dict[str, str], life: dict[str, str], start: str, end: str
) -> None:
    entry = {"exchange": "binance", "symbols": ["BTC/USDT"], "data_type": "ohlc", "span": "1h", **keys}
    exchanges = {"binance": {"symbols": {"BTC/USDT": life}}}
    found = wanted_times(settings_of({"collect": [entry], "exchanges": exchanges}), NOW)
    assert found == {HOURS: TimeRange(parse_time(start), parse_time(end))}
    (ever,) = wanted_ever(settings_of({"collect": [entry], "exchanges": exchanges})).values()
    open_ended = end == "2025-03-01T12:00"
    assert (ever.start, ever.end > NOW) == (parse_time(start), open_ended)
    assert ever.end == parse_time(end) or open_ended


def test_what_has_not_begun_is_not_wanted() -> None:
    entry = {"exchange": "binance", "symbols": ["BTC/USDT"], "data_type": "ohlc", "span": "1h"}
    assert wanted_times(settings_of({"collect": [{**entry, "start": "2025-03-02"}]}), NOW) == {}
