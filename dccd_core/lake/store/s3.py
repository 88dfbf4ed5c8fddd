"""How to reach buckets: what of it is configured, and the client that is made of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    MakeClient = Callable[[], S3Client]


@dataclass(frozen=True, slots=True)
class S3Keys:
    """What differs from the defaults of boto3: environment, ``~/.aws``. ``retries``: after a first try."""

    region: str | None = None
    endpoint_url: str | None = None
    profile: str | None = None
    retries: int | None = None

    def client(self) -> "S3Client":
        """Return a new client."""
        import boto3  # noqa: PLC0415 -- it takes half a second, and who has a folder needs none
        from botocore.config import Config  # noqa: PLC0415

        tries = None
        if self.retries is not None:
            tries = Config(retries={"total_max_attempts": self.retries + 1, "mode": "standard"})
        session = boto3.session.Session(profile_name=self.profile, region_name=self.region)
        return session.client("s3", endpoint_url=self.endpoint_url, config=tries)
