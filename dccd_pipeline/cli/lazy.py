"""The ``dccd`` command: which commands there are, each imported when it is called.

Belongs here: one line for each command, and the option that all of them have. Does not: any command.
"""

import os
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any, Final

import click

_MAIN: Final = "dccd_pipeline.cli.main"
_VENUES: Final = "dccd_pipeline.cli.exchanges"
_VARIABLE: Final = "DCCD_CONFIG"

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
        "The file dccd.yaml: --config, else $DCCD_CONFIG, else ./dccd.yaml,...",
    ),
    "demo": (_MAIN, "demo", "Collect from every exchange of the sandbox in real Dagster runs,..."),
    "diff": (
        "dccd_pipeline.cli.diff",
        "diff",
        "Show where two sources of a dataset differ: its bars and its...",
    ),
    "doctor": (_VENUES, "doctor", "Ask exchanges whether they still answer as dccd knows them: the..."),
    "exchanges": (_VENUES, "exchanges", "What each exchange serves, or one of them: how far back, which..."),
    "forget": (
        "dccd_pipeline.cli.forget",
        "forget_command",
        "Remove all of DATASET from the lake: files, records of what remotes...",
    ),
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
    "init": (
        "dccd_pipeline.cli.init",
        "init",
        "Write a first, commented dccd.yaml; asks for what is not given.",
    ),
    "inventory": (
        "dccd_pipeline.cli.stored",
        "inventory",
        "Every stored dataset: rows, first, last, partitions, coverage,...",
    ),
    "metrics": (
        "dccd_pipeline.cli.metrics",
        "metrics",
        "Serve /metrics for Prometheus and /healthz, until Ctrl-C.",
    ),
    "pin": (
        "dccd_pipeline.cli.pin",
        "pin",
        "Keep datasets, all or these, as they are now, for ever under a name.",
    ),
    "logs": (
        "dccd_pipeline.cli.logs",
        "logs",
        "Print the last lines of dccd up, or of a run: by its id, or the...",
    ),
    "purge": (
        "dccd_pipeline.cli.purge",
        "purge_command",
        "Take away here what remotes verifiably hold, by `purge` of...",
    ),
    "quarantine": (
        "dccd_pipeline.cli.quarantine",
        "quarantine",
        "Show the rows that were refused, all or of a dataset, each with the...",
    ),
    "read": ("dccd_pipeline.cli.stored", "read", "Read stored rows: a table on the terminal, or a file."),
    "replay": (
        "dccd_pipeline.cli.captures",
        "replay",
        "Run captures of a stream again, offline, in this order, and print...",
    ),
    "report": (
        "dccd_pipeline.cli.report",
        "report",
        "Write a page that says whether the lake is complete and right: one...",
    ),
    "restore": (
        "dccd_pipeline.cli.restore",
        "restore_command",
        "Bring back what remotes hold of DATASET, which is named as `dccd...",
    ),
    "sandbox": (
        "dccd_core.testing.sandbox.__main__",
        "main",
        "Serve simulated exchanges on 127.0.0.1, REST and WebSocket; prints...",
    ),
    "schedules": (
        "dccd_pipeline.cli.schedules",
        "schedules",
        "List the schedules; or turn them on or off, all or the one of an...",
    ),
    "status": (
        "dccd_pipeline.cli.status",
        "status",
        "Is the lake complete and right today? Exit code 0 only when all is...",
    ),
    "stop": (
        "dccd_pipeline.cli.stop",
        "stop",
        "End a run: by (the beginning of) its id, or all runs of a stream,...",
    ),
    "stream": (
        "dccd_pipeline.cli.stream",
        "stream",
        "Record configured streams, all or NAMES, until Ctrl-C; or pause and...",
    ),
    "up": (
        "dccd_pipeline.cli.up",
        "up",
        "Run all of it until Ctrl-C: the page, schedules and streams, from...",
    ),
    "sync": (
        "dccd_pipeline.cli.sync",
        "sync_command",
        "Copy what is new in the lake to remotes now, all of them or NAMES,...",
    ),
    "symbols": (_VENUES, "symbols", "List what can be traded at an exchange: all, or what matches a..."),
    "verify": (
        "dccd_pipeline.cli.verify",
        "verify",
        "Prove the lake against its ledgers: read every row again, all, or...",
    ),
}
"""Where each command is, what it is called there, and the first sentence of its help."""


def _use(context: click.Context, _parameter: click.Parameter, file: str | None) -> None:
    """Have all that reads the configuration, in this process and those it starts, read ``file``."""
    if file is None:
        return
    before, os.environ[_VARIABLE] = os.environ.get(_VARIABLE), os.path.abspath(file)  # noqa: PTH100 -- quick
    context.find_root().call_on_close(partial(_restore, before))


def _restore(before: str | None) -> None:
    if before is None:
        del os.environ[_VARIABLE]
    else:
        os.environ[_VARIABLE] = before


CONFIG: Final[Callable[[Any], Any]] = click.option(
    *("-c", "--config"),
    metavar="FILE",
    expose_value=False,
    is_eager=True,
    callback=_use,
    help="The configuration; else $DCCD_CONFIG, ./dccd.yaml, $XDG_CONFIG_HOME/dccd/dccd.yaml.",
)
"""The option that every command has."""


def _with_config(command: click.Command) -> click.Command:
    """Give a command, or all that a group has, the option unless it is there."""
    if isinstance(command, click.Group):
        for one in command.commands.values():
            _with_config(one)
    elif not any("-c" in parameter.opts for parameter in command.params):
        CONFIG(command)
    return command


class LazyGroup(click.Group):
    """Knows its commands by name, and imports one when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*COMMANDS, *super().list_commands(ctx)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in COMMANDS and cmd_name not in self.commands:
            module, attribute, _ = COMMANDS[cmd_name]
            self.add_command(getattr(import_module(module), attribute), cmd_name)
        found = super().get_command(ctx, cmd_name)
        return found and _with_config(found)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][2]) for name in self.list_commands(ctx)])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@CONFIG
@click.version_option(package_name="dccd")
def main() -> None:
    """A crypto market-data lake that fills itself, keeps itself fresh and proves what it holds."""
