"""Dagster resources: configuration in, dccd_core objects out, no logic between.

See https://docs.dagster.io/guides/build/external-resources
"""

from collections.abc import AsyncGenerator
from contextlib import AbstractContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Final, cast

import dagster as dg
from pydantic import Field

from dccd_core.exchanges import get
from dccd_core.fetch.venue import Venue
from dccd_core.keep.remotes.remote import Place
from dccd_core.keep.restore import restorer
from dccd_core.lake.lake import LakeStore
from dccd_core.net.clock import SystemClock
from dccd_core.net.http import DEFAULT_SHARE, open_transport
from dccd_core.net.sockets import Connect, open_sockets
from dccd_pipeline.config.accepted import by_dataset

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_ATTEMPTS: Final = 5
"""As dagster-aws has it."""


class AcceptedSpan(dg.Config):
    """What is missing in a span of time (us) of a dataset, and taken as it is."""

    dataset: str
    start: int
    end: int
    why: str


class RemotePlace(dg.Config):
    """Where a remote is: see ``remotes`` in ``dccd.yaml``."""

    name: str
    to: str
    bandwidth: int | None = None


class LakeResource(dg.ConfigurableResource[None]):
    """Where the Parquet files live: a folder, or ``s3://bucket/prefix``.

    The rest says how to reach buckets: see ``s3`` in ``dccd.yaml``.
    """

    url: str
    accepted: list[AcceptedSpan] = Field(default_factory=list[AcceptedSpan])
    s3_region: str | None = None
    s3_endpoint_url: str | None = None
    s3_profile: str | None = None
    s3_retries: int | None = None
    remotes: list[RemotePlace] = Field(default_factory=list[RemotePlace])
    keep_free: int = 0
    """So many bytes are to stay free when something is brought back."""

    def open(self) -> LakeStore:
        """Open the store; what remotes hold is brought back when its rows are needed."""
        gaps = ((one.dataset, one.start, one.end, one.why) for one in self.accepted)
        lake = LakeStore(self.url, accepted=by_dataset(gaps), s3=self.client)
        places = [Place(one.name, one.to, one.bandwidth) for one in self.remotes]
        lake.bring = restorer(lake, places, self.client, self.keep_free)
        return lake

    def client(self) -> "S3Client":
        """Return a new client of buckets, as dagster-aws makes it."""
        from dagster_aws.s3 import S3Resource  # noqa: PLC0415 -- it takes long, and who has a folder needs none

        made = S3Resource(
            region_name=self.s3_region,
            endpoint_url=self.s3_endpoint_url,
            profile_name=self.s3_profile,
            max_attempts=_ATTEMPTS if self.s3_retries is None else self.s3_retries + 1,
        )
        return cast("S3Client", made.get_client())


class Venues(dg.ConfigurableResource[None]):
    """The ways to the exchanges; the fields override per exchange what it says itself."""

    rest_urls: dict[str, str] = Field(default_factory=dict)
    ws_urls: dict[str, str] = Field(default_factory=dict)
    budgets: dict[str, float] = Field(default_factory=dict)

    @asynccontextmanager
    async def connect(self, name: str) -> AsyncGenerator[Venue]:
        exchange, clock, url = get(name), SystemClock(), self.rest_urls.get(name)
        share = self.budgets.get(name, DEFAULT_SHARE)
        async with open_transport(exchange, rest_url=url, share=share, clock=clock) as transport:
            yield Venue(exchange, transport, clock)

    def sockets(self, name: str) -> AbstractContextManager[Connect]:
        """Return how WebSockets are opened; of a replaced address the venue's own path is kept."""
        return open_sockets(
            get(name), ws_url=self.ws_urls.get(name), share=self.budgets.get(name, DEFAULT_SHARE)
        )
