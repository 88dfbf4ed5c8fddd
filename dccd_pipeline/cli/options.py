"""What the commands of ``dccd`` share: how words become values, and errors lines.

Belongs here: reading arguments, exit codes. Does not: any command.
"""

import errno
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

import click

from dccd_core.domain.barspan import parse_bar_span
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import ConfigError, DccdError
from dccd_core.domain.moments import parse_moment
from dccd_core.domain.timespan import Us
from dccd_core.net.clock import SystemClock
from dccd_core.tables import DataType
from dccd_pipeline.config.fields import named_exchange, read_symbol
from dccd_pipeline.config.lastgood import Loaded, load_lasting
from dccd_pipeline.config.read import load_settings
from dccd_pipeline.config.settings import Settings
from dccd_pipeline.config.words import having, said_unknown
from dccd_pipeline.runs.signals import hearing_signals

P = ParamSpec("P")
R = TypeVar("R")
STOPPED: Final = 130
"""What a shell says of a program that Ctrl-C ended."""
REFUSED: Final = 2
"""What was asked for cannot be done like this."""
_SETTINGS: Final = "dccd.settings"
_MAY: Final = "run it as the user who owns that, or let this one in"
_REFUSALS: Final = {
    errno.EACCES: _MAY,
    errno.EPERM: _MAY,
    errno.EROFS: "make it writable",
    errno.ENOSPC: "make room on that disk",
    errno.EDQUOT: "make room: a quota is used up",
    errno.EIO: "see to that disk",
    errno.ENOTDIR: "see what is in its place: it should be a folder",
    errno.EISDIR: "see what is in its place: it should be a file",
}
"""What an operating system refuses is no bug; what helps, by the number that it gives it."""
_LATER: Final = "another program holds it, or it is away: try again in a moment"


def told(action: Callable[P, R]) -> Callable[P, R]:
    """Print our own errors as their line and exit; any other error is a bug and keeps its trace.

    Ctrl-C and SIGTERM are no errors; a database of Dagster's that does not answer, or a file that nobody may
    use, is no bug. In the end the
    configuration and the store are named, unless JSON was asked for, or something that cannot be.
    """
    heard = _heard(action)

    @wraps(action)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        silent = bool(kwargs.get("as_json"))
        try:
            return heard(*args, **kwargs)
        except SystemExit as e:
            silent = silent or e.code == REFUSED
            raise
        finally:
            if not silent:
                _say_where()

    return run


def _heard(action: Callable[P, R]) -> Callable[P, R]:
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            with hearing_signals():
                return action(*args, **kwargs)
        except KeyboardInterrupt:
            sys.exit(STOPPED)
        except DccdError as e:
            click.echo(str(e), err=True)
            sys.exit(REFUSED if isinstance(e, ConfigError) else 1)
        except OSError as e:
            if e.errno not in _REFUSALS or e.filename is None:
                raise
            click.echo(f"cannot use {e.filename}: {e.strerror} -> {_REFUSALS[e.errno]}", err=True)
            sys.exit(1)
        except Exception as e:
            if "sqlalchemy" not in sys.modules or (said := _storage_said(e)) is None:
                raise
            click.echo(f"Dagster's storage does not answer: {said} -> {_LATER}", err=True)
            sys.exit(1)

    return run


def _storage_said(error: BaseException | None) -> str | None:
    """Return what a database said that an error is about; None when it is about none."""
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415 -- it takes long, and is here already

    from dccd_pipeline.runs.patience import line_of  # noqa: PLC0415

    while error is not None and not isinstance(error, SQLAlchemyError):
        error = error.__cause__ or error.__context__
    return line_of(error) if isinstance(error, SQLAlchemyError) else None


class Moment(click.ParamType[Us]):
    """A moment as people write it, UTC."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Us:
        try:
            return parse_moment(str(value), SystemClock().now())
        except ConfigError as e:
            self.fail(str(e), param, ctx)


class Kind(click.ParamType[str]):
    """A data type."""

    name = "type"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value not in tuple(DataType):
            self.fail(" -> ".join(said_unknown(value)), param, ctx)
        return str(value)


def dataset_options(action: Callable[P, R]) -> Callable[P, R]:
    """--data-type --span: which of a symbol's datasets is meant."""
    spanned = having(lambda table: table.takes_span)
    span = click.option("--span", help=f"Length of a bar: 1m, 5m, 1h, 1d; for {spanned}, and only for it.")
    known = ", ".join(DataType)
    return click.option("--data-type", type=Kind(), required=True, help=f"One of {known}.")(span(action))


def dataset_of(exchange: str, symbol: str, data_type: str, span: str | None) -> Dataset:
    if DataType(data_type).table.takes_span != (span is not None):
        of = having(lambda table: table.takes_span)
        raise ConfigError(
            f"--span goes with --data-type {of}, and only with it", hint="for example --span 1m"
        )
    return Dataset(
        named_exchange(exchange).name,
        read_symbol(symbol),
        DataType(data_type),
        parse_bar_span(span) if span else None,
    )


def configured() -> Settings:
    """Return the settings for those who act on them.

    Raises:
        SettingsError: the file cannot be used.
    """
    return _used(load_settings())


def lasting() -> Settings:
    """Return the settings for those who only look: where the file cannot be used, the last good ones."""
    loaded = load_lasting()
    say_mistake(loaded)
    return _used(loaded.settings)


def say_mistake(loaded: Loaded) -> None:
    """Say why the configuration is not that of the file now, if so."""
    if loaded.mistake:
        click.echo(loaded.mistake, err=True)
        click.echo("the last good configuration is used instead", err=True)


def _used(settings: Settings) -> Settings:
    """Note which settings a command goes by."""
    if context := click.get_current_context(silent=True):
        context.meta[_SETTINGS] = settings
    return settings


def say_where(settings: Settings) -> None:
    """Say which configuration and which store this is about: in another folder it is another one.

    Who goes on for long says it at once; for others it is said in the end.
    """
    if context := click.get_current_context(silent=True):
        context.meta.pop(_SETTINGS, None)
    there = "" if "://" in settings.store or Path(settings.store).exists() else ", which does not exist yet"
    click.secho(f"configuration: {settings.source}; store: {settings.store}{there}", err=True, dim=True)


def _say_where() -> None:
    context = click.get_current_context(silent=True)
    if context and isinstance(settings := context.meta.get(_SETTINGS), Settings):
        say_where(settings)
