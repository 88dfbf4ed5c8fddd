"""``dccd stream``: options in, exit code out. What needs Dagster is imported by those who record or pause.

Exit codes: as in main.py.
"""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

import click

from dccd_pipeline.cli import render
from dccd_pipeline.cli.captures import Keeping, capture_options
from dccd_pipeline.cli.keeper import chosen, end_with_keeper, record_all
from dccd_pipeline.cli.options import configured, say_where, told
from dccd_pipeline.config.read import load_settings

P = ParamSpec("P")
R = TypeVar("R")


class StreamGroup(click.Group):
    """Records what is named, unless the first word is one of its commands."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        helped = bool(args) and args[0] in ctx.help_option_names
        if not helped and (not args or args[0] not in self.commands):
            args = ["record", *args]
        return super().parse_args(ctx, args)


@click.group(cls=StreamGroup, subcommand_metavar="[NAME...] | pause|resume NAME [SYMBOL [DATA_TYPE]]")
def stream() -> None:
    """Record configured streams, all or NAMES, until Ctrl-C; or pause and resume one.

    `dccd up` does this by itself, and starts again what fails.
    """


@stream.command()
@click.argument("names", nargs=-1)
@click.option("--here", is_flag=True, hidden=True, help="In this process, which takes one stream.")
@capture_options
@told
def record(names: tuple[str, ...], here: bool, capture: Path | None, capture_limit: int) -> None:
    """Record streams, all or NAMES, until Ctrl-C, each in a Dagster run; this word may be left out."""
    if here:
        end_with_keeper()
    settings = load_settings()
    wanted = chosen(settings, names)
    if not here:
        say_where(settings)
    keeping = Keeping.of(capture, capture_limit, wanted)
    if not here:
        sys.exit(record_all(wanted, keeping.options))
    from dccd_pipeline.cli.instance import open_instance  # noqa: PLC0415 -- it brings Dagster
    from dccd_pipeline.cli.record import record_here  # noqa: PLC0415

    with open_instance() as instance:
        say = partial(render.happened, zone=settings.timezone)
        if failure := record_here(settings, wanted[0], instance, say, keeping.recorder):
            click.echo(failure, err=True)
            sys.exit(1)


def part_of_a_stream(action: Callable[P, R]) -> Callable[P, R]:
    """NAME [SYMBOL [DATA_TYPE]]: which part of which stream is meant."""
    data_type = click.argument("data_type", required=False)
    return click.argument("name")(click.argument("symbol", required=False)(data_type(action)))


@stream.command("pause")
@part_of_a_stream
@told
def pause_stream(name: str, symbol: str | None, data_type: str | None) -> None:
    """Stop recording a stream, a symbol or a data type of it, until it is resumed; the rest goes on."""
    from dccd_pipeline.cli.instance import open_instance  # noqa: PLC0415 -- it brings Dagster
    from dccd_pipeline.streams.pausing import meant, pause  # noqa: PLC0415

    entry, part = meant(configured(), name, symbol, data_type)
    with open_instance() as instance:
        click.echo(pause(instance, entry, part))


@stream.command("resume")
@part_of_a_stream
@told
def resume_stream(name: str, symbol: str | None, data_type: str | None) -> None:
    """Go on recording what was paused; a stream that was stopped is started again by the daemon."""
    from dccd_pipeline.cli.instance import open_instance  # noqa: PLC0415 -- it brings Dagster
    from dccd_pipeline.streams.pausing import go_on, meant  # noqa: PLC0415

    entry, part = meant(configured(), name, symbol, data_type)
    with open_instance() as instance:
        for line in go_on(instance, entry, part):
            click.echo(line)
