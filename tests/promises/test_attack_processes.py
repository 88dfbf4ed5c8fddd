"""The random attack with real processes, real sockets and kill -9: what is claimed afterwards is so."""

import asyncio
import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import mean

import pytest

from dccd_core.domain.timespan import MINUTE, SECOND, Us, parse_time
from dccd_core.lake.lake import LakeStore
from dccd_core.stream.fold import fill_windows, fold_all
from dccd_core.testing.sandbox.process import RunningSandbox, running_sandbox
from dccd_core.testing.sandbox.stream_faults import StreamFault, StreamFaultKind
from tests.promises.attack import OPEN
from tests.promises.recorder import Order, recording
from tests.promises.streams import FastClock, Stage
from tests.promises.trouble import symbols, topic_of
from tests.promises.truths import claim, shown, wrongs

START = parse_time("2024-06-05T12:07:30")
DEPTH = 10
AT_ONCE = 4
ROUNDS = 20
LAST = (9, 12)
"""How long the last one lives: what nothing counts is claimed after five seconds and a page."""
LEAST = 0.5
"""A recorder that claims nothing keeps its word: of so many something is to be proven in the mean."""
KINDS = StreamFaultKind


def round_of(exchange: str, seed: int, folder: Path) -> tuple[list[str], float]:
    """Record in processes that are killed, with trouble on the way.

    Return what is claimed and is not so, and of which share of the trades and books something is proven.
    """
    chance = random.Random(f"{exchange} {seed} with processes")
    names = [str(symbol) for symbol in symbols(exchange)[:2]]
    with running_sandbox(trades_per_day=dict.fromkeys(names, 500_000)) as box:
        order = Order(
            exchange=exchange,
            symbols=names,
            bars=[MINUTE],
            depth=DEPTH,
            rest_url=box.rest_url(exchange),
            ws_url=box.ws_url(exchange),
            lake=str(folder),
            ahead=START - time.time_ns() // 1_000,
        )
        box.clock(order.clock().now(), frozen=False)
        lives = [chance.uniform(0.2, 5) for _ in range(chance.randint(1, 2))]
        for life in [*lives, chance.uniform(*LAST)]:
            box.stream_faults(trouble(order, chance))
            with recording(order) as living:
                assert living.connected.wait(60)
                time.sleep(life)
                living.process.kill()
        return settled(box, order), proven(order)


def proven(order: Order) -> float:
    """Return of which share of the trades and books at least a second is proven."""
    ones = [one for one in order.datasets() if one.span is None]
    times = [sum(span.length for span in claim(LakeStore(order.lake), one).proven) for one in ones]
    return sum(time >= SECOND for time in times) / len(times)


def trouble(order: Order, chance: random.Random) -> list[StreamFault]:
    """Let one life of a recorder meet something, at a message that may come or not."""
    topic = topic_of(chance.choice(order.datasets()), order.depth)
    nth, code = chance.randint(1, 30), chance.choice((1001, 1011, 4000))
    kinds = (
        StreamFault(kind=KINDS.DISCONNECT, topic=topic, nth=nth, code=code),
        StreamFault(kind=KINDS.ABORT, topic=topic, nth=nth),
        StreamFault(kind=KINDS.GARBAGE, topic=topic, nth=nth),
        StreamFault(kind=KINDS.TRUNCATED, topic=topic, nth=nth),
        StreamFault(kind=KINDS.DUPLICATE, topic=topic, probability=0.2),
        StreamFault(kind=KINDS.SILENT_TOPIC, topic=topic),
        StreamFault(kind=KINDS.FROZEN),
    )
    return chance.sample(kinds, 1)


def settled(box: RunningSandbox, order: Order) -> list[str]:
    """Fold and fill half a minute later, and hold what is claimed against the truth."""
    later, datasets, lake = Us(order.clock().now() + MINUTE // 2), order.datasets(), LakeStore(order.lake)
    box.stream_faults([])
    box.clock(later, frozen=False)
    stage = Stage(box, lake, FastClock(later, 1), order.exchange)

    async def settle() -> None:
        async with stage.venue() as venue:
            await fold_all(
                venue, lake, dict.fromkeys((one.data_type, one.span) for one in datasets), stage.told
            )
            await fill_windows(venue, lake, datasets, stage.told)

    asyncio.run(settle())
    silent = [
        f"{one}: nobody says what became of {shown(gap)}"
        for one in datasets
        for gap in claim(lake, one).silent
    ]
    wrong = [str(found) for one in datasets for found in wrongs(lake, box.market, one, DEPTH)]
    return [*silent, *wrong]


def test_what_is_claimed_is_so_after_kill_9(tmp_path: Path) -> None:
    chosen = random.Random()
    exchange, seed = chosen.choice(OPEN), chosen.randrange(10**6)
    wrong, _ = round_of(exchange, seed, tmp_path)
    assert wrong == [], f"{exchange} {seed}"


@pytest.mark.slow
def test_twenty_rounds_on_every_venue(tmp_path: Path) -> None:
    def one(job: tuple[str, int]) -> tuple[str, str, float]:
        exchange, seed = job
        wrong, share = round_of(exchange, seed, tmp_path / f"{exchange}-{seed}")
        return exchange, f"{exchange} {seed}: {wrong}" if wrong else "", share

    with ThreadPoolExecutor(AT_ONCE) as pool:
        told = list(pool.map(one, [(exchange, seed) for seed in range(ROUNDS) for exchange in OPEN]))
    assert [text for _, text, _ in told if text] == []
    for exchange in OPEN:
        assert mean(share for name, _, share in told if name == exchange) > LEAST, exchange
