# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the frames of the shown clip: the nearest key frame at once, then the exact one, soon from a proxy."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path

from PyQt5.QtCore import QObject, pyqtSignal

from stemline.clips import ClipRange
from stemline.errors import Cancelled, StemlineError
from stemline.media.pictures.frames import Frame, FrameReader, has_picture
from stemline.media.pictures.proxy import find_segment, make_segment, open_segment, segment_at
from stemline.media.pictures.tracking import TRACKED_PIXELS
from stemline_panel.workers import Worker

_CACHED_FRAMES = 64
_OPEN_SEGMENTS = 3
_MAX_SEGMENTS = 60  # 20 minutes: about 250 MB


class FrameLoader(QObject):
    """Opens the media of clips and gives frames at times of it.

    Where key frames are far apart, proxy segments of the clip are made in the background, those near the wanted frame
    first, and frames are read from them.

    `opened` is emitted for a clip with a picture, `shown` with each `Frame`, and `preparing` with the share of the
    proxies that is made; 1 when they are complete.
    """

    opened = pyqtSignal()
    shown = pyqtSignal(object)
    preparing = pyqtSignal(float)

    def __init__(self) -> None:
        """Open nothing."""
        super().__init__()
        self._worker, self._maker = Worker("picture", self), Worker("proxy", self)
        self._clip: ClipRange | None = None
        self._serial = self._wanted = 0
        self._at = Fraction(0)
        self._is_stale: Callable[[], bool] | None = None
        self._reader: FrameReader | None = None
        """The open film. Only the worker uses it, the segments and the cache."""
        self._segments: OrderedDict[int, FrameReader] = OrderedDict()
        self._cache: OrderedDict[int, Frame] = OrderedDict()
        self._files: dict[int, Path] = {}

    def open(self, clip: ClipRange | None) -> None:
        """Open the media of a clip, in place of the one before."""
        self._clip = clip
        self._serial += 1
        self._files = {}
        if clip is None:
            return
        serial = self._serial

        def then(is_shown: bool) -> None:
            if serial == self._serial and is_shown:
                self.opened.emit()
                self._plan_proxies(clip)

        self._worker.do(lambda: self._open(clip), then, lambda _: None)

    def close(self) -> bool:
        """Stop everything. Return True if the threads ended."""
        self._clip = None
        self._serial += 1
        self._worker.do(self._close_readers, lambda _: None, lambda _: None)
        ended = [worker.close() for worker in (self._worker, self._maker)]
        return all(ended)

    def seek(self, at: Fraction) -> None:
        """Emit the frame at a time of the media, and before it the nearest key frame where that is quicker."""
        if self._clip is None:
            return
        self._at = at
        self._wanted += 1
        wanted, serial = self._wanted, self._serial

        def is_stale() -> bool:
            return wanted != self._wanted or serial != self._serial

        def show(frame: Frame | None) -> None:
            if frame is not None and not is_stale():
                self.shown.emit(frame)

        def work() -> Frame | None:
            return None if is_stale() else self._read(at, lambda key: self._worker.post(lambda: show(key)), is_stale)

        self._worker.do(work, show, lambda _: None)

    # -- in the worker of frames ---------------------------------------------------------------------------------------

    def _open(self, clip: ClipRange) -> bool:
        self._close_readers()
        if not has_picture(clip.source.path):
            return False
        self._reader = FrameReader(clip.source.path, longest=TRACKED_PIXELS, stop=self._is_interrupted)
        return True

    def _close_readers(self) -> None:
        for reader in (self._reader, *self._segments.values()):
            if reader is not None:
                reader.close()
        self._reader, self._segments, self._cache = None, OrderedDict(), OrderedDict()

    def _is_interrupted(self) -> bool:
        return self._is_stale is not None and self._is_stale()

    def _read(self, at: Fraction, show_key: Callable[[Frame], None], is_stale: Callable[[], bool]) -> Frame | None:
        """Return the frame at a time of the media, from the cache, a proxy or the film."""
        film = self._reader
        if film is None:
            return None
        number = int(at * (film.frame_rate or 1))
        held = self._cache.get(number)
        if held is not None:
            return held
        segment = self._segment(segment_at(at))
        if segment is None and not film.is_near(at):
            show_key(film.key_frame(at))
        self._is_stale = is_stale
        try:
            frame = (segment or film).at(at)
        except Cancelled:
            return None
        finally:
            self._is_stale = None
        self._cache[number] = frame
        while len(self._cache) > _CACHED_FRAMES:
            self._cache.popitem(last=False)
        return frame

    def _segment(self, number: int) -> FrameReader | None:
        """Return an open segment, if it was made."""
        if number not in self._segments and number in self._files:
            try:
                self._segments[number] = open_segment(self._files[number], stop=self._is_interrupted)
            except StemlineError:  # deleted since: the film has the frames, too
                return None
            if len(self._segments) > _OPEN_SEGMENTS:
                self._segments.popitem(last=False)[1].close()
        return self._segments.get(number)

    # -- proxies -------------------------------------------------------------------------------------------------------

    def _plan_proxies(self, clip: ClipRange) -> None:
        """Find whether the clip needs proxies and which of them exist, then make the others."""
        serial = self._serial
        played = clip.source_range
        numbers = range(segment_at(played.start), segment_at(max(played.start, played.end)) + 1)

        def work() -> dict[int, Path | None]:
            with FrameReader(clip.source.path, longest=TRACKED_PIXELS) as reader:
                if not reader.has_distant_keys(max(Fraction(0), played.start)):
                    return {}
            return {number: find_segment(clip.source.path, number) for number in numbers[:_MAX_SEGMENTS]}

        def then(found: dict[int, Path | None]) -> None:
            if serial == self._serial:
                self._files = {number: path for number, path in found.items() if path is not None}
                self._make_next(clip, list(found))

        self._maker.do(work, then, lambda _: None)

    def _make_next(self, clip: ClipRange, numbers: list[int]) -> None:
        """Make the missing segment that is nearest to the wanted frame, then the next one."""
        missing = [number for number in numbers if number not in self._files]
        if not missing:
            if numbers:
                self.preparing.emit(1.0)
            return
        here, serial = segment_at(self._at), self._serial
        nearest = min(missing, key=lambda number: (abs(number - here), number))
        made = len(numbers) - len(missing)

        def show(share: float) -> None:
            if serial == self._serial:
                self.preparing.emit((made + share) / len(numbers))

        def work() -> Path:
            return make_segment(
                clip.source.path,
                nearest,
                stop=lambda: serial != self._serial,
                progress=lambda share: self._maker.post(partial(show, share)),
            )

        def then(path: Path) -> None:
            if serial == self._serial:
                self._files[nearest] = path
                self._make_next(clip, numbers)

        self._maker.do(work, then, lambda _: None)  # without proxies frames come from the film
