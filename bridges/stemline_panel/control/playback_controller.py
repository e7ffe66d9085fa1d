# SPDX-License-Identifier: GPL-3.0-or-later
"""The shown clip: opening its media, waveform data, playback and comparison."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from PyQt5.QtCore import QObject, QTimer, pyqtSignal

from stemline.clips import ClipRange, SampleRange, StemClip, TimeRange
from stemline.errors import StemlineError
from stemline.media import Loudness
from stemline.workflow.derived_tracks import REMIX
from stemline_panel.model.request import MIX
from stemline_panel.sound.layers import (
    Layer,
    LayerReader,
    covered_part,
    layers_of,
    listen_to_decoding,
    matched_gains,
    part_of,
    sidecar_peaks,
)
from stemline_panel.sound.opened_clip import OpenedClip, open_clip
from stemline_panel.sound.player import Player
from stemline_panel.sound.sink import AudioSink
from stemline_panel.sound.waveform import ClipWaveform, WaveformData
from stemline_panel.widgets.layout import single_shot_timer
from stemline_panel.widgets.overview_strip import COLUMNS
from stemline_panel.workers import Worker

_TICK_MS = 33
_OVERVIEW_EVERY = 6
_REDRAW_MS = 200
_FASTEST = 8


@dataclass(frozen=True, slots=True)
class Comparison:
    """The stems that can be compared, their loudness, and the part where all of them sound.

    `part` is in samples from the clip's first.
    """

    stems: Mapping[str, StemClip]
    part: SampleRange
    levels: Mapping[str, Loudness]


class PlaybackController(QObject):
    """Opens, draws and plays one clip at a time.

    Signals: `opened` (OpenedClip); `failed` (why a clip cannot be shown); `waveform_ready` and `overview_ready`
    (WaveformData); `decoding` (share of a sound that is decoded as a whole before it can be shown); `extent_found`
    (range or None); `compared` (Comparison); `layer_drawn` (name); `moved` (playhead); `play_changed` after any change
    of player or layer.
    """

    opened = pyqtSignal(object)
    failed = pyqtSignal(object)
    waveform_ready = pyqtSignal(object)
    overview_ready = pyqtSignal(object)
    decoding = pyqtSignal(float)
    extent_found = pyqtSignal(object)
    compared = pyqtSignal(object)
    layer_drawn = pyqtSignal(str)
    moved = pyqtSignal(object)
    play_changed = pyqtSignal()

    def __init__(self, sink: AudioSink, *, matched: bool) -> None:
        """Start without a clip. `matched` plays all layers at the loudness of the mix."""
        super().__init__()
        self._worker = Worker("sound", self)
        self.player = Player(sink)
        self._end_listening = listen_to_decoding(lambda share: self._worker.post(lambda: self.decoding.emit(share)))
        self._held: ClipWaveform | None = None
        """The open media. Only the worker uses it."""
        self._waveform: ClipWaveform | None = None
        """That of the shown clip, once it is open."""
        self._playhead = Fraction(0)
        self.clip: OpenedClip | None = None
        self.levels: Mapping[str, Loudness] = {}
        self._matched = matched
        self._serial = 0
        self._drawing = self._scanning = False
        self._wanted: tuple[TimeRange, int] | None = None
        self._scans = 0
        self._layers: tuple[Layer, ...] = ()
        self._live: Layer | None = None
        self._remix: dict[str, float] = {}
        self._drawn = MIX
        self._redraw = single_shot_timer(self, _REDRAW_MS)
        self._redraw.timeout.connect(self._redraw_changed)
        self._tick = QTimer(self)
        self._tick.setInterval(_TICK_MS)
        self._tick.timeout.connect(self._on_tick)

    # -- clip ----------------------------------------------------------------------------------------------------------

    def show(self, clip: ClipRange) -> None:
        """Open a clip. Until it is open, `clip` is None and nothing can be drawn, searched or played."""
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
        """Ask for the waveform of a range. A newer request replaces one that hasn't begun."""
        self._wanted = (shown, columns)
        if not self._drawing:
            self._draw()

    def find_extent(self, time: Fraction) -> None:
        """Find the range of the sound at a time."""
        waveform, serial = self._waveform, self._serial
        if waveform is not None:
            self._do(serial, lambda: waveform.extent_at(time), self.extent_found.emit)

    # -- comparison ----------------------------------------------------------------------------------------------------

    def compare(self, stems: Mapping[str, StemClip], amounts: Mapping[str, float]) -> None:
        """Offer the mix, these stems and their remix for comparison, and measure their loudness.

        `amounts` has the gain in dB of each part of the remix. The remix is left out if a part cannot be played. The
        live layer takes the place of a stem with its name.
        """
        opened, serial = self.clip, self._serial
        if opened is None:
            return
        live = self._live_layers(opened)
        hidden = {layer.name for layer in live}
        layers = tuple(layer for layer in layers_of(opened, stems) if layer.name not in hidden)
        self._layers = (*layers, *live)
        part = covered_part(opened, stems)
        self.levels = {}
        parts = amounts if amounts.keys() <= {layer.name for layer in layers} else {}
        self._remix = _levels_of(parts)
        self.player.set_layers(self._layers, {}, self._remix)
        self._drawn = ""
        self._draw_choice()

        def then(comparison: Comparison) -> None:
            self.levels = comparison.levels
            self.match_loudness(matched=self._matched)
            self.compared.emit(comparison)

        self._do(serial, lambda: Comparison(stems, part, _measure(layers, stems, part)), then)

    def add_live(self, layer: Layer) -> None:
        """Offer the stem of a run that goes on, from the next comparison on."""
        self._live = layer

    def remove_live(self, layer: Layer) -> None:
        """Offer it no more from the next comparison on, which may have its file."""
        if self._live is layer:
            self._live = None

    def redraw_live(self) -> None:
        """Draw again soon, because the stem of a run that goes on has more sound."""
        if not self._redraw.isActive():
            self._redraw.start()

    def set_amounts(self, amounts: Mapping[str, float]) -> None:
        """Set the gain in dB of each part of the remix. It is heard at once, and drawn soon after the last change."""
        if self._remix.keys() == amounts.keys():
            self._remix = _levels_of(amounts)
            self.player.set_remix(self._remix)
            self._redraw.start()

    def match_loudness(self, *, matched: bool) -> None:
        """Play all layers at the loudness of the mix, or as they are."""
        self._matched = matched
        self.player.set_gains(matched_gains(self.levels) if matched and self.levels else {})

    def use_device(self, name: str) -> None:
        """Play on another device from the next start; an empty name is the system's default."""
        self.player.use_device(name)

    def choose(self, name: str) -> None:
        """Play and draw another layer."""
        self.player.choose(name)
        self._draw_choice()
        self.play_changed.emit()

    def check_device(self, find_problem: Callable[[], str]) -> None:
        """Show why nothing can be heard, unless something plays by then. `find_problem` runs in the worker."""

        def then(why: str) -> None:
            if not self.player.playing:
                self.player.problem = why
                self.play_changed.emit()

        self._worker.do(find_problem, then, self.failed.emit)

    # -- transport -----------------------------------------------------------------------------------------------------

    @property
    def playhead(self) -> Fraction:
        """The time of the timeline that is heard; that of the last clip while none is open."""
        if self.clip is None:
            return self._playhead
        return self.clip.time_of(self.clip.played.start_sample + self.player.position)

    def toggle(self, part: TimeRange | None, *, loop: bool) -> None:
        """Pause, or play from the playhead; with `loop` play the selected part from its start."""
        if self.clip is None:
            return
        if self.player.playing:
            self.player.pause()
        elif part is not None and loop:
            self.player.play_range(part_of(self.clip, part.start, part.end), loop=True)
        else:
            self.player.play_whole(self.clip.played.length)
            self.player.play()
        self._after_transport()

    def shuttle(self, direction: int) -> None:
        """Play forwards (+1) or backwards (-1); again in the same direction doubles the speed, up to eightfold."""
        if self.clip is None:
            return
        speed = self.player.speed if self.player.playing else 0
        faster = min(_FASTEST, abs(speed) * 2) if speed * direction > 0 else 1
        self.player.play_whole(self.clip.played.length)
        self.player.shuttle(faster * direction)
        self._after_transport()

    def pause(self) -> None:
        """Pause."""
        self.player.pause()
        self._after_transport()

    def set_loop(self, part: TimeRange | None) -> None:
        """Go on playing in a loop over a part, or to the end of the clip with None."""
        if self.clip is None or not self.player.playing:
            return
        if part is not None:
            self.player.loop_range(part_of(self.clip, part.start, part.end))
        else:
            self.player.play_whole(self.clip.played.length)

    def play_part(self, part: SampleRange) -> None:
        """Play a part in a loop, in samples from the clip's first."""
        self.player.play_range(part, loop=True)
        self._after_transport()

    def seek(self, time: Fraction) -> None:
        """Move the playhead to a time of the timeline, kept inside the clip."""
        if self.clip is None:
            return
        record = self.clip.clip.record_range
        time = min(max(time, record.start), record.end)
        self.player.seek(self.clip.sample_at(time) - self.clip.played.start_sample)
        self.moved.emit(self.playhead)

    def close(self) -> bool:
        """Stop and close the media. Return True if the worker thread ended."""
        self._tick.stop()
        self._redraw.stop()
        self._end_listening()
        self.player.close()
        self._worker.do(self._close_held, lambda _: None, lambda _: None)
        return self._worker.close()

    # -- private -------------------------------------------------------------------------------------------------------

    def _close_held(self) -> None:
        """Close the open media. Runs in the worker."""
        held, self._held = self._held, None
        if held is not None:
            held.close()

    def _opened(self, waveform: ClipWaveform) -> None:
        opened = waveform.opened
        self.clip, self._waveform = opened, waveform
        self._scans = 0
        self._remix = {}
        self._drawing, self._scanning = False, False
        self.player.load(layers_of(opened, {}), opened.facts.sample_rate, opened.played.length)
        self.opened.emit(opened)
        self.moved.emit(self.playhead)

    def _draw_choice(self) -> None:
        waveform, name = self._waveform, self.player.choice
        if waveform is None or name == self._drawn:
            return
        self._drawn = name
        levels = self._remix if name == REMIX and self._remix else {name: 1.0}
        layers = {layer: level for layer in self._layers if (level := levels.get(layer.name, 0.0)) > 0}
        drawn = None if name == MIX else layers
        self._do(self._serial, lambda: waveform.show_layers(drawn), lambda _: self.layer_drawn.emit(name))

    def _live_layers(self, opened: OpenedClip) -> tuple[Layer, ...]:
        layer = self._live
        if layer is None or layer.live is None:
            return ()
        return (layer,) if (layer.source, layer.live.span) == (opened.clip.source, opened.played) else ()

    def _redraw_changed(self) -> None:
        """Draw a layer again whose sound changes while it is heard."""
        if self.player.choice in (REMIX, self._live.name if self._live is not None else REMIX):
            self._drawn = ""
            self._draw_choice()

    def _draw(self) -> None:
        waveform, wanted, serial = self._waveform, self._wanted, self._serial
        if waveform is None or wanted is None or self.clip is None:
            return
        self._wanted, self._drawing = None, True

        def then(data: WaveformData) -> None:
            self._drawing = False
            self.waveform_ready.emit(data)
            if not self._scanning:  # the shown range comes before the scan
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
        """Run `work` for the clip that was shown as number `serial`; its result is dropped if another is shown."""

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


def _levels_of(amounts: Mapping[str, float]) -> dict[str, float]:
    """Return gains in dB as factors; minus infinity becomes 0."""
    return {name: 10.0 ** (gain_db / 20) for name, gain_db in amounts.items()}


def _measure(layers: tuple[Layer, ...], stems: Mapping[str, StemClip], part: SampleRange) -> dict[str, Loudness]:
    """Return the loudness of each layer, with its peak over the whole file; nothing without stems."""
    if not stems:
        return {}
    reader = LayerReader(layers)
    try:
        levels = {layer.name: reader.loudness(layer.name, part) for layer in layers}
    finally:
        reader.close()
    peaks = sidecar_peaks(stems)
    return {name: replace(level, peak=max(level.peak, peaks.get(name, 0.0))) for name, level in levels.items()}
