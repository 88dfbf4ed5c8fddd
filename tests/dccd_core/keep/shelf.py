"""A remote in memory, which can be away, lose, shorten or damage what it holds."""

import json
from dataclasses import dataclass, field
from hashlib import sha256
from typing import BinaryIO

from dccd_core.domain.errors import LakeError
from dccd_core.keep.remotes.remote import Found
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.layout import data_path
from dccd_core.lake.store.identity import FORMAT, IDENTITY


@dataclass
class ShelfRemote:
    """``asked``: the paths of which files were fetched or hashed, in order."""

    name: str = "backup"
    files: dict[str, bytes] = field(default_factory=dict[str, bytes])
    away: bool = False
    asked: list[str] = field(default_factory=list[str])

    def copy_all(self, lake: LakeStore) -> None:
        """Take a copy of all that is in a lake, as a sync does."""
        self.claim(lake)
        for dataset, states in lake.inventory().items():
            for key in states:
                with lake.opened(dataset, key) as stored:
                    if stored:
                        self.files[data_path(dataset, key)] = stored.file.read()

    def claim(self, lake: LakeStore) -> None:
        told = {"format": FORMAT, "id": f"of {self.name}", "copy_of": lake.identity()}
        self.files[IDENTITY] = json.dumps(told).encode()

    def url(self, path: str) -> str:
        return f"shelf://{self.name}/{path}"

    def find(self, folder: str) -> dict[str, Found]:
        self._answer()
        return {path: _found(body) for path, body in self.files.items() if path.startswith(f"{folder}/")}

    def found(self, path: str) -> Found | None:
        self._answer()
        return _found(self.files[path]) if path in self.files else None

    def sha256(self, path: str) -> str | None:
        self._answer()
        self.asked.append(path)
        return sha256(self.files[path]).hexdigest() if path in self.files else None

    def tail(self, path: str, size: int) -> tuple[bytes, int] | None:
        self._answer()
        body = self.files.get(path)
        return None if body is None else (body[-size:], len(body))

    def read(self, path: str, into: BinaryIO) -> None:
        self._answer()
        self.asked.append(path)
        into.write(self.files[path])

    def write(self, path: str, file: BinaryIO, over: Found | None) -> bool:
        self._answer()
        if self.found(path) != over:
            return False
        file.seek(0)
        self.files[path] = file.read()
        return True

    def _answer(self) -> None:
        if self.away:
            raise LakeError(f"{self.name} does not answer", hint="see to it")


def _found(body: bytes) -> Found:
    return Found(len(body), sha256(body).hexdigest())
