# SPDX-License-Identifier: GPL-3.0-or-later
"""Documents: media files, an edit, or the timeline of a host program. All calls come from one thread."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from stemline.hosts.registry import host_list
from stemline_panel.documents.base import Document
from stemline_panel.documents.edit import EditDocument
from stemline_panel.documents.host import HostDocument
from stemline_panel.documents.media import MediaDocument, media_in

__all__ = ["Document", "EditDocument", "HostDocument", "MediaDocument", "open_document"]


def open_document(paths: Sequence[Path], folder: Path | None = None) -> Document:
    """Open an edit, by the suffixes that hosts announce, and any other files as media. Raises StemlineError.

    `folder` is the folder of results unless it is the default one. Of a dropped folder, the media in it are
    opened. Hosts also announce project files that they cannot read, so that the error says how to export an edit.
    """
    edit = next((path for path in paths if host_list().is_edit(path)), None)
    if edit is not None:
        return EditDocument(edit, folder)
    if len(paths) == 1 and not paths[0].is_dir():
        return MediaDocument(paths)
    return MediaDocument([file for path in paths for file in (media_in(path) if path.is_dir() else [path])])
