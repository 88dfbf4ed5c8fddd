"""What is fetched (cases) and by whom (variants), as data."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Final

from dccd_core.domain.dataset import Grain, partition_span
from dccd_core.domain.timespan import MILLISECOND

_HERE: Final = Path(__file__).parent
_PEERS: Final[Mapping[str, Mapping[str, Mapping[str, int]]]] = {
    "dccd": {"": {"unlimited": 0}, ", no limiter": {"unlimited": 1}},
    "ccxt": {
        ", one at a time": {"unlimited": 0, "in_flight": 1},
        ", 32 at once": {"unlimited": 0, "in_flight": 32},
        ", 32 at once, no limiter": {"unlimited": 1, "in_flight": 32},
    },
}


@dataclass(frozen=True, slots=True)
class Case:
    """One amount of history: ``keys`` are consecutive partitions."""

    name: str
    symbol: str
    data_type: str
    grain: Grain
    keys: tuple[str, ...]

    @property
    def spans_ms(self) -> list[tuple[int, int]]:
        spans = [partition_span(self.grain, key) for key in self.keys]
        return [(span.start // MILLISECOND, span.end // MILLISECOND) for span in spans]


MONTHS: Final = tuple(f"2024-{month:02}" for month in range(1, 13))
KLINES: Final = Case("klines", "BTC/USDT", "ohlc", Grain.MONTH, MONTHS)
TRADES: Final = Case("trades", "ETH/USDT", "trades", Grain.DAY, ("2024-01-15",))
CASES: Final = (KLINES, TRADES)


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to fetch a case. ``command`` takes a Job as its last argument; not installed is an empty one.

    Of a ``slow`` one only the beginning is measured, the rest is extrapolated.
    """

    name: str
    command: tuple[str, ...]
    options: Mapping[str, int] = field(default_factory=dict[str, int])
    slow: bool = False


FLOOR: Final = Variant("raw floor", (sys.executable, "-m", "benchmarks.floor"))
ONE_CLIENT: Final = Variant("raw, one httpx client", FLOOR.command, {"clients": 1})
CORE: Final = Variant("dccd core", (sys.executable, "-m", "benchmarks.core"))
DAGSTER: Final = Variant("dccd through Dagster", (sys.executable, "-m", "benchmarks.dagster_run"))
OURS: Final = (FLOOR, ONE_CLIENT, CORE, DAGSTER)


def peers(pythons: Sequence[Path]) -> list[Variant]:
    """Return the peers, with the versions that the first of ``pythons`` that has them has."""
    return [
        variant for name, ways in _PEERS.items() for variant in _variants(peer(pythons, name, name), ways)
    ]


def _variants(peer: Variant, ways: Mapping[str, Mapping[str, int]]) -> list[Variant]:
    if not peer.command:
        return [peer]
    return [
        replace(peer, name=f"{peer.name}{how}", options=options, slow=options.get("in_flight", 1) == 1)
        for how, options in ways.items()
    ]


def peer(pythons: Sequence[Path], name: str, script: str) -> Variant:
    """Return the peer of that name; ``peer_<script>.py`` is its work."""
    ask = f"from importlib.metadata import version; print(version('{name}'))"
    for python in pythons:
        found = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=False)
        if found.returncode == 0:
            command = (str(python), str(_HERE / f"peer_{script}.py"))
            return Variant(f"{name} {found.stdout.strip()}", command)
    return Variant(f"{name} (--peers-python)", ())


def libraries() -> str:
    return ", ".join(f"{name} {version(name)}" for name in ("polars", "httpx", "msgspec", "dagster"))
