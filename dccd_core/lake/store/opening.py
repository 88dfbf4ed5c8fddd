"""A store and the live segments that belong to it, found by what a user calls the store."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from dccd_core.domain.errors import ConfigError
from dccd_core.domain.places import state_dir
from dccd_core.lake.layout import LIVE
from dccd_core.lake.store.folder import Folder, Store

if TYPE_CHECKING:
    from dccd_core.lake.store.s3 import MakeClient


def open_store(url: str | Path, s3: "MakeClient | None" = None) -> Store:
    """Return the store at an address; ``s3`` makes the client of one that is a bucket.

    Raises:
        ConfigError: it is none.
    """
    if str(url).startswith("s3://"):
        from dccd_core.lake.store.bucket import Bucket  # noqa: PLC0415 -- boto3 takes half a second to import

        return Bucket(str(url), s3() if s3 else None)
    if "://" in str(url):
        raise ConfigError(f"{url} is no store", hint="use a folder or s3://bucket/prefix")
    return Folder(Path(url))


def live_folder(url: str | Path) -> Path:
    """Return where the live segments of a store lie: in its folder, or, of a bucket, on this machine."""
    if "://" not in str(url):
        return Path(url).absolute() / LIVE
    name = str(url).partition("?")[0].rstrip("/")
    return state_dir() / "live" / hashlib.sha256(name.encode()).hexdigest()[:16]
