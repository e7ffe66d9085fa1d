# SPDX-License-Identifier: GPL-3.0-or-later
"""Hearing a run while it is computed: a stem of the shown clip plays from the playhead on as its blocks arrive."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from PyQt5.QtCore import QObject, pyqtSignal

from stemline.api.blocks import Block
from stemline.clips import RESIDUAL, ClipRange
from stemline.errors import OutputError
from stemline_panel.control.playback_controller import PlaybackController
from stemline_panel.model.queue import ItemState, QueueItem
from stemline_panel.model.request import Listening
from stemline_panel.model.session import Session, Verb
from stemline_panel.sound.layers import Layer
from stemline_panel.sound.live_sound import LiveSound
from stemline_panel.sound.opened_clip import OpenedClip

LIVE_FROM_S = 15
"""A run on a shorter clip ends about as soon as its first sound is ready."""


@dataclass(slots=True, eq=False)
class _LiveRun:
    """A run that is heard, and the layer that its blocks fill. `is_shown` is set with the first of them."""

    item: QueueItem
    clip: OpenedClip
    layer: Layer
    sound: LiveSound
    arrived: Callable[[int, int], None]
    is_shown: bool = False
    has_sound: bool = False

    def take(self, block: Block) -> bool:
        """Take a block; called in the thread of the blocks. Return False if no later one is of the clip."""
        span, end = self.sound.span, block.start_sample + block.samples.shape[1]
        if block.media != self.layer.source.path or block.start_sample >= span.end_sample or end <= span.start_sample:
            return not self.has_sound or len(self.item.request.clips) == 1
        if block.stem != self.layer.name:
            return True
        self.has_sound = self.sound.write(block.start_sample, block.samples)
        if self.has_sound:
            self.arrived(block.start_sample, end)
        return self.has_sound


class LiveController(QObject):
    """Plays runs while they are computed. `changed` is emitted when a live layer is added or removed."""

    changed = pyqtSignal()
    _arrived = pyqtSignal(object, object, object)

    def __init__(self, session: Session, playback: PlaybackController) -> None:
        """Start without a run."""
        super().__init__()
        self._session, self._playback = session, playback
        self._runs: dict[int, _LiveRun] = {}
        self._ended: list[LiveSound] = []
        self._arrived.connect(self._show)

    def listen(self, item: QueueItem) -> Listening | None:
        """Return how a run that starts now is heard: from the playhead on, if it is about the shown clip."""
        opened = self._playback.clip
        asked = _asked_clip(item, opened)
        is_here = item.document_key == self._session.document_key and not item.restored and not item.request.audition
        if opened is None or asked is None or not is_here:
            return None
        near = self._playback.playhead
        if asked.record_range.duration < LIVE_FROM_S:
            return Listening(near)
        try:
            sound = LiveSound(opened.played)
        except OutputError:  # it is heard when it is finished, or the run says that there is no room
            return Listening(near)
        layer = Layer(self._heard_stem(item), opened.clip.source, opened.played.start_sample, sound)
        number = item.number
        run = _LiveRun(item, opened, layer, sound, lambda start, end: self._arrived.emit(number, start, end))
        self._runs[number] = run
        return Listening(near, run.take)

    def leave(self, item: QueueItem) -> None:
        """Remove the layer of a finished run, whose files take its place."""
        run = self._runs.pop(item.number, None)
        if run is not None:
            self._playback.remove_live(run.layer)
            self._ended.append(run.sound)

    def close_ended(self) -> None:
        """Close the sound of finished runs. Called when their files have taken its place."""
        while self._ended:
            self._ended.pop().close()

    def leave_stopped(self) -> None:
        """Remove the layers of runs that failed or were stopped, and pause if one of them is heard."""
        for run in list(self._runs.values()):
            if run.item.state.ended and run.item.state is not ItemState.DONE:
                if run.is_shown and self._playback.player.choice == run.layer.name:
                    self._playback.pause()
                self.leave(run.item)
                self.changed.emit()
        if not self._runs:
            self.close_ended()

    def close(self) -> bool:
        """Close the sound of all runs. Return True."""
        for run in list(self._runs.values()):
            self.leave(run.item)
        self.close_ended()
        return True

    def _heard_stem(self, item: QueueItem) -> str:
        """Return the name of the sound that is heard: the residual, or the stem that is edited, or the first."""
        names = [stem.name for stem in item.request.stems]
        if item.request.settings.play == Verb.REMOVE.value:
            return RESIDUAL
        current = self._session.stems.name_of(self._session.stems.current_index)
        return current if current in names else names[0]

    def _show(self, number: int, start_sample: int, end_sample: int) -> None:
        """Show what arrived of a run. The first of it plays unless something else does."""
        run, playback = self._runs.get(number), self._playback
        if run is None or run.item.state.ended:
            return
        if run.is_shown:
            playback.redraw_live()
            return
        run.is_shown = True
        playback.add_live(run.layer)
        self.changed.emit()
        opened = playback.clip
        if opened is None or opened.clip != run.clip.clip or playback.player.playing:
            return
        if not start_sample <= opened.sample_at(playback.playhead) < end_sample:
            playback.seek(opened.time_of(max(start_sample, opened.played.start_sample)))
        playback.choose(run.layer.name)
        playback.toggle(None, loop=False)


def _asked_clip(item: QueueItem, opened: OpenedClip | None) -> ClipRange | None:
    """Return the clip of a run that is open; None if its blocks cannot be told from those of other channels."""
    if opened is None:
        return None
    source = opened.clip.source
    clips = [clip for clip in item.request.clips if clip.source.path == source.path]
    if any(clip.source != source for clip in clips):
        return None
    return next((clip for clip in clips if clip.clip_id == opened.clip.clip_id), None)
