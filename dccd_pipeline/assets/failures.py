"""What a run says of the datasets that failed.

Belongs here: the failure of a run, and what helps. Does not: telling people (runs/failures.py).
"""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Final

import dagster as dg

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import DccdError, UnknownSymbol
from dccd_pipeline.config.collect import Entry

Failed = tuple[Dataset, str, DccdError]
"""A dataset, which of its partitions, and what went wrong."""

_SHOWN: Final = 50


def failure_of(errors: Sequence[Failed], among: int) -> dg.Failure:
    """Return the failure of a run over so many datasets; of very many errors the first are named."""
    lines = [f"{dataset} {key}: {error}" for dataset, key, error in errors[:_SHOWN]]
    if len(errors) > _SHOWN:
        lines.append(f"... and {len(errors) - _SHOWN} more")
    return dg.Failure(
        "\n".join([f"{len({one for one, _, _ in errors})} of {among} datasets failed", *lines]),
        metadata={str(dataset): str(error) for dataset, _, error in errors[:_SHOWN]},
        allow_retries=any(error.retryable for _, _, error in errors),
    )


def hint_for(entry: Entry, dataset: Dataset, error: UnknownSymbol, *, stored: bool) -> str:
    """Say what to do about a symbol that the exchange does not know, or does not know any more."""
    if renamed := entry.life_of(dataset.symbol).hint:
        return renamed
    if not stored:
        return error.hint
    settings = f"exchanges.{entry.exchange}.symbols.{dataset.symbol}"
    return f"it was delisted or renamed: set {settings}: {{delisted: its last day}}, or remove it"


@contextmanager
def plain_failures() -> Generator[None]:
    """Let our own errors say their line; any other is a defect, and asking again would not mend it."""
    try:
        yield
    except dg.Failure:
        raise
    except DccdError as e:
        raise dg.Failure(str(e), allow_retries=e.retryable) from e
    except Exception as e:
        said = f"a defect of dccd, please report it: {type(e).__name__}: {e}"
        raise dg.Failure(said, allow_retries=False) from e
