# SPDX-License-Identifier: GPL-3.0-or-later
"""The small pictures in the table of clips, read for the rows in view only."""

from __future__ import annotations

from functools import partial

from PyQt5.QtCore import QObject

from stemline.clips import ClipRange
from stemline.errors import StemlineError
from stemline.media.pictures.frames import FrameReader
from stemline.media.pictures.picture_track import Picture
from stemline_panel.widgets.clip_table import THUMBNAIL, ClipTable
from stemline_panel.widgets.frame_view import image_of
from stemline_panel.widgets.layout import single_shot_timer
from stemline_panel.workers import Worker

_SETTLE_MS = 100


class ThumbnailController(QObject):
    """Shows a picture of each clip in view: the last key frame that is not after its first frame.

    Other rows in view cancel what is being read. Media without a readable picture are not opened again until the
    table gets other rows.
    """

    def __init__(self, table: ClipTable) -> None:
        """Connect the table."""
        super().__init__()
        self._table = table
        self._worker = Worker("thumbnails", self)
        self._serial = 0
        self._without_picture: set[str] = set()
        self._settle = single_shot_timer(self, _SETTLE_MS)
        self._settle.timeout.connect(self._read_missing)
        table.view_changed.connect(self._settle.start)
        table.model.modelReset.connect(self._forget)

    def close(self) -> bool:
        """Cancel the reading. Return True if the worker thread ended."""
        self._settle.stop()
        self._serial += 1
        return self._worker.close()

    def _forget(self) -> None:
        self._serial += 1
        self._without_picture = set()

    def _read_missing(self) -> None:
        """Read the pictures that the rows in view lack, one media file after the other."""
        self._serial += 1
        by_path: dict[str, list[ClipRange]] = {}
        for clip in self._table.clips_in_view():
            path = clip.source.path
            if path not in self._without_picture and not self._table.model.has_thumbnail(clip.clip_id):
                by_path.setdefault(path, []).append(clip)
        longest = round(2 * THUMBNAIL.width() * self._table.devicePixelRatioF())
        for path, clips in by_path.items():
            failed = partial(self._failed, self._serial, path)
            self._worker.do(partial(self._read, self._serial, path, clips, longest), lambda _: None, failed)

    def _read(self, serial: int, path: str, clips: list[ClipRange], longest: int) -> None:
        """Read the pictures of clips of one media file. In the worker. Raises MediaError, Cancelled."""

        def is_stale() -> bool:
            return serial != self._serial

        if is_stale():
            return
        with FrameReader(path, longest=longest, stop=is_stale) as reader:
            for clip in clips:
                pixels = reader.key_frame(clip.source_range.start).pixels
                self._worker.post(partial(self._show, serial, clip.clip_id, pixels))

    def _show(self, serial: int, clip_id: str, pixels: Picture) -> None:
        if serial == self._serial:
            self._table.model.set_thumbnail(clip_id, image_of(pixels), self._table.devicePixelRatioF())

    def _failed(self, serial: int, path: str, error: StemlineError) -> None:
        if serial == self._serial:
            self._without_picture.add(path)
