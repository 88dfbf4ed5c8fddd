"""What the command line takes, from click itself."""

from collections.abc import Iterator
from typing import Final

import click

from dccd_pipeline.cli.lazy import main
from docs.hooks.markdown import code, prose, table

_WIDE: Final = 10_000
_HEAD: Final = """# Commands

Written by `make docs` from the command line itself; `dccd COMMAND --help` says the same.

Every command takes `-c FILE`, `--config FILE`: the configuration; else `$DCCD_CONFIG`, `./dccd.yaml`,
`$XDG_CONFIG_HOME/dccd/dccd.yaml`. Exit codes: 0 when all that was asked for is complete, 1 when something
is not, 2 when the question cannot be asked, 130 when it was told to stop; what was fetched by then is
stored.

"""
_EVERYWHERE: Final = ("help", "config", "version")
"""Options that are not worth a line for each command."""


def commands_page() -> str:
    return _HEAD + "\n".join(_said(name, of) for name, of in commands())


def commands() -> Iterator[tuple[str, click.Context]]:
    """Yield all commands with those below them, by what is typed: ``dccd config check``."""
    root = click.Context(main, info_name="dccd", terminal_width=_WIDE, max_content_width=_WIDE)
    yield from _below(root)


def _below(group: click.Context) -> Iterator[tuple[str, click.Context]]:
    assert isinstance(group.command, click.Group)
    for name in group.command.list_commands(group):
        command = group.command.get_command(group, name)
        assert command
        context = click.Context(command, info_name=name, parent=group)
        yield context.command_path, context
        if isinstance(command, click.Group):
            yield from _below(context)


def options(context: click.Context) -> list[click.Option]:
    """Return what is worth a line of a command's own."""
    own = [one for one in context.command.params if isinstance(one, click.Option)]
    return [one for one in own if one.name not in _EVERYWHERE and not one.hidden]


def _said(name: str, context: click.Context) -> str:
    command = context.command
    usage = command.get_usage(context).removeprefix("Usage: ")
    parts = [f"## {name}\n", f"```\n{usage}\n```\n", f"{prose(command.help)}\n"]
    if rows := list(_rows(context)):
        parts.append(table(("option", "what"), rows))
    if command.epilog:
        parts.append(f"{prose(command.epilog)}\n")
    return "\n".join(parts)


def _rows(context: click.Context) -> Iterator[tuple[str, str]]:
    for one in options(context):
        record = one.get_help_record(context)
        assert record
        yield code(record[0]), prose(record[1])
