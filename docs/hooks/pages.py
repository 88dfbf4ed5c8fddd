"""The pages of the reference: made from code, never written."""

from docs.hooks.api import api_page
from docs.hooks.columns import columns_page
from docs.hooks.commands import commands_page
from docs.hooks.keys import keys_page
from docs.hooks.venues import venues_page


def pages() -> dict[str, str]:
    """Return the pages by their place below ``docs``."""
    return {
        "reference/commands.md": commands_page(),
        "reference/configuration.md": keys_page(),
        "reference/exchanges.md": venues_page(),
        "reference/tables.md": columns_page(),
        "reference/python.md": api_page(),
    }
