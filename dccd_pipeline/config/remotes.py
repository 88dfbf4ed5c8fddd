"""One entry of ``remotes`` in ``dccd.yaml``: where a copy of the lake is kept, and how often it is renewed.

Belongs here: its keys and their types, and what those that were left out mean. Does not: whether it is in the
way of others (rules.py).
"""

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, PlainValidator

from dccd_core.api.configured import store_at
from dccd_core.domain.errors import ConfigError
from dccd_core.domain.sizes import read_size
from dccd_core.domain.timespan import HOUR, Us
from dccd_core.keep.remotes.remote import Place, kind_of
from dccd_pipeline.config.cron import CRONS, parse_interval
from dccd_pipeline.config.fields import EntryName, Strict

_NEVER: Final = "never"
_SLOWEST: Final = 1_024


def _to(to: str) -> str:
    if kind_of(to).module == "folder":
        store_at(to, Path())
    return to


def _every(value: str | int) -> Us | str:
    return _NEVER if value == _NEVER else parse_interval(value)


def _bandwidth(value: object) -> int:
    limit = read_size(value)
    if limit < _SLOWEST:
        raise ConfigError(f"{value} a second would take for ever", hint="write it like 20MiB, at least 1KiB")
    return limit


class RemoteEntry(Strict):
    """A copy of the lake elsewhere."""

    name: EntryName = Field(examples=["backup"])
    """What it is called: its asset is remote/ and this, its job sync_ and this."""

    to: Annotated[str, AfterValidator(_to)] = Field(
        examples=["s3://backup/lake", "/mnt/nas/lake", "rclone:nas:lake"]
    )
    """A folder, relative to this file's folder; s3://bucket/prefix; or rclone:NAME:path."""

    every: Annotated[Us | Literal["never"], PlainValidator(_every, json_schema_input_type=str | int)] = Field(
        default=HOUR, examples=["1h", "1d", "never"]
    )
    """How often what is new is copied there, never: by hand only. Without it: every 1h."""

    bandwidth: Annotated[int, PlainValidator(_bandwidth, json_schema_input_type=str | int)] | None = Field(
        default=None, examples=["20MiB"]
    )
    """Bytes a second at most. Without it: as fast as it goes."""

    enabled: bool = Field(default=True, strict=True, examples=[False])
    """With false nothing is copied there by itself; what is there stays, and so does the asset."""

    @property
    def job(self) -> str:
        return f"sync_{self.name}"

    @property
    def scheduled(self) -> bool:
        """Whether it is brought up by itself."""
        return self.enabled and self.every != _NEVER

    @property
    def cron_schedule(self) -> str:
        return CRONS[self.every if isinstance(self.every, int) else HOUR]

    def placed(self, folder: Path) -> "RemoteEntry":
        """Return the entry, told in which folder its configuration is."""
        if kind_of(self.to).module != "folder":
            return self
        return self.model_copy(update={"to": store_at(self.to, folder)})

    @property
    def place(self) -> Place:
        return Place(self.name, self.to, self.bandwidth)
