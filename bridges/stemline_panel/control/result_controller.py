# SPDX-License-Identifier: GPL-3.0-or-later
"""The shown result: comparing it with the mix, applying it, taking it back."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from functools import partial

from PyQt5.QtCore import QObject

from stemline.clips import RESIDUAL, StemClip
from stemline.hosts.base import HostCapabilities
from stemline.workflow.derived_tracks import REMIX
from stemline_panel.control.host_controller import HostController
from stemline_panel.control.playback_controller import Comparison, PlaybackController
from stemline_panel.control.run_controller import RunController
from stemline_panel.model.formatting import format_level, format_null
from stemline_panel.model.queue import ItemState, QueueItem
from stemline_panel.model.request import MIX, RunOutcome
from stemline_panel.model.result_text import MAX_MESSAGES, found_texts, result_messages
from stemline_panel.model.session import Session, Verb, describe_apply
from stemline_panel.model.shortcuts import LAYER_KEYS
from stemline_panel.widgets.actions import Handlers
from stemline_panel.widgets.main_window import MainWindow
from stemline_panel.widgets.sounds_view import ResultLine, ResultState, ShownResult


class ResultController(QObject):
    """Shows one result. `shown` is its item, or None."""

    def __init__(
        self,
        session: Session,
        window: MainWindow,
        playback: PlaybackController,
        host: HostController,
        runs: RunController,
    ) -> None:
        """Connect the widgets and the other controllers."""
        super().__init__()
        self._session, self._window, self._playback, self._host, self._runs = session, window, playback, host, runs
        self.shown: QueueItem | None = None
        self._compared_layer = ""
        self._audition_to_play: QueueItem | None = None
        """An audition that just ended; it plays as soon as it can be compared."""
        results = window.results
        results.apply_wanted.connect(self.apply)
        results.replace_wanted.connect(self.replace)
        results.take_back_wanted.connect(self.take_back)
        results.layer_chosen.connect(self.choose)
        window.queue.selected.connect(self.select)
        playback.compared.connect(self._compared)
        runs.finished.connect(self._finished)
        host.applied.connect(self._applied)
        host.taken_back.connect(self._taken_back)

    def actions(self) -> Handlers:
        """Return the handlers of the actions of this controller."""
        layers: Handlers = {f"layer_{number}": partial(self.choose_number, number) for number in LAYER_KEYS}
        own: Handlers = {
            "toggle_ab": self.toggle_ab,
            "take_back": self.take_back,
            "take_back_clips": self.take_back_clips,
            "take_back_all": self.take_back_all,
        }
        return layers | own

    # -- showing -------------------------------------------------------------------------------------------------------

    def select(self, number: int) -> None:
        """Show the result of a run, if it has one."""
        item = self._session.queue.item(number)
        if item is not None and item.outcome is not None and item is not self.shown:
            self.shown = item
            self.compare_again()
            self.refresh()

    def select_for_clip(self) -> None:
        """Show the newest result for the shown clip, unless the shown one is about it, too."""
        clip, shown = self._session.clip, self.shown
        if clip is None or (shown is not None and clip.clip_id in shown.clip_ids):
            return
        for item in reversed(list(self._session.queue)):
            here = item.document_key == self._session.document_key
            if here and item.outcome is not None and not item.request.audition and clip.clip_id in item.clip_ids:
                self.shown = item
                return

    def compare_again(self) -> None:
        """Offer the stems of the shown result for the shown clip."""
        stems = self.shown_stems()
        self._playback.compare(stems, self.shown.remix_gains(stems) if self.shown is not None else {})
        self.show_layers()

    def refresh(self) -> None:
        """Show the result as it is now."""
        item = self.shown
        if item is None or item.outcome is None or self._session.queue.item(item.number) is None:
            self._window.results.show_nothing()
            return
        outcome = item.outcome
        clip_id = self._clip_id(outcome)
        messages = result_messages(outcome, clip_id)
        messages += list(item.applied.notes[:MAX_MESSAGES]) if item.applied else []
        self._window.results.show_result(
            ShownResult(
                self._title(outcome, clip_id),
                self._lines(outcome, clip_id),
                format_null(outcome.result.null.dbfs),
                "\n".join(messages),
                self._state(item),
            )
        )

    def show_layers(self) -> None:
        """Show the layers that can be compared, with their loudness."""
        player = self._playback.player
        tips = [
            self.tr("Hear {layer} ({number})").format(layer=name, number=number)
            + (f": {level}" if (level := self._level(name)) else "")
            for number, name in enumerate(player.layers, 1)
        ]
        self._window.transport.show_layers(player.layers, player.choice, tips)
        self._window.results.show_choice(player.choice)

    def choose(self, name: str) -> None:
        """Play a layer. One other than the mix is what `toggle_ab` compares the mix with from now on."""
        if name != MIX:
            self._compared_layer = name
        self._playback.choose(name)

    def choose_number(self, number: int) -> None:
        """Play the layer with a number, from 1."""
        layers = self._playback.player.layers
        if number <= len(layers):
            self.choose(layers[number - 1])

    def toggle_ab(self) -> None:
        """Switch between the mix and the layer that was compared with it last."""
        layers = self._playback.player.layers
        if len(layers) < 2:
            return
        other = self._compared_layer if self._compared_layer in layers else layers[1]
        self.choose(other if self._playback.player.choice == MIX else MIX)

    def apply_item(self, item: QueueItem) -> bool:
        """Apply a result. Return whether that is possible now."""
        possible = self._state(item).can_apply
        self._apply(item)
        return possible

    def take_back_item(self, item: QueueItem) -> bool:
        """Take back a result. Return whether that is possible now."""
        possible = self._state(item).can_take_back
        if possible:
            self._window.show_progress(self.tr("Taking back…"))
            self._host.take_back(item)
        return possible

    # -- applying and taking back --------------------------------------------------------------------------------------

    def apply(self) -> None:
        """Apply the shown result."""
        self._apply(self.shown)

    def apply_requested(self) -> None:
        """Apply the result of the current request, which the main button is about."""
        self._apply(self._session.finished())

    def replace(self) -> None:
        """Take back the earlier result on the same clips and apply the shown one."""
        item, old = self.shown, self._replaceable(self.shown)
        if item is not None and old is not None:
            self._window.show_progress(self.tr("Replacing…"))
            self._host.replace(old, item, self._session.output_dir)

    def take_back(self) -> None:
        """Take back the shown result."""
        if self.shown is not None:
            self.take_back_item(self.shown)

    def _apply(self, item: QueueItem | None) -> None:
        if item is not None and self._state(item).can_apply:
            self._window.show_progress(self.tr("Applying…"))
            self._host.apply(item, self._session.output_dir)

    def _state(self, item: QueueItem) -> ResultState:
        capabilities, outcome, document = self._session.host, item.outcome, self._host.document
        can_apply = item.applied is None and not item.request.audition and outcome is not None
        open_here = document is not None and item.document_key == document.key
        ready = open_here and not self._host.busy and not self._host.lost
        return ResultState(
            self._session.apply_label,
            can_apply=can_apply and ready,
            can_replace=can_apply and ready and self._replaceable(item) is not None,
            can_take_back=item.applied is not None and ready and _can_take_back(item, capabilities),
            consequence=self._consequence(item) if can_apply else "",
        )

    def _consequence(self, item: QueueItem) -> str:
        session = self._session
        return describe_apply(item, session.host, session.output_dir, session.applied_tracks)

    def _replaceable(self, item: QueueItem | None) -> QueueItem | None:
        """Return the applied run on some of the same clips, which a new result would replace."""
        if item is None or self._session.grows or self._session.host.removes_clips:
            return None  # there Apply replaces the stems of the same clips
        for other in reversed(list(self._session.queue)):
            if (
                other is not item
                and other.document_key == item.document_key
                and other.applied is not None
                and _can_take_back(other, self._session.host)
                and item.clip_ids & other.clip_ids
            ):
                return other
        return None

    # -- signals of other controllers ----------------------------------------------------------------------------------

    def _finished(self, item: QueueItem) -> None:
        if item.restored and self.shown is not None:
            return
        self.shown = item
        self._audition_to_play = item if item.request.audition else None
        self._window.queue.select(item.number)
        self.compare_again()
        self.refresh()

    def _compared(self, comparison: Comparison) -> None:
        self.show_layers()
        self.refresh()
        if comparison.stems != self.shown_stems():
            return
        wanted, self._audition_to_play = self._audition_to_play, None
        if wanted is not None and wanted is self.shown and comparison.stems:
            self.choose(self._layer_of_audition(wanted, comparison))
            self._playback.play_part(comparison.part)

    def _layer_of_audition(self, item: QueueItem, comparison: Comparison) -> str:
        """Return what an audition plays first: with a fill what would play when it is applied."""
        if item.request.settings.replace and REMIX in self._playback.player.layers:
            return REMIX
        return RESIDUAL if self._session.verb is Verb.REMOVE else next(iter(comparison.stems))

    def _applied(self, item: QueueItem) -> None:
        applied = item.applied
        if applied is not None:
            text = self.tr("Applied {tracks} to {file}.") if applied.output else self.tr("Applied {tracks}.")
            text = text.format(tracks=", ".join(applied.tracks), file=applied.output)
            self._window.show_status(" ".join([text, *applied.notes]))
        self.save()

    def _taken_back(self, item: QueueItem, notes: tuple[str, ...]) -> None:
        self._window.show_status(" ".join([self.tr("The stems were taken back."), *notes]))
        self.save()

    def take_back_clips(self) -> None:
        """Take back the stems of the selected clips, or of the shown one."""
        ids = self._session.chosen_ids or ((self._session.clip.clip_id,) if self._session.clip else ())
        self._take_back_clips(set(ids))

    def take_back_all(self) -> None:
        """Take back the stems of all clips."""
        self._take_back_clips(self._session.applied_clips or set())

    def _take_back_clips(self, ids: Collection[str]) -> None:
        applied = sorted((self._session.applied_clips or frozenset()) & set(ids))
        if applied and not self._host.busy:
            self._window.show_progress(self.tr("Taking back…"))
            self._host.take_back_clips(applied)
        elif not applied:
            self._window.show_status(self.tr("These clips have no applied stems."))

    def save(self) -> None:
        """Store the amounts and what is applied for the next panel."""
        self._runs.save_journal()
        self._runs.changed.emit()

    # -- text ----------------------------------------------------------------------------------------------------------

    def shown_stems(self) -> dict[str, StemClip]:
        """Return the stems of the shown result for the shown clip.

        The clip's id alone isn't enough: its source may have changed since.
        """
        clip, item = self._session.clip, self.shown
        if clip is None or item is None or item.state is not ItemState.DONE or item.outcome is None:
            return {}
        sources = {asked.source for asked in item.request.clips if asked.clip_id == clip.clip_id}
        if item.document_key != self._session.document_key or clip.source not in sources:
            return {}
        return item.outcome.stem_clips(clip.clip_id)

    def _clip_id(self, outcome: RunOutcome) -> str:
        """Return the id of the clip whose result is shown: the shown clip, or else the first of the run."""
        stems = self.shown_stems()
        return next(iter(stems.values())).clip_id if stems else outcome.request.clips[0].clip_id

    def _title(self, outcome: RunOutcome, clip_id: str) -> str:
        """Return the title of the run; of a run on several clips with the name of the one whose result is shown."""
        title = outcome.request.title
        if len(outcome.request.clips) == 1:
            return title
        name = next((clip.name for clip in outcome.request.clips if clip.clip_id == clip_id), "")
        return f"{title}: {name}"

    def _lines(self, outcome: RunOutcome, clip_id: str) -> list[ResultLine]:
        stems = outcome.stem_clips(clip_id)
        found = found_texts(outcome.result, clip_id)
        with_fader = {*(stem.name for stem in outcome.stems), RESIDUAL} if REMIX not in stems else set()
        lines = []
        for name, stem in stems.items():
            line = ResultLine(name, found.get(name, ""), self._level(name), stem.path)
            if self.shown is not None:
                line = replace(line, take_plays=self.shown.take_plays(name))
            if name in with_fader and self.shown is not None:
                line = replace(line, amount_db=self.shown.amount(name), default_db=self.shown.default_amount(name))
            lines.append(line)
        return lines

    def _level(self, name: str) -> str:
        level = self._playback.levels.get(name)
        return format_level(level.lufs, level.silent) if level is not None else ""


def _can_take_back(item: QueueItem, host: HostCapabilities) -> bool:
    """Return whether a result can be taken back: it is in files, or the host can remove it and gave a handle."""
    applied = item.applied
    return applied is not None and (bool(applied.files) or (host.removes_results and bool(applied.handle)))
