"""Promise 10, and that it costs nothing else: ticks, folds and hands side by side, killed at any moment."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

from dccd_core.lake.lake import LakeStore
from tests.dccd_core.fetch.test_tick import (
    ETH,
    MONTH,
    at,
    begun,
    claims_only_what_is_there,
    expected,
    folded,
    known,
    ticked,
)
from tests.dccd_core.fetch.world import World, bars, same

ROOT = Path(__file__).parents[2]
ROUNDS = int(os.environ.get("DCCD_KILLS", "3"))
"""How often all three are killed."""
BOTH = bars(), bars(symbol=ETH)

WORKS = """
import random, sys
from pathlib import Path
from dccd_core.domain.timespan import MINUTE, Us
from dccd_core.lake.lake import LakeStore
from tests.dccd_core.fetch.test_tick import *
BOTH = bars(), bars(symbol=ETH)
folder, role, seed = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
world, chance = World(folder / role), random.Random(seed)
print("ready", flush=True)
sys.stdin.readline()
while True:
    world.lake = LakeStore(folder / "lake")
    until = max(known(world, one).ledger.covered()[-1].end for one in BOTH)
    world.at(Us(until + chance.choice([3, 6]) * MINUTE))
    if role == "tick":
        ticked(world, *BOTH, every=chance.choice([NEVER, NEVER, Us(0)]))
    elif role == "fold":
        folded(world, BOTH[0])
    else:
        by_hand(world, chance.choice(BOTH))
    print("done", flush=True)
"""


def works(folder: Path, role: str, seed: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WORKS, str(folder), role, str(seed)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def kill(workers: list[subprocess.Popen[str]], chance: random.Random) -> None:
    """Let them begin together, and kill them a moment after two things were done."""
    for worker in workers:
        assert heard(worker) == "ready\n", worker.communicate()
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    for worker in chance.choices(workers, k=2):  # on a loaded machine that takes as long as it takes
        assert heard(worker) == "done\n", worker.communicate()
    time.sleep(chance.uniform(0, 1))
    for worker in chance.sample(workers, len(workers)):
        time.sleep(chance.uniform(0, 0.1))
        worker.kill()
    for worker in workers:
        _, err = worker.communicate(timeout=60)
        assert not err, err


def heard(worker: subprocess.Popen[str]) -> str:
    assert worker.stdout is not None
    return worker.stdout.readline()


def test_p10_killed_at_any_moment_nothing_is_lost_or_twice_or_claimed_that_is_not_there(
    tmp_path: Path,
) -> None:
    begun(tmp_path, *BOTH)
    chance = random.Random(10)
    covered = at(-2)
    for turn in range(ROUNDS):
        workers = [works(tmp_path, role, turn) for role in ("tick", "fold", "hand")]
        kill(workers, chance)
        world = World(tmp_path / "look")
        world.lake = LakeStore(tmp_path / "lake")
        for dataset in BOTH:
            state = known(world, dataset)
            claims_only_what_is_there(world, dataset, state)
            assert (state.ledger.gaps(), len(state.ledger.covered())) == ((), 1)
        until = known(world, BOTH[0]).ledger.covered()[0].end
        assert until >= covered
        covered = until
    world = World(tmp_path / "last", now=at(24 * 60))
    world.lake = LakeStore(tmp_path / "lake")
    ticked(world, *BOTH)
    folded(world, BOTH[0])
    for dataset in BOTH:
        assert same(world.stored(dataset, MONTH), expected(world, dataset))
        assert known(world, dataset) == world.lake.state(dataset, MONTH)
    assert world.lake.segments() == []
