"""One answer is all there is; it holds the present, so there is nothing to page through.

Who stores it is ``fetch/snapshot.py``.
"""

from collections.abc import Iterator

from dccd_core.adapter.contract import Endpoint, Query, Request, Snapshot
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import ConfigError
from dccd_core.domain.timespan import TimeRange, Us
from dccd_core.fetch.paging.style import Absent, Askable, FetchStats, Pagers, PagingStyle
from dccd_core.lake.lake import CompletenessCheck
from dccd_core.quality.holes import Evidence, NoCheck


async def _pagers(_: Askable, dataset: Dataset, __: TimeRange, ___: FetchStats) -> Pagers:
    raise ConfigError(f"{dataset} holds snapshots of the present", hint="use snapshot()")


async def _count(_: Askable, dataset: Dataset, __: TimeRange) -> tuple[int, int]:
    raise ConfigError(f"{dataset} holds snapshots of the present", hint="there is nothing to estimate")


def _proof(_: Endpoint, __: Evidence, ___: Absent) -> CompletenessCheck:
    return NoCheck()


def _newest(endpoint: Endpoint, query: Query, _: Us) -> Iterator[Request]:
    yield endpoint.request(query)


STYLE = PagingStyle(
    describes=Snapshot,
    name="snapshot",
    pagers=_pagers,
    count=_count,
    guesses=False,
    proof=_proof,
    newest=_newest,
    find_trade=None,
    by_ids=None,
    exact=False,
    newest_only=False,
    present_only=True,
)
