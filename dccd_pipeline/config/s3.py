"""How to reach buckets: that of the lake, and those of remotes. What is left out boto3 looks up itself."""

from typing import Annotated

from pydantic import AfterValidator, Field

from dccd_core.domain.errors import ConfigError
from dccd_core.lake.store.s3 import S3Keys
from dccd_pipeline.config.fields import Strict


def _endpoint(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise ConfigError(f"{url!r} is no http address", hint="write it like https://s3.example.org")
    return url.rstrip("/")


class S3Settings(Strict):
    """How to reach buckets. Credentials come from the environment or ~/.aws, as boto3 reads them."""

    region: str | None = Field(default=None, min_length=1, examples=["eu-west-1"])
    """The region of the buckets."""

    endpoint_url: Annotated[str, AfterValidator(_endpoint)] | None = Field(
        default=None, examples=["https://s3.example.org"]
    )
    """The server, where it is not Amazon's."""

    profile: str | None = Field(default=None, min_length=1, examples=["archive"])
    """A profile of ~/.aws."""

    retries: int | None = Field(default=None, strict=True, ge=0, le=20, examples=[5])
    """How often a request is tried again that failed on the way, at most 20."""

    @property
    def keys(self) -> S3Keys:
        return S3Keys(self.region, self.endpoint_url, self.profile, self.retries)
