"""What the documents tell people to type is understood: commands with their options, and configurations."""

from pathlib import Path
from textwrap import dedent
from typing import Any, cast

import click
import pytest
import yaml

from dccd_pipeline.cli.lazy import main
from dccd_pipeline.config.read import json_schema, parse_settings
from dccd_pipeline.config.settings import Origin
from tests.docs.documents import ALL, blocks, commands

COMMANDED = [one for one in ALL if one != "docs/from-dccd.md"]
"""That one names the commands of another program, too, and has a test of its own."""
EVERYWHERE = {"--help", "-h", "-c", "--config", "--version"}


@pytest.mark.parametrize("document", COMMANDED)
def test_each_command_in_a_document_is_there(document: str) -> None:
    unknown = [f"{' '.join(words)}: {said}" for words in commands(document) if (said := _unknown(words))]
    assert unknown == []


def test_a_command_that_is_not_there_is_found() -> None:
    assert _unknown(["dccd", "validate"]) == "there is no validate"
    assert _unknown(["dccd", "config", "test"]) == "there is no test"
    assert _unknown(["dccd", "up", "--host", "0.0.0.0", "--porte=3"]) == "takes no --porte"
    assert _unknown(["dccd", "stream", "majors"]) == ""


def _unknown(words: list[str]) -> str:
    """Say what of a command is not there; empty when all is."""
    context, rest = click.Context(main, info_name="dccd"), words[1:]
    while isinstance(group := context.command, click.Group) and rest and rest[0][0] not in "-|":
        if (command := group.get_command(context, rest[0])) is None:
            if "record" not in group.list_commands(context):
                return f"there is no {rest[0]}"
            command = group.get_command(context, "record")  # which `dccd stream` is without a word
        assert command
        context, rest = click.Context(command, info_name=rest[0], parent=context), rest[1:]
    known = EVERYWHERE | {name for one in _params(context) for name in (*one.opts, *one.secondary_opts)}
    typed = [word.partition("=")[0] for word in rest if word.startswith("-") and word.strip("-")]
    return next((f"takes no {word}" for word in typed if word not in known and not word[1:].isdigit()), "")


def _params(context: click.Context) -> list[click.Parameter]:
    command = context.command
    below = command.get_command(context, "record") if isinstance(command, click.Group) else None
    return [*command.params, *(below.params if below else [])]


CONFIGURED = [(document, block) for document in ALL for block in blocks(document, "yaml")]


NAMED = [f"{document}-{at}" for at, (document, _) in enumerate(CONFIGURED)]


@pytest.mark.parametrize(("document", "block"), CONFIGURED, ids=NAMED)
def test_each_configuration_in_a_document_is_sound(
    document: str, block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SLACK", "MAIL", "NTFY"):
        monkeypatch.setenv(name, "secret")
    written = dedent(block)
    keys: Any = yaml.safe_load(written)
    if not isinstance(keys, dict) or not set(cast("dict[str, object]", keys)) <= set(
        json_schema()["properties"]
    ):
        pytest.skip("it is no dccd.yaml")
    parse_settings(written, Origin(document, tmp_path))
