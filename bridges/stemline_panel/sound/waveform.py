# SPDX-License-Identifier: GPL-3.0-or-later
"""Waveform and spectrogram data of a clip. Only the shown part is decoded; a scan fills the overview."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from stemline.clips import SampleRange, TimeRange
from stemline.media import AudioReader, Overview, find_event_bounds, peaks_of
from stemline_panel.sound.layers import Layer, open_layer, open_sound
from stemline_panel.sound.live_sound import LiveSound
from stemline_panel.sound.opened_clip import OpenedClip
from stemline_panel.sound.spectrogram import BANDS, Spectrogram, SpectrogramPixels

DETAIL_S = 150
"""Longer ranges are drawn from the overview; shorter ones are decoded when they are shown."""
FIRST_VIEW_S = 120
_SCAN_SAMPLES = 1 << 19
_SCAN_COLUMNS = 1 << 14
_AROUND_S = 20
_READ_SAMPLES = 1 << 18


@dataclass(frozen=True, slots=True)
class WaveformData:
    """What is drawn of a time range.

    `low` and `high` are sample peaks at `times` (seconds of the timeline). `spectrum` [columns, bands] covers `heard`,
    the part of the range that was decoded. `exact` is False while the scan is incomplete.
    """

    heard: TimeRange
    times: npt.NDArray[np.float64]
    low: npt.NDArray[np.float32]
    high: npt.NDArray[np.float32]
    spectrum: SpectrogramPixels
    exact: bool


class ClipWaveform:
    """Computes the waveform of one clip. All methods are called from one worker thread. Close it."""

    def __init__(self, opened: OpenedClip) -> None:
        """Open the media. Raises MediaError."""
        self.opened = opened
        played = opened.played
        self._reader = open_sound(opened.clip.source)
        self._drawn: list[tuple[AudioReader | LiveSound, int, float]] | None = None
        """Reader, offset in samples and level of each layer that is drawn; None draws the clip itself."""
        self._drawn_files = ExitStack()
        self._scan: AudioReader | None = None
        self._spectrogram = Spectrogram(self._reader.sample_rate)
        self._overview = Overview(played.start_sample, played.length)
        self._columns = min(_SCAN_COLUMNS, max(1, played.length // 1024))
        self._spectrum = np.zeros((self._columns, BANDS), np.uint8)

    def show_layers(self, layers: Mapping[Layer, float] | None) -> None:
        """Draw the sum of these layers at their levels from now on; None draws the clip itself. Raises MediaError."""
        self._drawn_files.close()
        self._drawn = None
        if layers is not None:
            self._drawn = []
            for layer, level in layers.items():
                ahead = layer.first_sample - self.opened.played.start_sample
                self._drawn.append((self._drawn_files.enter_context(open_layer(layer)), ahead, level))

    def data(self, shown: TimeRange, columns: int) -> WaveformData:
        """Return the clip in a range of the timeline. Raises MediaError if the media can no longer be read."""
        opened = self.opened
        wanted = SampleRange(opened.sample_at(shown.start), opened.sample_at(shown.end)).intersect(opened.played)
        if wanted.length <= DETAIL_S * self._reader.sample_rate:
            return self._decode(wanted, columns)
        return self._from_overview(wanted, columns)

    def scan_step(self) -> bool:
        """Decode a few more seconds for the overview. Return True while there is more.

        The scan has its own reader, so that it makes one pass however the view moves.
        """
        if self._overview.complete:
            return False
        if self._scan is None:
            self._scan = open_sound(self.opened.clip.source)
        start = self._overview.start_sample + self._overview.filled_samples
        end = min(start + _SCAN_SAMPLES, self.opened.played.end_sample)
        block = self._scan.read(start, end)
        done = self._overview.filled_samples
        self._overview.add(block)
        first = done * self._columns // self._overview.length
        last = self._overview.filled_samples * self._columns // self._overview.length
        if last > first:
            self._spectrum[first:last] = self._spectrogram.columns(block.mean(axis=0), last - first)
        more = self._overview.filled_samples < self._overview.length
        if not more:
            self._scan.close()
        return more

    def overview(self, columns: int) -> WaveformData:
        """Return the whole clip as far as it was scanned."""
        return self._from_overview(self.opened.played, columns)

    def extent_at(self, time: Fraction) -> TimeRange | None:
        """Return the range of the sound at a time, from onset to offset; None in the background."""
        rate = self._reader.sample_rate
        at = self.opened.sample_at(time)
        near = SampleRange(at - _AROUND_S * rate, at + _AROUND_S * rate).intersect(self.opened.played)
        found = find_event_bounds(self._reader.read(near.start_sample, near.end_sample), rate, at - near.start_sample)
        if found is None:
            return None
        found = found.shift(near.start_sample)
        return TimeRange(self.opened.time_of(found.start_sample), self.opened.time_of(found.end_sample))

    def close(self) -> None:
        """Close all files."""
        self._reader.close()
        self.show_layers(None)
        if self._scan is not None:
            self._scan.close()

    def _decode(self, wanted: SampleRange, columns: int) -> WaveformData:
        """Decode a range in parts, so that memory holds only the mono sound of all of it."""
        mono = np.empty(wanted.length, np.float32)
        step = max(1, -(-wanted.length // max(1, columns)))
        part = max(step, _READ_SAMPLES // step * step)
        lows, highs = [np.zeros(0, np.float32)], [np.zeros(0, np.float32)]
        for start in range(0, wanted.length, part):
            end = min(wanted.length, start + part)
            block = self._read(wanted.start_sample + start, wanted.start_sample + end)
            peaks = peaks_of(block, start, -(-(end - start) // step))
            lows.append(peaks.low)
            highs.append(peaks.high)
            mono[start:end] = block.mean(axis=0)
        low, high = np.concatenate(lows), np.concatenate(highs)
        spectrum = self._spectrogram.columns(mono, min(columns, max(1, wanted.length // 256)))
        return self._data(wanted, step, (low, high), spectrum, exact=True)

    def _read(self, start: int, end: int) -> npt.NDArray[np.float32]:
        if self._drawn is None:
            return self._reader.read(start, end)
        parts = [reader.read(ahead + start, ahead + end) * np.float32(level) for reader, ahead, level in self._drawn]
        return np.asarray(sum(parts[1:], parts[0])) if parts else np.zeros((1, end - start), np.float32)

    def _from_overview(self, wanted: SampleRange, columns: int) -> WaveformData:
        peaks = self._overview.peaks(wanted.start_sample, wanted.end_sample, columns)
        heard = SampleRange(
            peaks.start_sample, min(wanted.end_sample, peaks.start_sample + peaks.step * len(peaks.low))
        )
        length, base = self._overview.length, self._overview.start_sample
        first = (heard.start_sample - base) * self._columns // length
        last = max(first, min(self._columns, (heard.end_sample - base) * self._columns // length))
        spectrum = self._spectrum[first:last]
        if len(spectrum) > columns:
            group = -(-len(spectrum) // columns)
            spectrum = np.maximum.reduceat(spectrum, np.arange(0, len(spectrum), group), axis=0)
        return self._data(heard, peaks.step, (peaks.low, peaks.high), spectrum.copy(), exact=self._overview.complete)

    def _data(
        self,
        heard: SampleRange,
        step: int,
        peaks: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]],
        spectrum: SpectrogramPixels,
        *,
        exact: bool,
    ) -> WaveformData:
        opened = self.opened
        start, end = opened.time_of(heard.start_sample), opened.time_of(heard.end_sample)
        times = float(start) + (np.arange(len(peaks[0])) + 0.5) * step / opened.facts.sample_rate
        return WaveformData(TimeRange(start, max(start, end)), times, *peaks, spectrum, exact)


def first_view(opened: OpenedClip) -> TimeRange:
    """Return the range that is shown first: the whole clip, or its first two minutes."""
    record = opened.clip.record_range
    return TimeRange(record.start, min(record.end, record.start + FIRST_VIEW_S))
