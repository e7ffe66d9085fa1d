# SPDX-License-Identifier: GPL-3.0-or-later
"""The player, which switches between the layers of a clip at the same playhead without a gap or a click."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from stemline.clips import SampleRange
from stemline.errors import StemlineError
from stemline.workflow.derived_tracks import REMIX
from stemline_panel.model.request import MIX
from stemline_panel.sound.layers import Layer, LayerReader
from stemline_panel.sound.level_ramp import LevelRamp, Stereo
from stemline_panel.sound.sink import AudioSink, NoDeviceError

_CHUNK_SAMPLES = 2048
_AHEAD_CHUNKS = 12
_JOIN_S = 2.0


@dataclass(slots=True)
class _Chunk:
    """All layers over a part of the clip, of which `used` samples were played.

    Each sample of `sounds` covers `step` samples of the clip; a negative step plays backwards from `start`.
    """

    start: int
    sounds: dict[str, Stereo]
    step: int = 1
    used: int = 0

    @property
    def now(self) -> int:
        """The sample of the clip that is played next."""
        return self.start + self.used * self.step

    @property
    def length(self) -> int:
        return next(iter(self.sounds.values())).shape[1] if self.sounds else 0


@dataclass(frozen=True, slots=True)
class _PlayRequest:
    """What to read. `serial` grows with every change, so that chunks of an old request can be recognised."""

    layers: tuple[Layer, ...] = ()
    position: int = 0
    range: SampleRange = field(default_factory=lambda: SampleRange(0, 0))
    loop: bool = False
    speed: int = 1
    serial: int = 0


class Player:
    """Streams half a second ahead of the playhead from its own thread, which also opens and closes the device.

    Positions are samples from the clip's first. `problem` says why nothing is heard; it is empty if all is well.
    """

    def __init__(self, sink: AudioSink) -> None:
        """Start the thread."""
        self._sink = sink
        self._wake = threading.Condition()
        self._request = _PlayRequest()
        self._chunks: deque[_Chunk] = deque()
        self._gains: dict[str, float] = {}
        self._remix: dict[str, float] = {}
        """The level of each layer that is part of the remix; empty if there is no remix."""
        self._choice = MIX
        self._levels = LevelRamp({MIX: 1.0})
        self._rate = 48000
        self._opened: tuple[Layer, ...] = ()
        """The layers that are read. Only the feeder changes them."""
        self._open_rate = 0
        """The sample rate of the open device, 0 while it is closed. Only the feeder uses it."""
        self._playing = self._at_end = self._closed = False
        self.problem = ""
        self._thread = threading.Thread(target=self._feed, name="stemline-panel-player", daemon=True)
        self._thread.start()

    # -- layers --------------------------------------------------------------------------------------------------------

    def load(self, layers: Sequence[Layer], sample_rate: int, length: int) -> None:
        """Stop and go to the start of another clip of `length` samples."""
        self.pause()
        with self._wake:
            self._rate, self._choice, self._gains, self._remix = sample_rate, MIX, {}, {}
            self._change(layers=tuple(layers), position=0, range=SampleRange(0, length), loop=False)

    def set_layers(
        self, layers: Sequence[Layer], gains: Mapping[str, float], remix: Mapping[str, float] | None = None
    ) -> None:
        """Replace the layers of the same clip, and the remix of them.

        Playback goes on without a gap: the earlier ones are heard until the new ones are open.
        """
        with self._wake:
            self._gains, self._remix = dict(gains), dict(remix or {})
            self._request = replace(self._request, layers=tuple(layers))
            self._at_end = False
            self._wake.notify_all()
            if self._choice not in self.layers:
                self._choice = MIX

    def set_remix(self, levels: Mapping[str, float]) -> None:
        """Set the level of each layer in the remix, as a factor. Without levels there is no remix."""
        with self._wake:
            self._remix = dict(levels)

    def set_gains(self, gains: Mapping[str, float]) -> None:
        """Set the gain of each layer by name; 1 where it is missing."""
        with self._wake:
            self._gains = dict(gains)

    def choose(self, name: str) -> None:
        """Switch to a layer at once. An unknown name is ignored."""
        with self._wake:
            if name in self.layers:
                self._choice = name

    @property
    def choice(self) -> str:
        """The name of the layer that is heard."""
        return self._choice

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of all layers; the remix, which is computed from others, is the last."""
        return (*(layer.name for layer in self._request.layers), *((REMIX,) if self._remix else ()))

    # -- transport -----------------------------------------------------------------------------------------------------

    @property
    def playing(self) -> bool:
        """Whether it plays."""
        return self._playing

    @property
    def position(self) -> int:
        """The sample that is heard now."""
        with self._wake:
            ahead = self._chunks[0].now if self._chunks else self._request.position
            late = round(self._sink.latency_s * self._rate) * self._request.speed if self._playing else 0
            return max(self._request.range.start_sample if self._request.loop else 0, ahead - late)

    @property
    def speed(self) -> int:
        """How many times as fast as normal it plays; negative backwards."""
        return self._request.speed

    def shuttle(self, speed: int) -> None:
        """Play `speed` times as fast as normal, backwards if it is negative. The pitch changes with the speed."""
        with self._wake:
            position = self.position
            self._change(position=position, speed=speed, loop=False)
        self.play()

    def play(self) -> None:
        """Play from the playhead, or from the start if it is at the end.

        Without a device playback ends soon, and `problem` says why.
        """
        if self._playing:
            return
        with self._wake:
            if self._request.speed > 0 and (self._at_end or self._request.position >= self._request.range.end_sample):
                self._change(position=self._request.range.start_sample)
            self.problem = ""
            self._playing = True
            self._wake.notify_all()

    def pause(self) -> None:
        """Stop at the sample that is heard now."""
        with self._wake:
            if self._playing:
                position = self.position
                self._playing = False
                self._change(position=max(0, position), speed=1)

    def stop(self) -> None:
        """Stop behind the last sample that was read, while the device plays the rest."""
        with self._wake:
            self._playing = False
            self._change(position=self._request.position, speed=1)

    def seek(self, position: int) -> None:
        """Move the playhead."""
        with self._wake:
            self._change(position=max(0, position))

    def play_range(self, part: SampleRange, *, loop: bool) -> None:
        """Play a part from its start, once or in a loop."""
        self.pause()
        with self._wake:
            self._change(position=part.start_sample, range=part, loop=loop)
        self.play()

    def play_whole(self, length: int) -> None:
        """Go on to the end of the clip instead of a part."""
        with self._wake:
            self._change(range=SampleRange(0, length), loop=False)

    def loop_range(self, part: SampleRange) -> None:
        """Go on in a loop over a part; from its start if the playhead is outside."""
        with self._wake:
            self._change(range=part, loop=True)
            if not part.start_sample <= self._request.position < part.end_sample:
                self._change(position=part.start_sample)

    def finished(self) -> bool:
        """Return whether it reached the end; the window then calls `stop`."""
        with self._wake:
            return self._playing and self._at_end and not self._chunks

    def use_device(self, name: str) -> None:
        """Pause, and play on another device from then on; an empty name is the system's default."""
        if name != self._sink.device:
            self.pause()
            self._sink.device = name

    def close(self) -> None:
        """Stop and end the thread."""
        self.pause()
        with self._wake:
            self._closed = True
            self._wake.notify_all()
        self._thread.join(_JOIN_S)

    def _change(
        self,
        *,
        layers: tuple[Layer, ...] | None = None,
        position: int | None = None,
        range: SampleRange | None = None,
        loop: bool | None = None,
        speed: int | None = None,
    ) -> None:
        """Make a new request and drop what was read ahead for the old one."""
        old = self._request
        if position is None:
            position = self._chunks[0].now if self._chunks else old.position
        self._request = replace(
            old,
            layers=old.layers if layers is None else layers,
            position=position,
            range=old.range if range is None else range,
            loop=old.loop if loop is None else loop,
            speed=old.speed if speed is None else speed,
            serial=old.serial + 1,
        )
        self._chunks.clear()
        self._at_end = False
        self._wake.notify_all()

    # -- device thread -------------------------------------------------------------------------------------------------

    def _pull(self, frames: int) -> Stereo:
        out = np.zeros((frames, 2), np.float32)
        with self._wake:
            self._levels.move_to(self._wanted_levels())
            filled = 0
            while filled < frames and self._chunks and self._playing:
                chunk = self._chunks[0]
                count = min(frames - filled, chunk.length - chunk.used)
                part = {name: sound[:, chunk.used : chunk.used + count] for name, sound in chunk.sounds.items()}
                out[filled : filled + count] = self._levels.mix(part, count).T
                chunk.used += count
                filled += count
                if chunk.used >= chunk.length:
                    self._chunks.popleft()
                    self._request = replace(self._request, position=chunk.now)
            self._wake.notify_all()
        return out

    def _wanted_levels(self) -> dict[str, float]:
        """Return the level of each layer that is heard. The remix has the headroom of the mix."""
        if self._choice != REMIX or not self._remix:
            return {self._choice: self._gains.get(self._choice, 1.0)}
        return {name: level * self._gains.get(MIX, 1.0) for name, level in self._remix.items()}

    # -- feeder thread -------------------------------------------------------------------------------------------------

    def _feed(self) -> None:
        reader: LayerReader | None = None
        at, serial = 0, -1
        while True:
            with self._wake:
                self._wake.wait_for(self._has_work)
                if self._closed:
                    break
                request = self._request
            if not self._device_is_set():
                self._set_device()
                continue
            if serial != request.serial:
                at, serial = request.position, request.serial
            try:
                if self._opened != request.layers or reader is None:
                    old, reader, self._opened = reader, None, request.layers
                    if old is not None:
                        old.close()
                    reader = LayerReader(self._opened)
                    self._read_again(reader, request)
                at = self._read_chunk(reader, request, at)
            except StemlineError as error:
                self._fail(request, str(error))
        self._sink.close()
        if reader is not None:
            reader.close()

    def _device_is_set(self) -> bool:
        return self._open_rate == (self._rate if self._playing else 0)

    def _set_device(self) -> None:
        """Close the device, or open it at the clip's sample rate."""
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
        wanted = not self._at_end and len(self._chunks) < _AHEAD_CHUNKS
        ready = self._playing and bool(self._request.layers) and (wanted or self._request.layers != self._opened)
        return self._closed or not self._device_is_set() or ready

    def _read_again(self, reader: LayerReader, request: _PlayRequest) -> None:
        """Read what was read ahead from other layers. It is replaced at once, at the sample that is then heard."""
        with self._wake:
            chunks = list(self._chunks) if request.serial == self._request.serial else []
        sounds = [_read_sounds(reader, chunk.start, chunk.length, chunk.step) for chunk in chunks]
        with self._wake:
            for chunk, sound in zip(chunks, sounds, strict=True):
                chunk.sounds = sound

    def _read_chunk(self, reader: LayerReader, request: _PlayRequest, at: int) -> int:
        """Read one chunk from `at` and return the start of the next."""
        if request.speed != 1:
            return self._read_fast_chunk(reader, request, at)
        end = request.range.end_sample
        if at >= end:
            if not request.loop or request.range.length <= 0:
                with self._wake:
                    self._at_end = self._at_end or request.serial == self._request.serial
                return at
            at = request.range.start_sample
        stop = min(at + _CHUNK_SAMPLES, end)
        chunk = _Chunk(at, reader.read(at, stop))
        with self._wake:
            if request.serial == self._request.serial:
                self._chunks.append(chunk)
        return stop

    def _read_fast_chunk(self, reader: LayerReader, request: _PlayRequest, at: int) -> int:
        """Read one chunk for another speed: each sample is the mean of so many of the clip."""
        step, whole = abs(request.speed), request.range
        many = min(_CHUNK_SAMPLES * step, at - whole.start_sample if request.speed < 0 else whole.end_sample - at)
        many -= many % step
        if many <= 0:
            with self._wake:
                self._at_end = self._at_end or request.serial == self._request.serial
            return at
        first = at - many if request.speed < 0 else at
        sounds = _read_sounds(reader, at, many // step, request.speed)
        with self._wake:
            if request.serial == self._request.serial:
                self._chunks.append(_Chunk(at, sounds, request.speed))
        return first if request.speed < 0 else at + many

    def _fail(self, request: _PlayRequest, why: str) -> None:
        with self._wake:
            self.problem = why
            if request.serial == self._request.serial and request.layers == self._request.layers:
                self._at_end = True


def _read_sounds(reader: LayerReader, start: int, count: int, step: int) -> dict[str, Stereo]:
    """Return `count` samples of each layer from `start` on, each the mean of `step` of the clip, as in a chunk."""
    if step == 1:
        return reader.read(start, start + count)
    many = count * abs(step)
    first = start - many if step < 0 else start
    return {
        name: np.ascontiguousarray(sound.reshape(2, -1, abs(step)).mean(2)[:, :: 1 if step > 0 else -1])
        for name, sound in reader.read(first, first + many).items()
    }
