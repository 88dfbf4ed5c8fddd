"""Every error this library raises on purpose.

DccdError
 +- ConfigError            the user asked for something impossible
 +- ExchangeError          the other side (``retryable`` says whether waiting helps)
 |   +- Throttled          429 / "rate limit" in the body
 |   +- Banned             418 / 403: the address is shut out for a while
 |   +- Unavailable        5xx, timeouts, resets, a body that was cut or is no JSON
 |   +- Rejected           4xx or an error in the body: we asked wrongly
 |       +- UnknownSymbol  the venue does not list it
 |       +- OutOfReach     the venue does not go back that far
 +- PayloadError           JSON came, but not the shape we know
 +- PagingError            the pager can make no progress
 +- LakeError              the lake cannot be read or written
     +- DamagedFile        a file of the lake is not what was written
     +- IncompleteError    what could be had is stored, and some of what was asked for is missing
"""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Where:
    """Where in the outside world something went wrong."""

    exchange: str
    endpoint: str
    symbol: str | None = None

    def __str__(self) -> str:
        return " ".join(part for part in (self.exchange, self.endpoint, self.symbol) if part)


class DccdError(Exception):
    """One positional argument, the rest attributes, so that errors pickle across processes.

    Args:
        message: what happened, in one line.
        hint: what the reader can do about it.
        where: exchange, endpoint, symbol; usually added on the way up by ``located``.
    """

    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, hint: str = "", where: Where | None = None) -> None:
        super().__init__(message)
        self.hint = hint
        self.where = where

    def __str__(self) -> str:
        place = f"[{self.where}] " if self.where else ""
        hint = f" -> {self.hint}" if self.hint else ""
        return f"{place}{' '.join(super().__str__().split())}{hint}"


class ConfigError(DccdError, ValueError):
    """Also a ValueError, or pydantic loses its place in the YAML."""


class ExchangeError(DccdError): ...


class Throttled(ExchangeError):
    retryable = True

    def __init__(
        self, message: str, *, wait_s: float | None = None, hint: str = "", where: Where | None = None
    ) -> None:
        super().__init__(message, hint=hint, where=where)
        self.wait_s = wait_s


class Banned(Throttled): ...


class Unavailable(ExchangeError):
    retryable = True


class Rejected(ExchangeError): ...


class UnknownSymbol(Rejected): ...


class OutOfReach(Rejected): ...


class PayloadError(DccdError): ...


class PagingError(DccdError): ...


class LakeError(DccdError): ...


class DamagedFile(LakeError): ...


class IncompleteError(LakeError): ...


@contextmanager
def located(where: Where) -> Generator[None]:
    """Give every error that passes through the place it came from."""
    try:
        yield
    except DccdError as e:
        e.where = e.where or where
        raise
