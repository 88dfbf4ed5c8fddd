"""``python -m tests.promises.attacks [VENUE...]``: the random attack on every venue, as often as is promised.

``--first`` is the first seed, ``--rounds`` (200) and ``--real`` (20, with real processes) say how many there
are of each venue, ``--at-once`` how many work on each kind.

Prints what is not so as soon as it is found, and at the end how much of the time was
proven; exits with 1 if anything was wrong or too little was claimed.
"""

import argparse
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from statistics import mean

from tests.promises import test_attack_processes as real
from tests.promises.attack import OPEN, round_of

LEAST = 0.5
"""How much of the time is to be proven in the mean, whatever happens."""
REAL = "something, with processes"
Told = tuple[str, int, str, dict[str, float]]
"""Venue, seed, what is wrong, and the share of the time that is proven by what."""


def virtual(exchange: str, seed: int) -> Told:
    wrong, shares = round_of(exchange, seed)
    return exchange, seed, wrong, {kind.value: share for kind, share in shares.items()}


def with_processes(exchange: str, seed: int) -> Told:
    with tempfile.TemporaryDirectory() as folder:
        wrong, share = real.round_of(exchange, seed, Path(folder))
    told = f"{exchange} {seed}, with processes: {wrong}" if wrong else ""
    return exchange, seed, told, {REAL: share}


def told(venues: Sequence[str], first: int, rounds: int, processes: int, at_once: int) -> Iterator[Told]:
    """Yield what comes of each round, as it ends."""
    with ProcessPoolExecutor(at_once, mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(virtual, one, seed) for seed in range(first, first + rounds) for one in venues]
        jobs += [
            pool.submit(with_processes, one, seed)
            for seed in range(first, first + processes)
            for one in venues
        ]
        for job in as_completed(jobs):
            yield job.result()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("venues", nargs="*", default=OPEN)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--real", type=int, default=real.ROUNDS)
    parser.add_argument("--at-once", type=int, default=2)
    asked = parser.parse_args()
    began, wrong, shares = time.monotonic(), list[str](), defaultdict[tuple[str, str], list[float]](list)
    for n, (exchange, seed, bad, proven) in enumerate(
        told(asked.venues, asked.first, asked.rounds, asked.real, asked.at_once), 1
    ):
        for what, share in proven.items():
            shares[exchange, what].append(share)
        if bad:
            wrong.append(f"{exchange} {seed}")
            _say(bad)
        if n % 100 == 0:
            _say(f"{n} rounds in {time.monotonic() - began:.0f} s, {len(wrong)} of them wrong")
    _say(f"all in {time.monotonic() - began:.0f} s")
    little = [f"{one}: {what} {mean(found):.1%}" for (one, what), found in sorted(shares.items())]
    _say("proven in the mean: " + ", ".join(little))
    too_little = [key for key, found in shares.items() if mean(found) < LEAST]
    _say(f"wrong: {', '.join(wrong) or 'nothing'}; too little: {too_little or 'nowhere'}")
    return 1 if wrong or too_little else 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
