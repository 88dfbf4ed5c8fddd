"""``dccd doctor``: which exchanges are examined, over the same ways that the runs take.

Belongs here: whom to ask. Does not: what is asked and what is well (dccd_core.fetch.doctor).
"""

import asyncio
from collections.abc import Sequence

from dccd_core.domain.errors import DccdError
from dccd_core.exchanges import NAMES, get
from dccd_core.fetch.doctor import Finding, examine
from dccd_pipeline.build import default_resources
from dccd_pipeline.config.capabilities import closed_on, present
from dccd_pipeline.config.read import EMBEDDED
from dccd_pipeline.config.settings import Settings
from dccd_pipeline.resources import Venues


def examinable(settings: Settings) -> list[str]:
    """Name the open exchanges that somebody configured; when nobody did, all that are open.

    One that has closed has no present to be examined.
    """
    configured = {*settings.exchanges, *(entry.exchange for entry in settings.collect)}
    named = configured if settings.source != EMBEDDED and configured else set(NAMES)
    return [name for name in NAMES if name in named and closed_on(get(name), present()) is None]


async def examined(settings: Settings, names: Sequence[str]) -> dict[str, list[Finding]]:
    """Return what was found out about each exchange; what keeps one from answering is a finding too.

    Raises:
        ConfigError: a name is not in the registry, or the exchange has closed.
    """
    for name in names:
        settings.require_open(get(name))
    venues = default_resources(settings)["venues"]
    assert isinstance(venues, Venues)

    async def one(name: str) -> list[Finding]:
        try:
            async with venues.connect(name) as venue:
                return await examine(venue)
        except DccdError as e:
            return [Finding("connection", ok=False, said=str(e), hint="")]

    return dict(zip(names, await asyncio.gather(*map(one, names)), strict=True))
