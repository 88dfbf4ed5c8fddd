"""The reference names everything: commands, options, keys, columns, exchanges, methods."""

import re

import pytest

import dccd_core
from dccd_core import Lake
from dccd_core.domain.barspan import format_bar_span
from dccd_core.exchanges import NAMES, get
from dccd_core.tables import DataType
from dccd_pipeline.cli.lazy import COMMANDS
from dccd_pipeline.config.capabilities import KINDS, present, served
from dccd_pipeline.config.read import json_schema
from docs.hooks.commands import commands, options
from docs.hooks.keys import sections
from docs.hooks.pages import pages
from tests.docs.documents import ROOT


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    return pages()


def test_each_command_and_option_is_in_the_reference(made: dict[str, str]) -> None:
    page = made["reference/commands.md"]
    assert [name for name in COMMANDS if f"\n## dccd {name}\n" not in page] == []
    for name, context in commands():
        part = page.split(f"\n## {name}\n")[1].split("\n## ")[0]
        lacking = [one.opts[-1] for one in options(context) if one.opts[-1] not in part]
        assert lacking == [], name
        assert re.search(r"^\w.*\.", part, re.MULTILINE), f"{name} says nothing of itself"


def test_each_key_of_the_configuration_is_in_the_reference(made: dict[str, str]) -> None:
    page, schema = made["reference/configuration.md"], json_schema()
    known = [schema, *schema["$defs"].values()]
    assert len(sections()) == len(known)
    for keys in (sorted(one["properties"]) for one in known):
        assert any(sorted(part.keys) == keys for part in sections())
    for part in sections():
        title = part.where if part.where == "The file" else f"`{part.where}`"
        rows = page.split(f"## {title}\n")[1].split("\n## ")[0]
        for key, of in part.keys.items():
            (row,) = (line for line in rows.splitlines() if line.startswith(f"| `{key}` |"))
            assert of["description"].split("``")[0].split("\n")[0][:30] in row, f"{part.where}: {key}"
            assert ("| needed |" in row) == (key in part.needed)
    assert "| `low_disk` | `2GiB` | `2GiB` |" in page


def test_each_column_is_in_the_reference_with_what_it_holds(made: dict[str, str]) -> None:
    page = made["reference/tables.md"]
    for data_type in DataType:
        part = page.split(f"\n## {data_type.value}\n")[1].split("\n## ")[0]
        for name, told in data_type.table.descriptions.items():
            (row,) = (line for line in part.splitlines() if line.startswith(f"| `{name}` |"))
            assert told in row
            assert ("may be null" in row) == (name not in data_type.table.required)


def test_each_exchange_is_in_the_reference_with_each_length_of_bar(made: dict[str, str]) -> None:
    page = made["reference/exchanges.md"]
    for exchange in map(get, NAMES):
        part = page.split(f"\n## {exchange.title}\n")[1].split("\n## ")[0]
        for data_type in DataType:
            begins = f"| {data_type.value} |"
            rows = [line.split(" | ") for line in part.splitlines() if line.startswith(begins)]
            for kind, endpoint in served(exchange, data_type, present()).items():
                column = 2 + [one for one in KINDS if one in exchange.kinds].index(kind)
                spans = {span for row in rows if row[column].strip(" |") != "-" for span in row[1].split()}
                assert {format_bar_span(one) for one in endpoint.spans} <= spans, (exchange.name, kind)
                assert rows
    assert "| ohlc | 1m 5m 15m 30m 1h 4h 1d | the last 720 rows, live |" in page.split("\n## Kraken\n")[1]


def test_each_public_name_and_method_is_in_the_reference(made: dict[str, str]) -> None:
    page = made["reference/python.md"]
    names = [name for name in dir(dccd_core) if name[0].isupper() and name not in ("Final", "TYPE_CHECKING")]
    assert [name for name in names if f"\n## {name}\n" not in page] == []
    methods = [name for name, one in vars(Lake).items() if callable(one) and not name.startswith("_")]
    assert [name for name in methods if f"\n### Lake.{name}\n" not in page] == []
    assert "- `rest_url`: asks another server than the exchange's own: a proxy, a simulation." in page
    assert "`backfill(\n" not in page
    assert "async abackfill(" in page


def test_the_reference_is_the_same_each_time_and_is_not_kept(made: dict[str, str]) -> None:
    assert pages() == made
    assert [page for page in made if (ROOT / "docs" / page).exists()] == []
