"""What ``Lake`` brings back when it is read: from the remotes that a configuration names for its store."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dccd_core.api.configured import configured
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import LakeError
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.partition.held import Bring

if TYPE_CHECKING:
    from dccd_core.lake.store.s3 import MakeClient


def bringing_back(lake: LakeStore, s3: "MakeClient") -> Bring:
    """Return what brings back what a lake needs; which remotes there are is looked up when it does."""

    def bring(dataset: Dataset, keys: Sequence[str]) -> None:
        from dccd_core.keep.restore import restorer  # noqa: PLC0415 -- who reads what is here needs none

        known = configured()
        if _place(known.store) != _place(lake.url):
            raise LakeError(
                f"{dataset}: {', '.join(keys)}: not here, and no remote of {lake.url} is known: the "
                f"configuration is of {known.store}",
                hint="stand where its dccd.yaml is, or set $DCCD_CONFIG",
            )
        restorer(lake, known.remotes(), s3, known.keep_free())(dataset, keys)

    return bring


def _place(store: str) -> str:
    """Return a store's address so that equal ones are of one store."""
    return store.partition("?")[0].rstrip("/") if "://" in store else str(Path(store).resolve())
