"""Sizes and counts as people write them: ``500MB``, ``2GiB``, ``1,200 rows``. Pure."""

import re
from typing import Final

from dccd_core.domain.errors import ConfigError

KIB: Final = 1 << 10
MIB: Final = 1 << 20
GIB: Final = 1 << 30
TIB: Final = 1 << 40
_UNITS: Final = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12} | {
    "KIB": KIB,
    "MIB": MIB,
    "GIB": GIB,
    "TIB": TIB,
}
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]I?B|B)?", re.IGNORECASE)


def read_size(value: object) -> int:
    """Return how many bytes are meant.

    >>> read_size("2GiB"), read_size("1.5 kB"), read_size(512)
    (2147483648, 1500, 512)

    Raises:
        ConfigError: it is no size.
    """
    found = None if isinstance(value, bool) else _SIZE.fullmatch(str(value).strip())
    if found is None:
        raise ConfigError(f"{value!r} is no size", hint="write it like 500MiB or 2GiB")
    number, unit = found.groups()
    return round(float(number) * _UNITS[(unit or "B").upper()])


def said_size(size: float) -> str:
    """Write a size for people.

    >>> said_size(2 * GIB), said_size(1_500_000), said_size(12)
    ('2.0 GiB', '1.4 MiB', '12 B')
    """
    for unit, name in ((TIB, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size:.0f} B"


def counted(count: int, one: str, many: str = "") -> str:
    """Write a number of things; ``many``: where it is not ``one`` with an s.

    >>> counted(1, "row"), counted(1_200, "row"), counted(2, "copy", "copies")
    ('1 row', '1,200 rows', '2 copies')
    """
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"
