import subprocess
import sys
from pathlib import Path

import pytest

from dccd_core.domain.errors import ConfigError
from dccd_pipeline.cli.collect import chosen_entries
from dccd_pipeline.config.read import settings_of
from dccd_pipeline.config.settings import Settings

TRADES = {"exchange": "kraken", "symbols": ["BTC/USD"], "data_type": "trades", "start": "2024-01-01"}
SETTINGS = settings_of(
    {
        "collect": [
            {**TRADES, "data_type": "ohlc", "span": "1w", "derive_from": "1d", "name": "weeks"},
            {**TRADES, "data_type": "ohlc", "span": "1d", "derive_from": "1h", "name": "days"},
            {**TRADES, "data_type": "ohlc", "span": "1h", "derive_from": "trades", "name": "built"},
            TRADES,
            {
                "exchange": "binance",
                "symbols": ["BTC/USDT", "ETH/USDT"],
                "data_type": "ohlc",
                "span": "1m",
                "start": "2024-01-01",
                "name": "majors",
            },
        ]
    }
)


def chosen(*words: str) -> list[tuple[str, list[str]]]:
    return [(e.name, [str(one.symbol) for one in d]) for e, d in chosen_entries(SETTINGS, words)]


def test_entries_are_chosen_by_name_exchange_and_symbol() -> None:
    assert [name for name, _ in chosen()] == ["kraken_trades", "majors", "built", "days", "weeks"]
    assert chosen("majors") == chosen("Binance") == [("majors", ["BTC/USDT", "ETH/USDT"])]
    assert chosen("binance", "eth/usdt") == [("majors", ["ETH/USDT"])]
    assert [name for name, _ in chosen("kraken", "BTC-USD")] == ["kraken_trades", "built", "days", "weeks"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("major",), "called 'major' -> did you mean majors?"),
        (("zzz",), "configured: kraken_trades, kraken, majors, binance, built, days, weeks"),
        (("majors", "LTC/USDT"), "majors does not collect LTC/USDT -> configured: BTC/USDT, ETH/USDT"),
    ],
)
def test_what_is_not_configured_is_refused_with_what_is(words: tuple[str, ...], said: str) -> None:
    with pytest.raises(ConfigError) as e:
        chosen(*words)
    assert said in str(e.value)
    with pytest.raises(ConfigError, match="nothing is collected"):
        chosen_entries(Settings(), ())


def test_the_process_that_starts_others_holds_no_dagster(own_home: Path) -> None:
    """157d310: True, which took two seconds of CPU and 110 MB for as long as exchanges are collected."""
    (own_home / "dccd.yaml").write_text(
        "collect:\n"
        "  - {exchange: binance, symbols: [BTC/USDT], data_type: trades, start: 2024-01-01}\n"
        "  - {exchange: kraken, symbols: [BTC/USD], data_type: trades, start: 2024-01-01}\n"
    )
    package = own_home / "dccd_pipeline"  # what is started instead of ticks
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(
        "import os, sys; os.write(1, f'{\" \".join(sys.argv[1:])}\\n'.encode())"
    )
    code = (
        "import sys; from dccd_pipeline.cli.lazy import main\n"
        "try: main(['collect'])\n"
        "except SystemExit as e: print(e.code, 'dagster' in sys.modules)\n"
    )
    command = [sys.executable, "-P", "-c", code]
    done = subprocess.run(command, cwd=own_home, capture_output=True, text=True, check=True)
    *started, ended = done.stdout.splitlines()
    assert (sorted(started), ended) == (["collect binance", "collect kraken"], "0 False"), done.stderr
