"""Random-looking integers that are the same in every process and on every platform."""

from hashlib import blake2b
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Ints: TypeAlias = NDArray[np.int64]
Bits: TypeAlias = NDArray[np.uint64]

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX_1: Final = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2: Final = np.uint64(0x94D049BB133111EB)


def seed_of(*names: str | int) -> np.uint64:
    """Return the seed that belongs to these names."""
    text = "\0".join(map(str, names)).encode()
    return np.uint64(int.from_bytes(blake2b(text, digest_size=8).digest(), "little"))


def mixed(seed: np.uint64, values: Ints) -> Bits:
    """Hash every value with splitmix64's finaliser; the 64 bits of each are evenly spread."""
    x = values.astype(np.uint64)
    x *= _GOLDEN
    x += seed
    x ^= x >> np.uint64(30)
    x *= _MIX_1
    x ^= x >> np.uint64(27)
    x *= _MIX_2
    x ^= x >> np.uint64(31)
    return x


def bits(hashed: Bits, first: int, count: int) -> Ints:
    """Return ``count`` bits of each hash, from bit ``first`` on, as small whole numbers."""
    return ((hashed >> np.uint64(first)) & np.uint64((1 << count) - 1)).astype(np.int64)
