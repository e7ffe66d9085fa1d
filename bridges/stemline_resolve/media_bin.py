"""The bin "Stemline" of the media pool, into which stem files are imported."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Sequence

from stemline_bridge import HostError

from .api import Remote
from .document import OpenTimeline

NAME = "Stemline"


def import_files(document: OpenTimeline, paths: Sequence[str]) -> dict[str, Remote]:
    """Return the media pool's clip of each file, importing the files that are not there yet.

    The user's own bin is open again afterwards. Raises HostError.
    """
    pool = document.pool()
    folder = _folder(pool)
    before = pool.GetCurrentFolder()
    try:
        pool.SetCurrentFolder(folder)
        here = pool.GetCurrentFolder()
        if here is None or here.GetUniqueId() != folder.GetUniqueId():
            raise HostError(f"The bin {NAME!r} cannot be opened.", "HOST_FAILED", "Close any dialog in Resolve.")
        held = _held(folder)
        missing = [path for path in dict.fromkeys(paths) if same_path(path) not in held]
        if missing:
            pool.ImportMedia(missing)  # its return value is unordered or empty: the bin is asked instead
            held = _held(folder)
    finally:
        if before is not None:
            pool.SetCurrentFolder(before)
    lost = [path for path in paths if same_path(path) not in held]
    if lost:
        raise HostError(
            f"Resolve did not import {os.path.basename(lost[0])}.",  # noqa: PTH119 - it may be a path of another system
            "HOST_FAILED",
            "Check that Resolve can reach its folder.",
        )
    return {path: held[same_path(path)] for path in paths}


def _folder(pool: Remote) -> Remote:
    root = pool.GetRootFolder()
    folders: list[Remote] = root.GetSubFolderList() or []
    for folder in folders:
        if folder.GetName() == NAME:
            return folder
    made: Remote | None = pool.AddSubFolder(root, NAME)
    if made is None:
        raise HostError(f"The bin {NAME!r} cannot be created.", "HOST_FAILED", "Close any dialog in Resolve.")
    return made


def _held(folder: Remote) -> dict[str, Remote]:
    return {same_path(str(clip.GetClipProperty("File Path"))): clip for clip in folder.GetClipList() or []}


def same_path(path: str) -> str:
    """Return a key that is equal for two spellings of one path. macOS may decompose letters."""
    return unicodedata.normalize("NFC", os.path.normcase(os.path.normpath(path)))
