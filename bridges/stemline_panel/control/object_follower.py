# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds and follows marked objects with the chosen tracker, on a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from fractions import Fraction
from functools import partial

from PyQt5.QtCore import QObject, pyqtSignal

from stemline.clips import ClipRange
from stemline.errors import StemlineError
from stemline.media.pictures.following import FORWARD, MaskAt, follow
from stemline.media.pictures.frames import Frame, FrameReader
from stemline.media.pictures.trackers import create_tracker
from stemline.media.pictures.tracking import TRACKED_PIXELS, Marks, Mask, Tracker
from stemline_panel.workers import Worker


class ObjectFollower(QObject):
    """Runs a tracker.

    `followed` is emitted with each `MaskAt`, its number and the share of the range that is done, `ended` with how many
    cuts ended it, and `failed` with the `StemlineError`.
    """

    followed = pyqtSignal(object, int, float)
    ended = pyqtSignal(int)
    failed = pyqtSignal(object)

    def __init__(self, tracker: Callable[[], str]) -> None:
        """Follow with the tracker whose id `tracker` returns."""
        super().__init__()
        self._chosen = tracker
        self._worker = Worker("follow", self)
        self._loaded: tuple[str, Tracker] | None = None
        """Only the worker uses it: the weights of some trackers take seconds to load."""
        self._stop = threading.Event()
        self.began_s = 0.0

    def close(self) -> bool:
        """Stop. Return True if the thread ended."""
        self._stop.set()
        return self._worker.close()

    def stop(self) -> None:
        """Stop following."""
        self._stop.set()

    def find(
        self, frame: Frame, marks: Marks, then: Callable[[Mask], None], failed: Callable[[StemlineError], None]
    ) -> None:
        """Call `then` with the object that marks show in a frame, or `failed`."""
        name = self._chosen()
        self._worker.do(lambda: self._tracker(name).start(frame.pixels, marks), then, failed)

    def follow(self, clip: ClipRange, start: tuple[Fraction, Marks], directions: Iterable[int]) -> None:
        """Follow the marked object up to a cut or the ends of the clip."""
        self._stop.set()
        self._stop = stop = threading.Event()
        name, begin, played = self._chosen(), start[0], clip.source_range
        ends = {direction: played.end if direction == FORWARD else played.start for direction in directions}
        whole = float(sum(abs(end - begin) for end in ends.values())) or 1.0
        self.began_s = time.monotonic()

        def add(at: MaskAt, number: int, share: float) -> None:
            if not stop.is_set():
                self.followed.emit(at, number, share)

        def work() -> int:
            tracker, cuts, done = self._tracker(name), 0, 0.0
            for direction, end in ends.items():
                with FrameReader(clip.source.path, longest=TRACKED_PIXELS, stop=stop.is_set) as reader:
                    for number, at in enumerate(follow(reader, tracker, start, end, direction)):
                        cuts += at.is_cut
                        share = (done + abs(float(at.time - begin))) / whole
                        self._worker.post(partial(add, at, number, share))
                done += abs(float(end - begin))
            return cuts

        def then(cuts: int) -> None:
            if stop is self._stop:
                self.ended.emit(cuts)

        def failed(error: StemlineError) -> None:
            if stop is self._stop:
                self.failed.emit(error)

        self._worker.do(work, then, failed)

    def _tracker(self, name: str) -> Tracker:
        if self._loaded is None or self._loaded[0] != name:
            self._loaded = name, create_tracker(name)
        return self._loaded[1]
