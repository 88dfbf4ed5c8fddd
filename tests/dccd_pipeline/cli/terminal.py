"""The command as its user has it: what is typed, and what comes back."""

from click.testing import CliRunner, Result

from dccd_pipeline.cli.main import main

CONFIG = """
store: ./lake
exchanges: {binance: {rest_url: "%s", budget: 0.5}}
collect:
  - {exchange: binance, symbols: [BTC/USDT, ETH/USDT], data_type: ohlc, span: 1h, start: 2024-01-01}
"""


BTC_HOURS = ("binance", "BTC/USDT", "--data-type", "ohlc", "--span", "1h")


STREAMS = "\nstream:\n  - {name: majors, exchange: binance, symbols: [BTC/USDT], data_types: [trades]}\n"


def dccd(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, catch_exceptions=False)


def said(result: Result) -> str:
    """Return what went to stderr before the line that names configuration and store."""
    *before, where = result.stderr.splitlines(keepends=True)
    assert where.startswith("configuration: ")
    assert "; store: " in where
    return "".join(before)


def refused(*arguments: str) -> str:
    """Return the one line that says why not."""
    result = dccd(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    return line
