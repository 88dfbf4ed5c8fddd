"""What a run says of what failed: all of it where that is little, else the first of it."""

import dagster as dg
import pytest

from dccd_core.domain.errors import ConfigError, ExchangeError, Throttled, UnknownSymbol
from dccd_pipeline.assets.failures import failure_of, hint_for, plain_failures
from dccd_pipeline.config.read import settings_of
from tests.dccd_pipeline.held import HOURS


def test_each_dataset_is_named_with_its_partition_and_cause() -> None:
    failure = failure_of([(HOURS, "2024", ExchangeError("it is down"))], 3)
    assert failure.description == f"1 of 3 datasets failed\n{HOURS} 2024: it is down"
    assert failure.metadata == {str(HOURS): dg.MetadataValue.text("it is down")}
    assert not failure.allow_retries


def test_of_very_many_the_first_are_named() -> None:
    """Of one dataset with two partitions it was said that 2 of 1 failed."""
    errors = [(HOURS, f"{n}", ExchangeError("it is down")) for n in range(1_000)]
    lines = (failure_of(errors, 3).description or "").splitlines()
    assert len(lines) == 52
    assert lines[0] == "1 of 3 datasets failed"
    assert lines[-1] == "... and 950 more"


def test_a_run_is_worth_trying_again_when_anything_of_it_is() -> None:
    errors = [(HOURS, "2024", ConfigError("no")), (HOURS, "2025", Throttled("later"))]
    assert failure_of(errors, 2).allow_retries


def test_what_helps_about_a_symbol_that_nobody_knows() -> None:
    raw = {"exchange": "binance", "symbols": ["BTC/USDT"], "data_type": "ohlc", "span": "1h"}
    (entry,) = settings_of({"collect": [{**raw, "start": "2024-01-01"}]}).collect
    error = UnknownSymbol("no such symbol", hint="see the list")
    assert hint_for(entry, HOURS, error, stored=False) == "see the list"
    assert "{delisted: its last day}" in hint_for(entry, HOURS, error, stored=True)
    lives = {"binance": {"symbols": {"BTC/USDT": {"renamed_to": "NEW/USDT"}}}}
    (entry,) = settings_of({"collect": [{**raw, "start": "2024-01-01"}], "exchanges": lives}).collect
    assert hint_for(entry, HOURS, error, stored=True) == "it is called NEW/USDT now"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ExchangeError("it is down"), "it is down"),
        (ZeroDivisionError("oh"), "a defect of dccd, please report it: ZeroDivisionError: oh"),
        (dg.Failure("as it is"), "as it is"),
    ],
)
def test_an_error_says_its_line_and_any_other_is_a_defect(error: Exception, said: str) -> None:
    with pytest.raises(dg.Failure) as e, plain_failures():
        raise error
    assert e.value.description == said
