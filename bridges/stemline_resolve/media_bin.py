"""The bin "Stemline" of the media pool: where stem files are imported."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Sequence

from stemline_bridge import HostError

from .api import Remote
from .document import Document

NAME = "Stemline"


def import_files(document: Document, paths: Sequence[str]) -> dict[str, Remote]:
    """The media pool's clip of each file, imported where it is not there yet. Raises HostError.

    The user's own bin is open again afterwards.
    """
    pool = document.pool()
    folder = _folder(pool)
    before = pool.GetCurrentFolder()
    try:
        pool.SetCurrentFolder(folder)
        here = pool.GetCurrentFolder()
        if here is None or here.GetUniqueId() != folder.GetUniqueId():
            raise HostError(f"The bin {NAME!r} cannot be opened.", "HOST_UNSUPPORTED", "Close any dialog in Resolve.")
        held = _held(folder)
        missing = [path for path in dict.fromkeys(paths) if same_path(path) not in held]
        if missing:
            pool.ImportMedia(missing)  # what it returns is in any order, or not there: the bin says what came in
            held = _held(folder)
    finally:
        if before is not None:
            pool.SetCurrentFolder(before)
    lost = [path for path in paths if same_path(path) not in held]
    if lost:
        raise HostError(
            f"Resolve did not import {os.path.basename(lost[0])}.",  # noqa: PTH119 - a path of Resolve's, as it is
            "HOST_UNSUPPORTED",
            "See whether Resolve can reach its folder.",
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
        raise HostError(f"The bin {NAME!r} cannot be made.", "HOST_UNSUPPORTED", "Close any dialog in Resolve.")
    return made


def _held(folder: Remote) -> dict[str, Remote]:
    return {same_path(str(clip.GetClipProperty("File Path"))): clip for clip in folder.GetClipList() or []}


def same_path(path: str) -> str:
    """Equal for two spellings of one path: macOS may take an umlaut apart."""
    return unicodedata.normalize("NFC", os.path.normcase(os.path.normpath(path)))
