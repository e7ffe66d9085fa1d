"""Which file a run may write its edit to: its own of the same recipe again, never one that somebody changed since."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import IO, Any, Self

from stemline.locks import file_lock, try_lock
from stemline.workflow.locks import lock_of
from stemline.workflow.record import write_json

_LEDGER = ".stemline.json"


class OutputLedger:
    """Remembers, in the output folder, what each written edit was made from and what it looked like."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / _LEDGER
        self._folder = folder
        self._kept: dict[Path, IO[bytes]] = {}

    def choose(self, base: str, suffix: str, recipe: str, *, overwrite: bool) -> Path:
        """`<base><suffix>`, or with -2, -3 ... before the suffix where a file stands that is not this recipe's own,
        untouched, or where another run is to write. It is kept for this run from here on.
        """
        known = self._read()
        number = 1
        while True:
            name = f"{base}{suffix}" if number == 1 else f"{base}-{number}{suffix}"
            path = self._folder / name
            entry = known.get(name)
            untouched = entry == {"recipe": recipe, "sha256": _sha256(path)}
            if (overwrite or not path.exists() or untouched) and self._keep(path):
                return path
            number += 1

    def note(self, path: Path, recipe: str) -> None:
        """What was just written."""
        with file_lock(lock_of(self._path)):
            write_json(self._path, {**self._read(), path.name: {"recipe": recipe, "sha256": _sha256(path)}})

    def _keep(self, path: Path) -> bool:
        """Whether no other run has kept this path; it lasts as long as the process or this ledger."""
        if path not in self._kept:
            file = lock_of(path).open("ab")
            if not try_lock(file):
                file.close()
                return False
            self._kept[path] = file
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Others may have the names again."""
        for file in self._kept.values():
            file.close()
        self._kept.clear()

    def _read(self) -> dict[str, Any]:
        try:
            known = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""
