"""``dccd alerts``: try whether alerts arrive. No Dagster.

Belongs here: options in, exit code out. Does not: sending (runs/post.py).
"""

import socket
import sys

import click

from dccd_core.domain.errors import ConfigError
from dccd_pipeline.cli.options import told
from dccd_pipeline.config.alerts import Alerts, is_web
from dccd_pipeline.config.read import load_settings


@click.group()
def alerts() -> None:
    """Whom dccd tells what goes wrong: the section alerts of dccd.yaml."""


@alerts.command()
@told
def test() -> None:
    """Send one line to each address; exit code 0 only when each of them took it."""
    settings = load_settings()
    refused = False
    for name, why in tried(configured(settings.alerts), f"dccd on {socket.gethostname()}: a test").items():
        click.echo(f"{name}: {f'not taken: {why}' if why else 'taken'}")
        refused = refused or bool(why)
    sys.exit(1 if refused else 0)


def configured(alerts: Alerts | None) -> Alerts:
    """Return who is to be told.

    Raises:
        ConfigError: nobody is.
    """
    if alerts is None:
        raise ConfigError("nobody is told of anything", hint="write alerts: {to: [...]} into dccd.yaml")
    return alerts


def tried(alerts: Alerts, text: str) -> dict[str, str]:
    """Send a text to each address; return by the address's name why it was not taken."""
    from dccd_pipeline.runs.post import post_all  # noqa: PLC0415 -- it brings a client

    said = post_all(dict.fromkeys(alerts.addresses.values(), text))
    return {name: said[address] for name, address in alerts.addresses.items()}


def refuse_unknown(alerts: Alerts | None) -> None:
    """Refuse addresses that apprise does not know: it is asked only where there are any of its own.

    Raises:
        ConfigError: there are some; it names them without what may be secret.
    """
    own = {n: a for n, a in (alerts.addresses if alerts else {}).items() if not is_web(a)}
    if not own:
        return
    from dccd_pipeline.runs.post import is_known  # noqa: PLC0415 -- it brings a client

    unknown = [name for name, address in own.items() if not is_known(address)]
    if unknown:
        hint = "see https://github.com/caronc/apprise/wiki for how addresses are written"
        raise ConfigError(f"{', '.join(unknown)}: apprise knows no such address", hint=hint)
