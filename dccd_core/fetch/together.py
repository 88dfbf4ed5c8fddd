"""Fill many partitions at once. One dataset's failure stops that dataset, never its neighbours."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import DccdError, OutOfReach
from dccd_core.fetch.fill import Filled

AT_ONCE: Final = 4
"""Partitions in progress at once: enough that one partition's last pages never leave the line idle."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How filling one partition ended: with a state, or with an error."""

    dataset: Dataset
    key: str
    result: Filled | DccdError


async def fill_all(
    jobs: Iterable[tuple[Dataset, str]],
    fill_one: Callable[[Dataset, str], Awaitable[Filled]],
    report: Callable[[Outcome], None],
    at_once: int = AT_ONCE,
) -> None:
    """Report an outcome for each job as it ends; after a dataset's first error its other jobs are left.

    That a partition is out of reach says nothing about the others.
    """
    waiting, failed = iter(jobs), set[Dataset]()

    async def work() -> None:
        for dataset, key in waiting:
            if dataset in failed:
                continue
            try:
                result: Filled | DccdError = await fill_one(dataset, key)
            except DccdError as e:
                result = e
                if not isinstance(e, OutOfReach):
                    failed.add(dataset)
            report(Outcome(dataset, key, result))

    crew = [asyncio.create_task(work()) for _ in range(at_once)]
    try:
        await asyncio.gather(*crew)  # not a TaskGroup: a bug should show its own trace, not a group's
    finally:
        for task in crew:
            task.cancel()
        await asyncio.gather(*crew, return_exceptions=True)
