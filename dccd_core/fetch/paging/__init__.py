"""Ways of paging: each is one file that ends in one ``PagingStyle``, and one line in ``STYLES``.

``style_of(endpoint)`` tells what an exchange file's description means. Nobody else asks what kind it is.
"""

from typing import Final

from dccd_core.adapter.contract import Endpoint, Paging
from dccd_core.fetch.paging import cursor, id_windows, recent, snapshot, time_windows
from dccd_core.fetch.paging.style import PagingStyle

STYLES: Final[dict[type[Paging], PagingStyle]] = {
    style.describes: style
    for style in (
        time_windows.STYLE,
        id_windows.STYLE,
        cursor.STYLE,
        recent.STYLE,
        snapshot.STYLE,
    )
}


def style_of(endpoint: Endpoint) -> PagingStyle:
    return STYLES[type(endpoint.paging)]
