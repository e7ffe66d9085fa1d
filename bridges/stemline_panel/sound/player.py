# SPDX-License-Identifier: GPL-3.0-or-later
"""Plays one of several layers of a clip and switches between them at the same playhead, without a gap or a click."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from stemline.clips import SampleRange
from stemline.errors import StemlineError
from stemline_panel.model.request import MIX
from stemline_panel.sound.layers import Layer, LayerReader
from stemline_panel.sound.sink import AudioSink, NoDeviceError

_CHUNK_SAMPLES = 2048
_AHEAD_CHUNKS = 12
_FADE_SAMPLES = 256

Stereo = npt.NDArray[np.float32]


@dataclass(slots=True)
class _Chunk:
    """All layers over a stretch of the clip; `used` samples of it were played."""

    start: int
    sounds: dict[str, Stereo]
    used: int = 0

    @property
    def length(self) -> int:
        return next(iter(self.sounds.values())).shape[1] if self.sounds else 0


@dataclass(slots=True)
class _Order:
    """What the feeder is to do. `serial` grows with every change, so that stale chunks are known."""

    layers: tuple[Layer, ...] = ()
    position: int = 0
    range: SampleRange = field(default_factory=lambda: SampleRange(0, 0))
    loop: bool = False
    serial: int = 0


class Player:
    """Reading is streamed: half a second ahead of the playhead, from a thread of its own, which also opens and closes
    the device: that can layer long.

    Positions are samples from the clip's first. `problem` says why nothing is heard; it is empty when all is well.
    """

    def __init__(self, sink: AudioSink) -> None:
        self._sink = sink
        self._wake = threading.Condition()
        self._order = _Order()
        self._chunks: deque[_Chunk] = deque()
        self._gains: dict[str, float] = {}
        self._choice = MIX
        self._heard: tuple[str, float] = (MIX, 1.0)
        self._rate = 48000
        self._open_rate = 0
        """The rate that the device is open at, 0 while it is not; the feeder's own."""
        self._playing = self._at_end = self._closed = False
        self.problem = ""
        self._thread = threading.Thread(target=self._feed, name="stemline-panel-player", daemon=True)
        self._thread.start()

    # -- what to play --------------------------------------------------------------------------------------------------

    def load(self, layers: Sequence[Layer], sample_rate: int, length: int) -> None:
        """Another clip: stops, and stands at its beginning."""
        self.pause()
        with self._wake:
            self._rate, self._choice, self._gains = sample_rate, MIX, {}
            self._renew(layers=tuple(layers), position=0, range=SampleRange(0, length), loop=False)

    def offer(self, layers: Sequence[Layer], gains: Mapping[str, float]) -> None:
        """Other layers of the same clip; the playhead stays, and goes on if it moves."""
        with self._wake:
            self._gains = dict(gains)
            if self._choice not in {layer.name for layer in layers}:
                self._choice = MIX
            self._renew(layers=tuple(layers))

    def set_gains(self, gains: Mapping[str, float]) -> None:
        with self._wake:
            self._gains = dict(gains)

    def choose(self, name: str) -> None:
        """Switches to a layer at once. A name that is not offered changes nothing."""
        with self._wake:
            if any(layer.name == name for layer in self._order.layers):
                self._choice = name

    @property
    def choice(self) -> str:
        return self._choice

    @property
    def layers(self) -> tuple[str, ...]:
        return tuple(layer.name for layer in self._order.layers)

    # -- transport -----------------------------------------------------------------------------------------------------

    @property
    def playing(self) -> bool:
        return self._playing

    @property
    def position(self) -> int:
        """The sample that is heard now."""
        with self._wake:
            ahead = self._chunks[0].start + self._chunks[0].used if self._chunks else self._order.position
            late = round(self._sink.latency_s * self._rate) if self._playing else 0
            return max(self._order.range.start_sample if self._order.loop else 0, ahead - late)

    def play(self) -> None:
        """Where there is nothing to play on, it ends soon, with `problem` set."""
        if self._playing:
            return
        with self._wake:
            if self._at_end or self._order.position >= self._order.range.end_sample:
                self._renew(position=self._order.range.start_sample)
            self.problem = ""
            self._playing = True
            self._wake.notify_all()

    def pause(self) -> None:
        with self._wake:
            if self._playing:
                position = self.position
                self._playing = False
                self.seek(position)

    def stop(self) -> None:
        """At its end: it stands behind the last sample, which the device has still to play."""
        with self._wake:
            self._playing = False
            self.seek(self._order.position)

    def seek(self, position: int) -> None:
        with self._wake:
            self._renew(position=max(0, position))

    def play_range(self, part: SampleRange, *, loop: bool) -> None:
        """Plays a part from its beginning, once or over and over."""
        self.pause()
        with self._wake:
            self._renew(position=part.start_sample, range=part, loop=loop)
        self.play()

    def whole(self, length: int) -> None:
        """No part any more: plays on to the clip's end."""
        with self._wake:
            self._renew(range=SampleRange(0, length), loop=False)

    def loop(self, part: SampleRange) -> None:
        """Plays on in a part, over and over; from its beginning where it stands outside."""
        with self._wake:
            self._renew(range=part, loop=True)
            if not part.start_sample <= self._order.position < part.end_sample:
                self._renew(position=part.start_sample)

    def finished(self) -> bool:
        """Whether it has run to the end; the window then stops it."""
        with self._wake:
            return self._playing and self._at_end and not self._chunks

    def close(self) -> None:
        self.pause()
        with self._wake:
            self._closed = True
            self._wake.notify_all()
        self._thread.join(2.0)

    def _renew(
        self,
        *,
        layers: tuple[Layer, ...] | None = None,
        position: int | None = None,
        range: SampleRange | None = None,
        loop: bool | None = None,
    ) -> None:
        """A new order. What was read ahead is of the old one."""
        old = self._order
        if position is None and self._chunks:
            position = self._chunks[0].start + self._chunks[0].used
        self._order = _Order(
            old.layers if layers is None else layers,
            old.position if position is None else position,
            old.range if range is None else range,
            old.loop if loop is None else loop,
            old.serial + 1,
        )
        self._chunks.clear()
        self._at_end = False
        self._wake.notify_all()

    # -- the device's thread -------------------------------------------------------------------------------------------

    def _pull(self, frames: int) -> Stereo:
        out = np.zeros((frames, 2), np.float32)
        with self._wake:
            wanted = (self._choice, self._gains.get(self._choice, 1.0))
            filled = 0
            while filled < frames and self._chunks and self._playing:
                chunk = self._chunks[0]
                count = min(frames - filled, chunk.length - chunk.used)
                out[filled : filled + count] = self._mixed(chunk, count, wanted).T
                chunk.used += count
                filled += count
                if chunk.used >= chunk.length:
                    self._chunks.popleft()
                    self._order.position = chunk.start + chunk.length
            self._wake.notify_all()
        return out

    def _mixed(self, chunk: _Chunk, count: int, wanted: tuple[str, float]) -> Stereo:
        """The chosen layer, faded over from what was heard before."""
        part = slice(chunk.used, chunk.used + count)
        now = chunk.sounds.get(wanted[0])
        new = now[:, part] * np.float32(wanted[1]) if now is not None else np.zeros((2, count), np.float32)
        if wanted == self._heard:
            return new
        before = chunk.sounds.get(self._heard[0])
        old = before[:, part] * np.float32(self._heard[1]) if before is not None else np.zeros_like(new)
        fade = np.clip(np.arange(count, dtype=np.float32) / min(count, _FADE_SAMPLES), 0, 1)
        self._heard = wanted
        return np.asarray(old + (new - old) * fade, np.float32)

    # -- the feeder's thread -------------------------------------------------------------------------------------------

    def _feed(self) -> None:
        layers: tuple[Layer, ...] = ()
        reader: LayerReader | None = None
        at, serial = 0, -1
        while True:
            with self._wake:
                self._wake.wait_for(self._has_work)
                if self._closed:
                    break
                order = self._order
            if not self._device_is_set():
                self._set_device()
                continue
            if serial != order.serial:
                at, serial = order.position, order.serial
            try:
                if layers != order.layers or reader is None:
                    if reader is not None:
                        reader.close()
                    layers, reader = order.layers, None
                    reader = LayerReader(layers)
                at = self._read_on(reader, order, at)
            except StemlineError as error:
                self._give_up(order, str(error))
        self._sink.close()
        if reader is not None:
            reader.close()

    def _device_is_set(self) -> bool:
        return self._open_rate == (self._rate if self._playing else 0)

    def _set_device(self) -> None:
        """Opens or closes it, as is wanted now."""
        if self._open_rate:
            self._sink.close()
            self._open_rate = 0
            return
        rate = self._rate
        try:
            self._sink.open(rate, self._pull)
        except NoDeviceError as reason:
            with self._wake:
                self.problem, self._playing = str(reason), False
        else:
            self._open_rate = rate

    def _has_work(self) -> bool:
        ready = self._playing and bool(self._order.layers) and not self._at_end and len(self._chunks) < _AHEAD_CHUNKS
        return self._closed or not self._device_is_set() or ready

    def _read_on(self, reader: LayerReader, order: _Order, at: int) -> int:
        """One chunk from `at`; where the next one begins."""
        end = order.range.end_sample
        if at >= end:
            if not order.loop or order.range.length <= 0:
                with self._wake:
                    self._at_end = self._at_end or order.serial == self._order.serial
                return at
            at = order.range.start_sample
        stop = min(at + _CHUNK_SAMPLES, end)
        chunk = _Chunk(at, reader.read(at, stop))
        with self._wake:
            if order.serial == self._order.serial:
                self._chunks.append(chunk)
        return stop

    def _give_up(self, order: _Order, why: str) -> None:
        with self._wake:
            self.problem = why
            if order.serial == self._order.serial:
                self._at_end = True
