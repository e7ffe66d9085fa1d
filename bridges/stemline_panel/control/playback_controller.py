# SPDX-License-Identifier: GPL-3.0-or-later
"""The shown clip for eyes and ears: waveform as they are needed, the scan behind them, playing and comparing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from PyQt5.QtCore import QObject, QTimer, pyqtSignal

from stemline.clips import ClipRange, SampleRange, StemClip, TimeRange
from stemline.errors import StemlineError
from stemline.media import Loudness
from stemline_panel.model.request import MIX
from stemline_panel.sound.layers import Layer, LayerReader, layers_of, matched_gains, noted_peaks, part_of
from stemline_panel.sound.opened_clip import OpenedClip, open_clip
from stemline_panel.sound.player import Player
from stemline_panel.sound.sink import AudioSink
from stemline_panel.sound.waveform import ClipWaveform, WaveformData
from stemline_panel.widgets.overview_strip import COLUMNS
from stemline_panel.workers import Worker

_TICK_MS = 33
_OVERVIEW_EVERY = 6


@dataclass(frozen=True, slots=True)
class Comparison:
    """What can be compared in the shown clip. `part` is where all of it sounds, in samples from the clip's first."""

    stems: Mapping[str, StemClip]
    part: SampleRange
    levels: Mapping[str, Loudness]


class PlaybackController(QObject):
    """`opened` tells an OpenedClip, `failed` why a clip cannot be shown; waveform come by their own signals."""

    opened = pyqtSignal(object)
    failed = pyqtSignal(object)
    waveform_ready = pyqtSignal(object)
    overview_ready = pyqtSignal(object)
    extent_found = pyqtSignal(object)
    compared = pyqtSignal(object)
    layer_drawn = pyqtSignal(str)
    moved = pyqtSignal(object)
    play_changed = pyqtSignal()

    def __init__(self, sink: AudioSink, *, matched: bool) -> None:
        super().__init__()
        self._worker = Worker("sound", self)
        self.player = Player(sink)
        self._held: ClipWaveform | None = None
        """What is open; the worker's own."""
        self._waveform: ClipWaveform | None = None
        """Those of the shown clip, once it is open."""
        self._playhead = Fraction(0)
        self.clip: OpenedClip | None = None
        self.levels: Mapping[str, Loudness] = {}
        self._matched = matched
        self._serial = 0
        self._drawing = self._scanning = False
        self._wanted: tuple[TimeRange, int] | None = None
        self._scans = 0
        self._layers: tuple[Layer, ...] = ()
        self._drawn = MIX
        self._tick = QTimer(self)
        self._tick.setInterval(_TICK_MS)
        self._tick.timeout.connect(self._on_tick)

    # -- the clip ------------------------------------------------------------------------------------------------------

    def show(self, clip: ClipRange) -> None:
        """Until it is open there is no clip: nothing is drawn, searched or played."""
        self._serial += 1
        serial = self._serial
        self.player.pause()
        self._playhead = self.playhead
        self.clip = self._waveform = None
        self.play_changed.emit()

        def work() -> ClipWaveform:
            self._close_held()
            self._held = ClipWaveform(open_clip(clip))
            return self._held

        def then(waveform: ClipWaveform) -> None:
            if serial == self._serial:
                self._opened(waveform)

        def failed(error: StemlineError) -> None:
            if serial == self._serial:
                self.failed.emit(error)

        self._worker.do(work, then, failed)

    def request_waveform(self, shown: TimeRange, columns: int) -> None:
        """The newest wish is drawn next; older ones that were not begun are dropped."""
        self._wanted = (shown, columns)
        if not self._drawing:
            self._draw()

    def find_extent(self, time: Fraction) -> None:
        waveform, serial = self._waveform, self._serial
        if waveform is not None:
            self._do(serial, lambda: waveform.extent_at(time), self.extent_found.emit)

    # -- comparing -----------------------------------------------------------------------------------------------------

    def compare(self, stems: Mapping[str, StemClip]) -> None:
        """Offers the stems beside the mix and measures how loud they are. Without stems there is the mix alone."""
        opened, serial = self.clip, self._serial
        if opened is None:
            return
        layers = self._layers = layers_of(opened, stems)
        part = _part(opened, stems)
        self.levels = {}
        self.player.offer(layers, {})
        self._drawn = ""
        self._draw_choice()

        def measure() -> Comparison:
            if not stems:
                return Comparison(stems, part, {})
            reader = LayerReader(layers)
            try:
                levels = {layer.name: reader.loudness(layer.name, part) for layer in layers}
            finally:
                reader.close()
            peaks = noted_peaks(stems)
            higher = {name: max(level.peak, peaks.get(name, 0.0)) for name, level in levels.items()}
            return Comparison(stems, part, {name: replace(level, peak=higher[name]) for name, level in levels.items()})

        def then(compared: Comparison) -> None:
            self.levels = compared.levels
            self.match_loudness(matched=self._matched)
            self.compared.emit(compared)

        self._do(serial, measure, then)

    def match_loudness(self, *, matched: bool) -> None:
        self._matched = matched
        self.player.set_gains(matched_gains(self.levels) if matched and self.levels else {})

    def choose(self, name: str) -> None:
        """Hears another sound, and draws it."""
        self.player.choose(name)
        self._draw_choice()
        self.play_changed.emit()

    def check_device(self, why_none: Callable[[], str]) -> None:
        """Says beforehand why nothing will be heard, unless something was played meanwhile."""

        def then(why: str) -> None:
            if not self.player.playing:
                self.player.problem = why
                self.play_changed.emit()

        self._worker.do(why_none, then, self.failed.emit)

    # -- transport -----------------------------------------------------------------------------------------------------

    @property
    def playhead(self) -> Fraction:
        """The time of the timeline that is heard; where the last clip stood while none is open."""
        if self.clip is None:
            return self._playhead
        return self.clip.time_of(self.clip.played.start_sample + self.player.position)

    def toggle(self, part: TimeRange | None, *, loop: bool) -> None:
        """Plays from the playhead, or the selected part from its beginning where there is one and it is to loop."""
        if self.clip is None:
            return
        if self.player.playing:
            self.player.pause()
        elif part is not None and loop:
            self.player.play_range(part_of(self.clip, part.start, part.end), loop=True)
        else:
            self.player.whole(self.clip.played.length)
            self.player.play()
        self._after_transport()

    def set_loop(self, part: TimeRange | None) -> None:
        """What plays goes on, over and over in the part; to the clip's end without one."""
        if self.clip is None or not self.player.playing:
            return
        if part is not None:
            self.player.loop(part_of(self.clip, part.start, part.end))
        else:
            self.player.whole(self.clip.played.length)

    def play_part(self, part: SampleRange) -> None:
        self.player.play_range(part, loop=True)
        self._after_transport()

    def seek(self, time: Fraction) -> None:
        if self.clip is None:
            return
        record = self.clip.clip.record_range
        time = min(max(time, record.start), record.end)
        self.player.seek(self.clip.sample_at(time) - self.clip.played.start_sample)
        self.moved.emit(self.playhead)

    def close(self) -> bool:
        self._tick.stop()
        self.player.close()
        self._worker.do(self._close_held, lambda _: None, lambda _: None)
        return self._worker.close()

    # -- inside --------------------------------------------------------------------------------------------------------

    def _close_held(self) -> None:
        """From the worker."""
        held, self._held = self._held, None
        if held is not None:
            held.close()

    def _opened(self, waveform: ClipWaveform) -> None:
        opened = waveform.opened
        self.clip, self._waveform = opened, waveform
        self._scans = 0
        self._drawing, self._scanning = False, False
        self.player.load(layers_of(opened, {}), opened.facts.sample_rate, opened.played.length)
        self.opened.emit(opened)
        self.moved.emit(self.playhead)

    def _draw_choice(self) -> None:
        waveform, name = self._waveform, self.player.choice
        if waveform is None or name == self._drawn:
            return
        self._drawn = name
        layer = next((layer for layer in self._layers if layer.name == name and name != MIX), None)
        self._do(self._serial, lambda: waveform.show_layer(layer), lambda _: self.layer_drawn.emit(name))

    def _draw(self) -> None:
        waveform, wanted, serial = self._waveform, self._wanted, self._serial
        if waveform is None or wanted is None or self.clip is None:
            return
        self._wanted, self._drawing = None, True

        def then(data: WaveformData) -> None:
            self._drawing = False
            self.waveform_ready.emit(data)
            if not self._scanning:  # what is shown comes first
                self._scanning = True
                self._scan(serial)
            if self._wanted is not None:
                self._draw()

        self._do(serial, lambda: waveform.data(*wanted), then)

    def _scan(self, serial: int) -> None:
        waveform = self._waveform
        if waveform is None:
            return

        def then(more: bool) -> None:
            self._scans += 1
            if not more or self._scans % _OVERVIEW_EVERY == 1:
                self._do(serial, lambda: waveform.overview(COLUMNS), self.overview_ready.emit)
            if more:
                self._scan(serial)

        self._do(serial, waveform.scan_step, then)

    def _do(self, serial: int, work: Callable[[], Any], then: Callable[[Any], object]) -> None:
        """What comes back for a clip that is no longer shown is dropped."""

        def done(result: Any) -> None:
            if serial == self._serial:
                then(result)

        def failed(error: StemlineError) -> None:
            if serial == self._serial:
                self._drawing = False
                self.failed.emit(error)

        self._worker.do(lambda: work() if serial == self._serial else None, done, failed)

    def _after_transport(self) -> None:
        if self.player.playing:
            self._tick.start()
        self.play_changed.emit()

    def _on_tick(self) -> None:
        if self.player.finished():
            self.player.stop()
        self.moved.emit(self.playhead)
        if not self.player.playing:
            self._tick.stop()
            self.play_changed.emit()


def _part(opened: OpenedClip, stems: Mapping[str, StemClip]) -> SampleRange:
    """Where the stems sound: the whole clip, or the part that an audition took."""
    if not stems:
        return SampleRange(0, opened.played.length)
    record = next(iter(stems.values())).record_range
    return part_of(opened, record.start, record.end)
