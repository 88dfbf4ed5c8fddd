"""What is told of checks: what differs from what was told last."""

from collections.abc import Iterator

import dagster as dg
import pytest

from dccd_pipeline.assets.changed import changed_checks, note_told, tell_checks

BTC, ETH, SOL, ADA = (
    dg.AssetKey(["binance", "ohlc", f"{base}-USDT", "1m"]) for base in ("BTC", "ETH", "SOL", "ADA")
)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def one(asset: dg.AssetKey, found: str = "", check: str = "complete", **more: str) -> dg.AssetCheckResult:
    severity = dg.AssetCheckSeverity.WARN
    metadata = {"found": dg.MetadataValue.md(found or "nothing"), **more}
    return dg.AssetCheckResult(
        asset_key=asset, check_name=check, passed=not found, severity=severity, metadata=metadata
    )


def told(instance: dg.DagsterInstance, *results: dg.AssetCheckResult) -> list[tuple[dg.AssetKey, str, bool]]:
    return [(e.asset_key, e.check_name, e.passed) for e in changed_checks(instance, results)]


def test_what_is_as_it_was_is_not_told_again(instance: dg.DagsterInstance) -> None:
    both = one(BTC), one(ETH, "2 gaps"), one(ETH, check="intact")
    assert told(instance, *both) == [
        (BTC, "complete", True),
        (ETH, "complete", False),
        (ETH, "intact", True),
    ]
    assert told(instance, *both) == []
    assert told(instance, one(BTC), one(ETH, "3 gaps")) == [(ETH, "complete", False)]
    assert told(instance, one(BTC, "1 gaps"), one(ETH)) == [(BTC, "complete", False), (ETH, "complete", True)]
    assert told(instance, one(BTC, "1 gaps"), one(ETH), one(ETH, check="intact")) == []


def test_of_a_new_check_that_passes_so_many_are_told_at_once_of_what_is_known_already(
    instance: dg.DagsterInstance,
) -> None:
    told(instance, one(BTC), one(ETH), one(SOL))
    new = [one(BTC, check="new"), one(ETH, check="new"), one(SOL, "2 rows", check="new")]
    first = list(changed_checks(instance, [*new, one(ADA), one(ADA, check="new")], new_at_once=1))
    assert [(e.asset_key, e.check_name) for e in first] == [
        (BTC, "new"),
        (SOL, "new"),  # it fails: that does not wait
        (ADA, "complete"),  # nothing was told of it yet
        (ADA, "new"),
    ]
    assert [e.asset_key for e in changed_checks(instance, new, new_at_once=1)] == [ETH]
    assert list(changed_checks(instance, new, new_at_once=1)) == []


def test_what_a_run_told_anyway_is_no_news(instance: dg.DagsterInstance) -> None:
    note_told(instance, [one(BTC, "1 gaps"), one(BTC, check="intact")])
    assert told(instance, one(BTC, "1 gaps"), one(BTC, check="intact"), one(ETH)) == [(ETH, "complete", True)]
    note_told(instance, [one(BTC)])
    assert told(instance, one(BTC, "1 gaps")) == [(BTC, "complete", False)]


def test_a_reason_with_other_times_is_the_same_reason(instance: dg.DagsterInstance) -> None:
    def behind(since: str, why: str) -> dg.AssetCheckResult:
        return one(BTC, f"behind since {since}: {why}", "up_to_date", why=why)

    assert told(instance, behind("11:57", "banned until 12:20"))
    assert not told(instance, behind("11:58", "banned until 12:25"))
    assert told(instance, behind("11:58", "unknown symbol"))
    assert told(instance, one(BTC, check="up_to_date"))


def test_what_is_materialised_is_told_anew(instance: dg.DagsterInstance) -> None:
    """Else the UI takes the check for one of an earlier materialisation, and shows none."""
    assert len(told(instance, one(BTC), one(ETH))) == 2
    anew = list(changed_checks(instance, [one(BTC), one(ETH)], anew={ETH}))
    assert [evaluation.asset_key for evaluation in anew] == [ETH]


def test_what_is_told_says_what_the_result_does(instance: dg.DagsterInstance) -> None:
    result = one(BTC, "2 gaps")
    [evaluation] = changed_checks(instance, [result])
    assert evaluation.metadata == result.metadata
    assert evaluation.severity is dg.AssetCheckSeverity.WARN
    assert evaluation.asset_check_key == dg.AssetCheckKey(BTC, "complete")


def test_an_op_that_tells_it_is_heard(instance: dg.DagsterInstance) -> None:
    """As a tick does, which has no planned events."""

    @dg.op
    def tell(context: dg.OpExecutionContext) -> None:
        tell_checks(context, [one(BTC, "2 gaps"), one(ETH)])

    @dg.job
    def tick() -> None:
        tell()

    for events in (2, 0):
        result = tick.execute_in_process(instance=instance)
        found = [e for e in result.all_events if e.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION]
        assert len(found) == events
    keys = [dg.AssetCheckKey(asset, "complete") for asset in (BTC, ETH)]
    kept = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    assert [kept[key].status.value for key in keys] == ["FAILED", "SUCCEEDED"]
