"""Where to say what goes wrong: the section ``alerts``. How it is said: runs/outbox.py.

Addresses hold passwords and tokens: they are in no repr, no error and nothing that is printed.
"""

import re
from typing import Annotated, Final, Self

from pydantic import BeforeValidator, Field, PlainSerializer, PlainValidator, model_validator

from dccd_core.domain.errors import ConfigError
from dccd_core.domain.sizes import GIB
from dccd_pipeline.config.fields import Strict, read_address
from dccd_pipeline.config.sizes import Size

_HOOK: Final = "https://example.org/hook"
_ADDRESS: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://\S+")
_WEB: Final = ("http", "https")


def scheme_of(address: str) -> str:
    """Return what may be shown of an address: after it any part may be a secret.

    >>> scheme_of("slack://TokenA/TokenB")
    'slack'
    """
    return address.partition("://")[0].lower()


def is_web(address: str) -> bool:
    """Tell whether an address is a plain webhook."""
    return scheme_of(address) in _WEB


def shown(address: str) -> str:
    """Return an address without its secrets.

    >>> shown("slack://TokenA/TokenB")
    'slack://...'
    """
    return f"{scheme_of(address)}://..."


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ConfigError("is no address", hint=f"write it in quotes, like '{_HOOK}'")
    return value


def _webhook(value: object) -> str:
    return read_address(_text(value))


def _address(value: object) -> str:
    address = _text(value)
    if is_web(address):
        return read_address(address)
    if not _ADDRESS.fullmatch(address):
        raise ConfigError("is no address", hint=f"write it like slack://TOKENS, mailto://..., or {_HOOK}")
    return address


def _listed(value: object) -> object:
    if not isinstance(value, (list, tuple)):
        raise ConfigError("should be a list of addresses", hint=f"write to: [{_HOOK}]")
    return value  # pyright: ignore[reportUnknownVariableType] -- its items are looked at one by one


_SHOWN: Final = PlainSerializer(shown, return_type=str)


class Alerts(Strict):
    """Where to say what goes wrong, and from when on."""

    to: Annotated[
        tuple[Annotated[str, PlainValidator(_address, json_schema_input_type=str), _SHOWN], ...],
        BeforeValidator(_listed, json_schema_input_type=list[str]),
    ] = Field(default=(), repr=False, examples=[[_HOOK]])
    """Addresses of apprise (``slack://...``, ``mailto://...``), or webhooks: Slack's gets JSON."""

    webhook_url: Annotated[str, PlainValidator(_webhook, json_schema_input_type=str), _SHOWN] | None = Field(
        default=None, repr=False, examples=[_HOOK]
    )
    """One more webhook, as in ``to``."""

    after_failures: int = Field(default=3, strict=True, ge=1, examples=[3])
    """How many failures of a job in a row it takes."""

    low_disk: Size = Field(default=2 * GIB, examples=["2GiB"])
    """How much must be free on the disks of the store and of Dagster's storage; 0: that is not looked at."""

    @model_validator(mode="after")
    def _has_an_address(self) -> Self:
        if not self.to and self.webhook_url is None:
            raise ConfigError("has no address", hint=f"write to: [{_HOOK}]")
        return self

    @property
    def addresses(self) -> dict[str, str]:
        """Return the addresses, each once, by names that may be shown."""
        named = {f"alerts.to[{n}] ({scheme_of(one)})": one for n, one in enumerate(self.to)}
        if self.webhook_url is not None:
            named["alerts.webhook_url"] = self.webhook_url
        first = {address: name for name, address in reversed(named.items())}
        return {name: address for name, address in named.items() if first[address] == name}
