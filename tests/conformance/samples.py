"""Payloads of the real venues, for the tests that read them.

They are skipped elsewhere: the payloads are not ours to ship, so their folder exists only beside the authors'
checkout.
"""

from pathlib import Path

import pytest

SAMPLES = Path(__file__).parents[3] / "shared" / "samples"
needs_samples = pytest.mark.skipif(not SAMPLES.is_dir(), reason="no ../shared/samples here")


def sample(file: str) -> bytes:
    """Return the payload of a file such as ``binance/rest_spot_klines.json``."""
    return (SAMPLES / file).read_bytes()
