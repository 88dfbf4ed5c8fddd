"""The random attack itself: the same every time, it finds what is not so, and nothing where all is well."""

import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from statistics import mean

import polars as pl
import pytest

from dccd_core.domain.dataset import Dataset, partition_key
from dccd_core.domain.timespan import MINUTE, SECOND, TimeRange, Us
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.partition.ledger import Asked, Source
from dccd_core.quality.holes import NoCheck
from dccd_core.tables import DataType
from dccd_core.testing.sandbox.market import Market
from tests.promises.attack import OPEN, Round, attack, attacked, round_of
from tests.promises.trouble import DEPTH, Trouble, trouble
from tests.promises.truths import Claim, wrongs

SHORT = Us(130 * SECOND)
SEEDS = range(int(os.environ.get("DCCD_ATTACK", "0")), int(os.environ.get("DCCD_ATTACK", "0")) + 200)
"""``python -m tests.promises.attack VENUE SEED`` shows one of them, and all that happened."""


FOUND = [("bitfinex", 148)]
"""Went wrong, and no other test shows it: a wrong amount that went down in a book was not compared."""


@pytest.mark.parametrize(("exchange", "seed"), [*product(OPEN, SEEDS[:2]), *FOUND])
def test_what_is_claimed_is_so_whatever_happened(exchange: str, seed: int, tmp_path: Path) -> None:
    one = attack(exchange, seed, tmp_path)
    assert one.exceptions == [], str(one)
    assert one.struck or one.trouble.kills or one.trouble.steps or one.trouble.rest


@pytest.mark.slow
@pytest.mark.parametrize("exchange", OPEN)
def test_what_is_claimed_is_so_in_two_hundred_rounds(exchange: str) -> None:
    """A recorder that claims nothing keeps its word, so it has to claim."""
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        told = list(pool.map(partial(round_of, exchange), SEEDS))
    wrong = [text for text, _ in told if text]
    assert wrong == [], "\n".join(wrong)
    for kind in DataType:
        assert mean(shares[kind] for _, shares in told) > 0.5


def quiet(exchange: str) -> Trouble:
    return replace(trouble(exchange, 0, SHORT), faults=[], rest=[], steps=[], kills=[])


@pytest.mark.parametrize("exchange", OPEN)
def test_without_trouble_all_is_proven_and_true(exchange: str, tmp_path: Path) -> None:
    one = attacked(quiet(exchange), tmp_path)
    assert one.exceptions == []
    assert one.share(DataType.TRADES) > 0.7  # of quiet ones the last half minute is not proven yet
    assert one.share(DataType.ORDERBOOK) > 0.9
    assert any(claim.proven for dataset, claim in one.claims.items() if dataset.span)


def test_a_seed_gives_the_same_every_time(tmp_path: Path) -> None:
    def once(folder: str) -> Round:
        return attack("okx", 3, tmp_path / folder, SHORT)

    first, second = once("one"), once("two")
    assert first.struck
    assert (first.notes, first.digest) == (second.notes, second.digest)


def test_another_seed_is_other_trouble() -> None:
    assert len({str(trouble("okx", seed, SHORT)).partition(":")[2] for seed in range(50)}) == 50


def test_what_is_not_so_is_found(tmp_path: Path) -> None:
    """The lake holds true rows; a truth with fewer, more or other ones shows that each kind is compared."""
    made = quiet("binance")
    attacked(made, tmp_path)
    other = Market(list(made.density), {symbol: count + 7_919 for symbol, count in made.density.items()})
    for dataset in made.datasets:
        first, *_ = wrongs(LakeStore(tmp_path), other, dataset, DEPTH)
        assert first.missing.height
        assert first.extra.height


def test_one_row_that_is_missing_or_never_was_is_found(tmp_path: Path) -> None:
    made = quiet("binance")
    dataset = next(one for one in made.datasets if one.data_type is DataType.TRADES)
    market = Market(list(made.density), made.density)
    span = TimeRange(made.start, Us(made.start + MINUTE))
    true = market.truth_trades("binance", dataset.symbol, span)
    stored(tmp_path / "true", dataset, true, span)
    stored(tmp_path / "less", dataset, true[:5].vstack(true[6:]), span)
    more = true.vstack(true[5:6].with_columns(trade_id=pl.lit("0"))).sort("ts")
    stored(tmp_path / "more", dataset, more, span)
    claimed = TimeRange(span.start, Us(true["ts"].cast(pl.Int64)[5]))
    stored(tmp_path / "beyond", dataset, true[:6].with_columns(price=1.0), claimed)
    inside = market.truth_trades("binance", dataset.symbol, claimed).height

    def found(name: str) -> list[tuple[int, int]]:
        return [
            (one.missing.height, one.extra.height)
            for one in wrongs(LakeStore(tmp_path / name), market, dataset, DEPTH)
        ]

    assert found("true") == []
    assert found("less") == [(1, 0)]
    assert found("more") == [(0, 1)]
    assert found("beyond") == [(inside, inside), (0, 6 - inside)]


def stored(folder: Path, dataset: Dataset, rows: pl.DataFrame, span: TimeRange) -> None:
    with LakeStore(folder).draft(dataset, partition_key(dataset.grain, span.start)) as draft:
        draft.append(rows)
        draft.commit([Asked(span, Source.STREAM, span.end, 0, rows.height)], NoCheck)


def test_time_of_which_nothing_is_said_is_between_what_is_proven() -> None:
    def span(start: int, end: int) -> TimeRange:
        return TimeRange(Us(start), Us(end))

    one = Claim([span(10, 20), span(30, 40), span(60, 70), span(80, 90)], [span(40, 55), span(74, 80)])
    assert one.silent == [span(20, 30), span(70, 74)]
    assert Claim([], [span(1, 2)]).silent == []
