# SPDX-License-Identifier: GPL-3.0-or-later
"""The remix of the shown result: faders, solo, mute, and which take of a fill plays."""

from __future__ import annotations

import math
from collections.abc import Mapping

from PyQt5.QtCore import QObject, pyqtSignal

from stemline.workflow.derived_tracks import REMIX
from stemline_panel.control.playback_controller import PlaybackController
from stemline_panel.control.result_controller import ResultController
from stemline_panel.control.run_controller import RunController
from stemline_panel.widgets.layout import single_shot_timer
from stemline_panel.widgets.main_window import MainWindow

_SAVE_MS = 300


class RemixController(QObject):
    """Sets the gains of the shown result, and plays what they change.

    `changing` and `changed` are emitted before and after the user changes a gain or a take.
    """

    changing = pyqtSignal()
    changed = pyqtSignal()

    def __init__(
        self, window: MainWindow, playback: PlaybackController, results: ResultController, runs: RunController
    ) -> None:
        """Connect the strips of the sounds."""
        super().__init__()
        self._playback, self._results, self._runs = playback, results, runs
        self._before_mute: dict[str, float] = {}
        sounds = window.results
        sounds.amount_changed.connect(self.set_amount)
        sounds.solo_toggled.connect(self.solo)
        sounds.mute_toggled.connect(self.mute)
        sounds.take_chosen.connect(self.choose_take)
        self._save_timer = single_shot_timer(self, _SAVE_MS)
        self._save_timer.timeout.connect(results.save)

    def close(self) -> None:
        """Stop the timer, which would outlive the window."""
        self._save_timer.stop()

    def set_amount(self, name: str, amount_db: float) -> None:
        """Set the gain in dB of a sound in the remix, and play the remix."""
        item = self._results.shown
        if item is not None:
            self.changing.emit()
            item.set_amount(name, amount_db)
            self._play()

    def solo(self, name: str, on: bool) -> None:
        """Hear one sound alone, or the remix again."""
        self._results.choose(name if on or REMIX not in self._playback.player.layers else REMIX)
        self._results.show_layers()

    def mute(self, name: str, on: bool) -> None:
        """Take a sound out of the remix, or put it back at the gain that it had."""
        item = self._results.shown
        if item is None:
            return
        if on:
            self._before_mute[name] = item.amount(name)
            self.set_amount(name, -math.inf)
        else:
            before = self._before_mute.pop(name, 0.0)
            self.set_amount(name, before if before > -math.inf else 0.0)
        self._results.refresh()

    def choose_take(self, name: str) -> None:
        """Play one take of a fill, by the name of its track, in the place of the sound. Apply enables its track."""
        item = self._results.shown
        if item is not None and item.take_plays(name) is False:
            self.changing.emit()
            item.choose_take(name)
            self._play()
        self._results.refresh()

    def restore(self, amounts: Mapping[str, float]) -> None:
        """Set the gains of the shown result to those of an earlier state."""
        item = self._results.shown
        if item is not None:
            item.amounts = dict(amounts)
            self._playback.set_amounts(item.remix_gains(self._results.shown_stems()))
            self._results.refresh()
            self._save_timer.start()

    def _play(self) -> None:
        item = self._results.shown
        if item is not None:
            self._playback.set_amounts(item.remix_gains(self._results.shown_stems()))
            if self._playback.player.choice != REMIX and REMIX in self._playback.player.layers:
                self._results.choose(REMIX)
            self._save_timer.start()
            self.changed.emit()
