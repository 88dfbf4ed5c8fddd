"""All of a lake that can be read: what is damaged stops its own dataset, and no neighbour."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import LakeError

T = TypeVar("T")


def readable(
    whole: Callable[[], dict[Dataset, T]],
    datasets: Callable[[], Iterable[Dataset]],
    one: Callable[[Dataset], T],
) -> tuple[dict[Dataset, T], dict[Dataset, LakeError]]:
    """Read all at once; where that cannot be, one dataset after the other.

    Args:
        whole: reads all.
        datasets: says which there are.
        one: reads one of them.

    Returns:
        What was read, and of the others why it cannot be.
    """
    try:
        return whole(), {}
    except LakeError:
        found, damaged = dict[Dataset, T](), dict[Dataset, LakeError]()
    for dataset in datasets():
        try:
            found[dataset] = one(dataset)
        except LakeError as e:
            damaged[dataset] = e
    return found, damaged
