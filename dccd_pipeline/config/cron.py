"""When an entry runs: intervals that cron can say exactly, and cron expressions that really fire. All UTC."""

from collections.abc import Mapping
from typing import Final

from dccd_core.domain.barspan import format_bar_span, parse_bar_span
from dccd_core.domain.errors import ConfigError
from dccd_core.domain.timespan import DAY, HOUR, MINUTE, SECOND, Us


def _step(n: int) -> str:
    return "*" if n == 1 else f"*/{n}"


CRONS: Final[Mapping[Us, str]] = {
    **{Us(n * MINUTE): f"{_step(n)} * * * *" for n in range(1, 60) if 60 % n == 0},
    **{Us(n * HOUR): f"0 {_step(n)} * * *" for n in range(1, 24) if 24 % n == 0},
    DAY: "0 0 * * *",
}
"""The intervals that a cron expression says exactly: minutes that divide an hour, hours that divide a day."""


def parse_interval(value: str | int) -> Us:
    """Read ``"5m"`` or a number of seconds, and refuse what is not in ``CRONS``.

    >>> CRONS[parse_interval("5m")]
    '*/5 * * * *'
    """
    try:
        interval = parse_bar_span(value)
    except ConfigError:
        raise ConfigError(f"{value!r} is no interval", hint="write it like 5m, 1h or 1d") from None
    if interval not in CRONS:
        below = [length for length in CRONS if length < interval]
        above = [length for length in CRONS if length > interval]
        near = " or ".join(map(format_bar_span, below[-1:] + above[:1]))
        raise ConfigError(f"cannot run every {format_bar_span(interval)}", hint=f"write {near}, or a cron")
    return interval


def parse_cron(text: str, now: Us) -> str:
    """Return ``text``, tidied, if Dagster accepts it, it means what it seems to say, and will yet fire."""
    # Dagster takes more than a second to import: only who writes a cron waits for it.
    from dccd_pipeline.dagster_compat import (  # noqa: PLC0415
        cron_string_iterator,
        has_out_of_range_cron_interval,
        is_valid_cron_string,
    )

    text = " ".join(text.split())
    if not is_valid_cron_string(text):
        hint = "write minute, hour, day, month and weekday, like '0 2 * * *'"
        raise ConfigError(f"{text!r} is no cron expression", hint=hint)
    if has_out_of_range_cron_interval(text):
        hint = "steps end at 59 minutes and 23 hours"
        raise ConfigError(f"{text!r} has a step longer than its field and would run more often", hint=hint)
    try:
        next(cron_string_iterator(now // SECOND, text, "UTC"))
    except ValueError:
        hint = "choose a day that the month has"
        raise ConfigError(f"{text!r} names a date that never comes", hint=hint) from None
    return text
