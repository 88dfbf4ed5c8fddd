"""``purge`` in ``dccd.yaml``: which files may leave this machine once others hold them, and when.

Belongs here: its keys and their types. Does not: purging (dccd_core.keep), its job (keep/purge.py).
"""

from typing import Annotated

from pydantic import Field, PlainValidator, model_validator

from dccd_core.domain.barspan import parse_bar_span
from dccd_core.domain.errors import ConfigError
from dccd_core.domain.timespan import Us
from dccd_pipeline.config.fields import Strict
from dccd_pipeline.config.sizes import Size


def _age(value: object) -> Us:
    try:
        return parse_bar_span(str(value))
    except ConfigError:
        raise ConfigError(f"{value!r} is no length of time", hint="write it like 90d or 12w") from None


class Purge(Strict):
    """What is taken away here once others verifiably hold it; a small record of each stays."""

    keep_free: Size | None = Field(default=None, examples=["20GiB"])
    """Only while less than this is free, and never more is brought back than leaves this free."""

    older_than: Annotated[Us, PlainValidator(_age, json_schema_input_type=str | int)] | None = Field(
        default=None, examples=["90d"]
    )
    """Only what ended so long ago."""

    copies: int = Field(default=1, strict=True, ge=1, examples=[2])
    """So many remotes must hold it, asked at that moment."""

    @model_validator(mode="after")
    def _says_when(self) -> "Purge":
        if self.keep_free is None and self.older_than is None:
            raise ConfigError("says neither when nor what", hint="set keep_free, older_than or both")
        return self
