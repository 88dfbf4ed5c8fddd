"""The ``dccd`` command: which commands there are, each imported when it is called.

Belongs here: one line for each command. Does not: any command.
"""

from importlib import import_module
from typing import Final

import click

_MAIN: Final = "dccd_pipeline.cli.main"
_VENUES: Final = "dccd_pipeline.cli.exchanges"

COMMANDS: Final[dict[str, tuple[str, str, str]]] = {
    "alerts": (
        "dccd_pipeline.cli.alerts",
        "alerts",
        "Whom dccd tells what goes wrong: the section alerts of dccd.yaml.",
    ),
    "backfill": (_MAIN, "backfill", "Fill [start, end) of one symbol or more, in a recorded Dagster run."),
    "collect": (
        "dccd_pipeline.cli.collect",
        "collect",
        "Bring what is configured up to date now, as its schedules do: all...",
    ),
    "config": (
        "dccd_pipeline.cli.configured",
        "config",
        "The file dccd.yaml: $DCCD_CONFIG, else ./dccd.yaml, else the...",
    ),
    "demo": (_MAIN, "demo", "Collect from every exchange of the sandbox in real Dagster runs,..."),
    "doctor": (_VENUES, "doctor", "Ask exchanges whether they still answer as dccd knows them: the..."),
    "exchanges": (_VENUES, "exchanges", "What each exchange serves, or one of them: how far back, which..."),
    "import": (
        "dccd_pipeline.cli.imports",
        "import_",
        "Take over a store of dccd 3: rows are checked, repaired, or refused.",
    ),
    "import-config": (
        "dccd_pipeline.cli.imports",
        "import_config",
        "Write the dccd.yaml that a configuration of dccd 2 or 3 means.",
    ),
    "inventory": (
        "dccd_pipeline.cli.stored",
        "inventory",
        "Every stored dataset: rows, first, last, partitions, coverage,...",
    ),
    "pin": (
        "dccd_pipeline.cli.pin",
        "pin",
        "Keep datasets, all or these, as they are now, for ever under a name.",
    ),
    "read": ("dccd_pipeline.cli.stored", "read", "Read stored rows: a table on the terminal, or a file."),
    "replay": (
        "dccd_pipeline.cli.captures",
        "replay",
        "Run captures of a stream again, offline, in this order, and print...",
    ),
    "sandbox": (
        "dccd_core.testing.sandbox.__main__",
        "main",
        "Serve simulated exchanges on 127.0.0.1, REST and WebSocket; prints...",
    ),
    "status": (
        "dccd_pipeline.cli.status",
        "status",
        "Is the lake complete and right today? Exit code 0 only when all is...",
    ),
    "stream": (
        "dccd_pipeline.cli.stream",
        "stream",
        "Record configured streams, all or NAMES, until Ctrl-C; or pause and...",
    ),
    "symbols": (_VENUES, "symbols", "List what can be traded at an exchange: all, or what matches a..."),
    "verify": (
        "dccd_pipeline.cli.verify",
        "verify",
        "Prove that a pin is what it was, and say what changed in the lake...",
    ),
}
"""Where each command is, what it is called there, and the first sentence of its help."""


class LazyGroup(click.Group):
    """Knows its commands by name, and imports one when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*COMMANDS, *super().list_commands(ctx)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in COMMANDS and cmd_name not in self.commands:
            module, attribute, _ = COMMANDS[cmd_name]
            self.add_command(getattr(import_module(module), attribute), cmd_name)
        return super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][2]) for name in self.list_commands(ctx)])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="dccd")
def main() -> None:
    """A crypto market-data lake that fills itself, keeps itself fresh and proves what it holds."""
