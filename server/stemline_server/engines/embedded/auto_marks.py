"""Mark a named sound automatically where the net is certain of it, and separate it again with these marks.

Measured: animals by name gain 1 to 2 dB, because NMF and the net's span channels take part. Segments are eight seconds
long and are searched with two seconds of context on either side, so memory use is constant.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from stemline.clips import SampleRange
from stemline_server.engines.base import AudioSource, Control, Waveform
from stemline_server.engines.embedded.array_source import ArraySource
from stemline_server.engines.embedded.net_separator import HOP, NetQuery, NetSeparator
from stemline_server.engines.embedded.nmf import Tick
from stemline_server.engines.embedded.span_context import Ranges, common, span_contexts, span_envelope
from stemline_server.engines.embedded.span_nmf import NoBackgroundError, separate_spans

_SECOND = 48_000
_SEGMENT_SAMPLES = 8 * _SECOND
_CONTEXT_SAMPLES = 2 * _SECOND
_FADE_SAMPLES = _SECOND

_SMOOTHING_FRAMES = 5
_PEAK_FRAMES = 10
_MIN_PEAK = 0.1
_MARK_ABOVE = 0.5
"""Share of the presence in its best frames. Measured: lower shares and wider marks leave too little background."""
_MIN_GAP_FRAMES, _MIN_MARK_FRAMES = 10, 3
_MAX_COVERAGE = 0.85
_NET_WEIGHT = np.float32(0.95)
_KEEP_OUTSIDE = np.float32(0.15)
"""Share of the target by name that remains outside of the marks, because marks miss faint parts of the sound."""


@dataclass(frozen=True, slots=True)
class AutoMarks:
    """Separate one named sound with automatic marks.

    Attributes:
        audio: The audio in which the net searches: the mix without confirmed speech, one channel at 48 kHz.
        net: The net.
        class_name: Class of the sound.
        seed: Seed of the factorisation.
        control: Receives the progress of the net.
        tick: Called at every iteration; may raise to stop.
    """

    audio: AudioSource
    net: NetSeparator
    class_name: str
    seed: int
    control: Control
    tick: Tick

    def blocks(self) -> Iterator[Waveform]:
        """Yield blocks [2, samples], together exactly as long as the audio.

        The first row is the target within the marks; the second is the share, 0..1, of the target by name to add to
        it: 1 in segments without marks.
        """
        length = self.audio.length_samples
        fading = np.zeros((2, 0), np.float32)
        for start in range(0, length, _SEGMENT_SAMPLES):
            self.tick()
            end = min(start + _SEGMENT_SAMPLES, length)
            first = max(0, start - _FADE_SAMPLES // 2)
            rows = self._segment(start, end)[:, : min(end + _FADE_SAMPLES // 2, length) - first]
            ramp = np.linspace(0, 1, fading.shape[1], dtype=np.float32)
            rows[:, : ramp.size] = fading * (1 - ramp) + rows[:, : ramp.size] * ramp
            count = rows.shape[1] if end == length else end - _FADE_SAMPLES // 2 - first
            fading = rows[:, count:].copy()
            yield rows[:, :count]

    def _segment(self, start_sample: int, end_sample: int) -> Waveform:
        """Return both rows from the fade before a segment to the end of the context behind it."""
        first = max(0, start_sample - _CONTEXT_SAMPLES)
        last = min(end_sample + _CONTEXT_SAMPLES, self.audio.length_samples)
        wave = self.audio.read(first, last)
        needed = SampleRange(start_sample - _FADE_SAMPLES // 2 - first, end_sample + _FADE_SAMPLES // 2 - first)
        rows = self._separated(wave, needed, start_sample // _SEGMENT_SAMPLES)
        if rows is None:
            rows = np.stack([np.zeros(wave.shape[1], np.float32), np.ones(wave.shape[1], np.float32)])
        return rows[:, max(0, start_sample - _FADE_SAMPLES // 2) - first :]

    def _separated(self, wave: Waveform, needed: SampleRange, segment: int) -> Waveform | None:
        """Return both rows for [1, samples]; None if the sound is absent or sounds nearly everywhere.

        NMF learns from all samples but separates only the needed range.
        """
        source = ArraySource(wave)
        marks = marks_of(self.net.presence(source, self.class_name), wave.shape[1])
        if not marks or sum(mark.length for mark in marks) > _MAX_COVERAGE * wave.shape[1]:
            return None
        contexts = span_contexts(marks, (), wave.shape[1])
        contexts = tuple(replace(one, search=common(one.search, (needed,))) for one in contexts)
        try:
            nmf = np.concatenate(list(separate_spans(source, contexts, self.seed + segment, self.tick)), axis=1)[0]
        except NoBackgroundError:
            return None
        answer = self.net.separate(source, [NetQuery(self.class_name, marks)], self.control)
        net = np.concatenate([block[0] for block in answer])
        envelope = span_envelope(marks, 0, wave.shape[1])
        named = envelope * (_NET_WEIGHT * net + (1 - _NET_WEIGHT) * wave[0])
        return np.stack([(named + nmf) / np.float32(2), _KEEP_OUTSIDE * (1 - envelope)])


def marks_of(presence: npt.NDArray[np.float32], length_samples: int) -> Ranges:
    """Return where a sound is present.

    Args:
        presence: The net's certainty in each frame of `HOP` samples, [frames]. Frame f is centred at sample f * HOP.
        length_samples: Length of the audio.

    Returns:
        Ranges in order of time; empty if the sound is absent.
    """
    smooth = np.convolve(presence, np.full(_SMOOTHING_FRAMES, 1 / _SMOOTHING_FRAMES), "same")
    peak = float(np.sort(smooth)[-min(_PEAK_FRAMES, smooth.size)])
    if peak < _MIN_PEAK:
        return ()
    runs: list[list[int]] = []
    for frame in map(int, np.flatnonzero(smooth > _MARK_ABOVE * peak)):
        if runs and frame - runs[-1][1] < _MIN_GAP_FRAMES:
            runs[-1][1] = frame + 1
        else:
            runs.append([frame, frame + 1])
    spans = [(max(0, a * HOP - HOP // 2), min(b * HOP - HOP // 2, length_samples)) for a, b in runs]
    return tuple(SampleRange(a, b) for a, b in spans if b - a >= _MIN_MARK_FRAMES * HOP)
