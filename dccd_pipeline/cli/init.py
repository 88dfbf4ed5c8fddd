"""``dccd init``: a first ``dccd.yaml``, from options or from answers.

Belongs here: asking, and writing the file. Does not: what stands in it (config/starter.py).
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from dccd_core.domain.errors import ConfigError
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import Us
from dccd_core.exchanges import NAMES, get
from dccd_core.tables import DataType
from dccd_pipeline.cli.options import Kind, told
from dccd_pipeline.config.capabilities import closed_on, present
from dccd_pipeline.config.fields import named_exchange, read_symbol
from dccd_pipeline.config.read import config_file
from dccd_pipeline.config.starter import Wanted, has_past, starter, usual_start

_NAMED: Final = {"spot": "BTC/USDT", "linear": "BTC/USDT:USDT", "inverse": "BTC/USD:BTC"}


@click.command()
@click.option("--exchange", help="Whom to ask; dccd exchanges shows what each has.")
@click.option("--symbols", help="Markets, with commas between them: BTC/USDT,ETH/USDT.")
@click.option("--data-type", type=Kind(), help=f"One of {', '.join(DataType)}.")
@click.option("--span", help="Length of a bar: 1m, 5m, 1h, 1d.")
@click.option("--start", help="The first day to collect, recent, or all.")
@click.option("--store", default="./data", show_default=True, help="Where the data are kept.")
@told
def init(
    exchange: str | None,
    symbols: str | None,
    data_type: str | None,
    span: str | None,
    start: str | None,
    store: str,
) -> None:
    """Write a first, commented dccd.yaml; asks for what is not given. An existing file stays as it is."""
    file, now = _target(), present()
    try:
        name = named_exchange(exchange or _asked("exchange", "binance", list(_open()))).name
        kind = DataType(data_type or _asked("data type", next(iter(DataType)).value, list(DataType)))
        words = symbols or _asked("symbols, with commas between them", _usual_symbol(name))
        bar = span or (_asked("length of a bar", "1m") if kind.table.takes_span else None)
        markets = [read_symbol(one) for one in words.replace(",", " ").split()]
        first = start or _first_day(name, kind, markets, now)
    except click.Abort:
        click.echo(err=True)  # the question stands there, without an answer
        raise ConfigError("nothing was written: an answer is missing", hint="see dccd init --help") from None
    wanted = Wanted(name, markets, kind.value, bar, "" if first == "all" else first, store)
    text = starter(wanted, file.absolute().parent, now)
    try:
        with file.open("x", encoding="utf-8") as written:
            written.write(text)
    except OSError as e:
        raise ConfigError(f"{file}: {e.strerror}", hint="name another file with -c") from e
    click.echo(f"{file} is written; next: `dccd config check`, then `dccd up`")


def _target() -> Path:
    """Return the file to write.

    Raises:
        ConfigError: it is there already, or its folder is not.
    """
    file = _named()
    if file.exists():
        raise ConfigError(f"{file} is there already and stays as it is", hint="edit it, or dccd init -c FILE")
    if not file.absolute().parent.is_dir():
        raise ConfigError(f"there is no folder {file.absolute().parent}", hint="make it first")
    return file


def _named() -> Path:
    """Return the file that is named, else the one in this folder: never a user's own in another folder."""
    file = config_file()
    return file if os.environ.get("DCCD_CONFIG") else Path(file.name)


def _open() -> list[str]:
    return [name for name in NAMES if closed_on(get(name), present()) is None]


def _first_day(exchange: str, kind: DataType, markets: Sequence[Symbol], now: Us) -> str:
    """Ask since when; where there is no past to ask for, nothing is asked."""
    if not has_past(exchange, kind, markets):
        return "all"
    return _asked("first day, recent, or all", usual_start(exchange, kind, markets, now))


def _usual_symbol(exchange: str) -> str:
    kinds = get(exchange).kinds
    return next(symbol for kind, symbol in _NAMED.items() if kind in kinds)


def _asked(what: str, usual: str, known: list[str] | None = None) -> str:
    among = f" ({', '.join(known)})" if known else ""
    return str(click.prompt(f"{what}{among}", default=usual, err=True))
