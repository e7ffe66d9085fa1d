"""Sets of files that an earlier run finished, known by their sidecars."""

from __future__ import annotations

import glob
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stemline.client.process import is_alive
from stemline.errors import Code, OutputError
from stemline.workflow.record import sidecar_path, write_json
from stemline.workflow.settings import Null

_PART_OWNER = re.compile(r"\.(\d+)-[0-9a-f]+\.part$")
_WRITING = {"state": "writing"}


@dataclass(frozen=True, slots=True)
class FinishedFile:
    """A stem file that stands on disk as its sidecar says. `record` is the whole sidecar."""

    path: Path
    record: Mapping[str, Any]


def find_finished(paths: Mapping[str, Path], works: Mapping[str, str]) -> dict[str, FinishedFile] | None:
    """The files of a whole set if every one is there, of the right work, and of the size it was written with."""
    found: dict[str, FinishedFile] = {}
    for name, path in paths.items():
        record = _read(sidecar_path(path))
        if record.get("work") != works[name] or "file" not in record:
            return None
        audio = path.with_name(str(record["file"]["name"]))
        try:
            if audio.stat().st_size != record["file"]["bytes"]:
                return None
        except OSError:
            return None
        found[name] = FinishedFile(audio, record)
    return found


def null_of(files: Mapping[str, FinishedFile]) -> Null:
    """The null that was measured when the set was written."""
    null = next(iter(files.values())).record["null"]
    return Null(float(null["peak"]), float(null["dbfs"]))


def check_free(paths: Mapping[str, Path], works: Mapping[str, str]) -> None:
    """Raises OutputError (OUTPUT_EXISTS) where a file stands that is not this work's own."""
    for name, path in paths.items():
        if _read(sidecar_path(path)).get("work") == works[name]:
            continue
        for audio in (path.with_name(path.name + suffix) for suffix in (".wav", ".flac")):
            if audio.exists():
                raise OutputError(
                    f"{audio} is there already.",
                    code=Code.OUTPUT_EXISTS,
                    advice="Give --overwrite to replace it, or another folder with -o.",
                )


def claim(paths: Mapping[str, Path], works: Mapping[str, str]) -> None:
    """Marks the places of a set as being written by this work, and sweeps away what a killed run left there.

    After a kill the marks say that what stands there is our own unfinished work and may be written anew.
    """
    for name, path in paths.items():
        _sweep(path)
        write_json(sidecar_path(path), {"work": works[name], **_WRITING})


def _sweep(path: Path) -> None:
    """Removes what a killed run left of this file under its temporary name."""
    for part in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        owner = _PART_OWNER.search(part.name)
        if owner and not is_alive(int(owner[1])):
            part.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}
