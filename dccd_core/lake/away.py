"""A partition's file that goes elsewhere, and comes back: at no moment there is neither file nor record."""

from collections.abc import Callable
from typing import BinaryIO

from dccd_core.lake.layout import HELD, QUARANTINE, WITHDRAWN, beside
from dccd_core.lake.partition.held import Held
from dccd_core.lake.store.folder import Store, Stored, writing


def take(store: Store, path: str, over: Stored, held: Held) -> bool:
    """Write the record, then remove the file; False, and nothing done, when it is no longer ``over``."""
    with writing(store.url(path)), store.locked(path):
        return store.hold(path, over, beside(path, HELD), held.to_json())


def put_back(store: Store, path: str, fill: Callable[[BinaryIO], object]) -> None:
    """Write the file, then remove its record; a file that somebody else was faster with stays.

    The record that goes is the one that was there in the beginning: another one is of a file that was taken
    away since.
    """
    record_path = beside(path, HELD)
    with writing(store.url(path)), store.open(record_path) as record, store.draft(path) as file:
        fill(file)
        with store.locked(path), store.open(path) as stored:
            if stored is None:
                store.swap(file, path, None)
            if record:
                store.remove(record_path, record)


def remove(store: Store, path: str) -> None:
    """Remove all of a partition."""
    with writing(store.url(path)), store.locked(path):
        for name in (HELD, QUARANTINE, WITHDRAWN):
            store.remove(beside(path, name))
        store.remove(path)
