# SPDX-License-Identifier: GPL-3.0-or-later
"""Fills the filmstrip with key frames of the shown clip."""

from __future__ import annotations

from fractions import Fraction
from functools import partial

from PyQt5.QtCore import QObject

from stemline.clips import ClipRange
from stemline.media.pictures.frames import FrameReader
from stemline.media.pictures.picture_track import Picture
from stemline_panel.widgets.frame_view import FrameStrip
from stemline_panel.widgets.layout import single_shot_timer
from stemline_panel.widgets.wave_view import WaveView
from stemline_panel.workers import Worker

_FRAME_WIDTH = 84
_PIXELS = 96
_SETTLE_MS = 250


class FilmstripController(QObject):
    """Reads the frames for the range that the waveform shows, as soon as that range has settled."""

    def __init__(self, strip: FrameStrip, wave: WaveView) -> None:
        """Follow the range of a waveform."""
        super().__init__()
        self._strip, self._wave = strip, wave
        self._worker = Worker("filmstrip", self)
        self._clip: ClipRange | None = None
        self._serial = 0
        self._settle = single_shot_timer(self, _SETTLE_MS)
        self._settle.timeout.connect(self._fill)
        wave.waveform_wanted.connect(lambda *_: self._settle.start())

    def show_clip(self, clip: ClipRange | None) -> None:
        """Show the frames of another clip, or none."""
        self._clip = clip
        self._serial += 1
        if clip is not None:
            self._settle.start()

    def close(self) -> bool:
        """Stop reading. Return True if the thread ended."""
        self._settle.stop()
        self._clip = None
        self._serial += 1
        return self._worker.close()

    def _fill(self) -> None:
        clip = self._clip
        if clip is None:
            return
        shown = self._wave.shown
        self._strip.show_range(shown)
        self._serial += 1
        serial, count = self._serial, max(1, self._strip.width() // _FRAME_WIDTH)
        longest = round(_PIXELS * self._strip.devicePixelRatioF())
        times = [shown.start + shown.duration * number / count for number in range(count)]
        offset = clip.source_range.start - clip.record_range.start

        def work() -> None:
            with FrameReader(clip.source.path, longest=longest) as reader:
                for time in times:
                    if serial != self._serial:
                        return
                    pixels = reader.key_frame(time + offset).pixels
                    self._worker.post(partial(self._add, serial, time, pixels))

        self._worker.do(work, lambda _: None, lambda _: None)

    def _add(self, serial: int, time: Fraction, pixels: Picture) -> None:
        if serial == self._serial:
            self._strip.add_frame(time, pixels)
