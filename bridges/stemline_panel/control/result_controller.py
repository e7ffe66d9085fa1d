# SPDX-License-Identifier: GPL-3.0-or-later
"""The shown result: comparing it with the mix, putting it in, taking it out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from PyQt5.QtCore import QObject

from stemline.clips import RESIDUAL, StemClip
from stemline.hosts.base import HostCapabilities
from stemline_panel.control.host_controller import HostController
from stemline_panel.control.playback_controller import Comparison, PlaybackController
from stemline_panel.control.run_controller import RunController
from stemline_panel.model.formatting import format_level, format_null
from stemline_panel.model.queue import ItemState, QueueItem
from stemline_panel.model.request import MIX, RunOutcome
from stemline_panel.model.session import Session, Verb, describe_apply
from stemline_panel.widgets.main_window import MainWindow
from stemline_panel.widgets.results_view import ResultLine, ResultState

_NOTICES = 3


class ResultController(QObject):
    """`shown` is the item whose result stands in the window."""

    def __init__(
        self,
        session: Session,
        window: MainWindow,
        sound: PlaybackController,
        hosts: HostController,
        runs: RunController,
    ) -> None:
        super().__init__()
        self._session, self._window, self._playback, self._hosts, self._runs = session, window, sound, hosts, runs
        self.shown: QueueItem | None = None
        self._other = ""
        self._audition_to_play: QueueItem | None = None
        """An audition that has just ended: it is played as soon as it can be compared."""
        results = window.results
        results.apply_wanted.connect(self.apply)
        results.replace_wanted.connect(self.replace)
        results.take_back_wanted.connect(self.take_back)
        results.layer_chosen.connect(self.choose)
        window.queue.selected.connect(self.select)
        sound.compared.connect(self._compared)
        runs.finished.connect(self._finished)
        hosts.applied.connect(self._applied)
        hosts.taken_back.connect(self._removed)

    # -- what is shown -------------------------------------------------------------------------------------------------

    def select(self, number: int) -> None:
        item = self._session.queue.item(number)
        if item is not None and item.outcome is not None and item is not self.shown:
            self.shown = item
            self.compare_again()
            self.refresh()

    def compare_again(self) -> None:
        """Offers the shown result's sounds of the shown clip."""
        self._playback.compare(self._stems())
        self.show_layers()

    def refresh(self) -> None:
        item = self.shown
        if item is None or item.outcome is None or self._session.queue.item(item.number) is None:
            self._window.results.show_nothing()
            return
        outcome = item.outcome
        notices = _once(f"{notice.stem}: {notice.message}" for notice in outcome.result.notices)
        notices += _once(f"{failure.clip}: {failure.sentence}" for failure in outcome.result.failed)
        notices += list(item.applied.notes[:_NOTICES]) if item.applied else []
        self._window.results.show_result(
            outcome.request.title,
            self._lines(outcome),
            format_null(outcome.result.null.dbfs),
            "\n".join(notices),
            self._state(item),
        )

    def show_layers(self) -> None:
        player, levels = self._playback.player, self._playback.levels
        tips = [
            f"Hear the {name} ({number})"
            + (f": {format_level(levels[name].lufs, levels[name].silent)}" if name in levels else "")
            for number, name in enumerate(player.layers, 1)
        ]
        self._window.transport.show_layers(player.layers, player.choice, tips)

    def choose(self, name: str) -> None:
        """Hears a sound. What is not the mix is what the mix is compared with from here on."""
        if name != MIX:
            self._other = name
        self._playback.choose(name)

    def choose_number(self, number: int) -> None:
        takes = self._playback.player.layers
        if number <= len(takes):
            self.choose(takes[number - 1])

    def toggle_ab(self) -> None:
        """Between the mix and what was compared with it last."""
        takes = self._playback.player.layers
        if len(takes) < 2:
            return
        other = self._other if self._other in takes else takes[1]
        self.choose(other if self._playback.player.choice == MIX else MIX)

    # -- putting in and taking out -------------------------------------------------------------------------------------

    def apply(self) -> None:
        """The result that is shown."""
        self._apply(self.shown)

    def apply_asked(self) -> None:
        """The result of what is asked for now, which the big button is about."""
        self._apply(self._session.finished())

    def _apply(self, item: QueueItem | None) -> None:
        if item is not None and self._state(item).can_apply:
            self._window.show_status("Applying …")
            self._hosts.apply(item, self._session.output_dir)

    def replace(self) -> None:
        item, old = self.shown, self._earlier(self.shown)
        if item is not None and old is not None:
            self._window.show_status("Replacing …")
            self._hosts.replace(old, item, self._session.output_dir)

    def take_back(self) -> None:
        item = self.shown
        if item is not None and self._state(item).can_take_back:
            self._window.show_status("Removing …")
            self._hosts.take_back(item)

    def _state(self, item: QueueItem) -> ResultState:
        host, outcome = self._session.host, item.outcome
        can_apply = item.applied is None and not item.request.audition and outcome is not None
        there = self._hosts.document is not None and item.document_key == self._hosts.document.key
        here = there and not self._hosts.busy and not self._hosts.lost
        return ResultState(
            self._session.apply_label,
            can_apply=can_apply and here,
            can_replace=can_apply and here and self._earlier(item) is not None,
            can_take_back=item.applied is not None and here and _removable(item, host),
            will=describe_apply(item.request, host, self._session.output_dir),
        )

    def _earlier(self, item: QueueItem | None) -> QueueItem | None:
        """The applied run on some of the same clips, which a new one would replace."""
        if item is None:
            return None
        clips = {clip.clip_id for clip in item.request.clips}
        for other in reversed(list(self._session.queue)):
            removable = other.applied is not None and _removable(other, self._session.host)
            if (
                other is not item
                and other.document_key == item.document_key
                and removable
                and clips & {clip.clip_id for clip in other.request.clips}
            ):
                return other
        return None

    # -- what comes back -----------------------------------------------------------------------------------------------

    def _finished(self, item: QueueItem) -> None:
        if item.restored and self.shown is not None:
            return
        self.shown = item
        self._audition_to_play = item if item.request.audition else None
        self._window.queue.select(item.number)
        self.compare_again()
        self.refresh()

    def _compared(self, compared: Comparison) -> None:
        self.show_layers()
        self.refresh()
        if compared.stems != self._stems():
            return
        wanted, self._audition_to_play = self._audition_to_play, None
        if wanted is not None and wanted is self.shown and compared.stems:
            self.choose(RESIDUAL if self._session.verb is Verb.REMOVE else next(iter(compared.stems)))
            self._playback.play_part(compared.part)

    def _applied(self, item: QueueItem) -> None:
        applied = item.applied
        if applied is not None:
            where = f" in {applied.output}" if applied.output else ""
            self._window.show_status(f"Applied: {', '.join(applied.tracks)}{where}. {' '.join(applied.notes)}")
        self._after()

    def _removed(self, item: QueueItem, notes: tuple[str, ...]) -> None:
        self._window.show_status(f"Removed. {' '.join(notes)}")
        self._after()

    def _after(self) -> None:
        self._runs.save_journal()
        self._runs.changed.emit()

    # -- inside --------------------------------------------------------------------------------------------------------

    def _stems(self) -> dict[str, StemClip]:
        """The shown result's, where it was made of the sound that is shown: a clip's id alone does not tell."""
        clip, item = self._session.clip, self.shown
        if clip is None or item is None or item.state is not ItemState.DONE or item.outcome is None:
            return {}
        made_of = {asked.source for asked in item.request.clips if asked.clip_id == clip.clip_id}
        if item.document_key != self._session.document_key or clip.source not in made_of:
            return {}
        return item.outcome.stem_clips(clip.clip_id)

    def _lines(self, outcome: RunOutcome) -> list[ResultLine]:
        stems = self._stems() or (outcome.stem_clips(outcome.request.clips[0].clip_id))
        clip_id = next(iter(stems.values())).clip_id if stems else ""
        found = {
            stem.stem: (
                f"{stem.matched or stem.prompt or 'marked'}, {stem.confidence:.0%}" if stem.found else "not heard"
            )
            for clip in outcome.result.clips
            if clip.clip_id == clip_id
            for stem in clip.stems
        }
        return [
            ResultLine(name, found.get(name, "what is left"), self._level(name), stem.path)
            for name, stem in stems.items()
        ]

    def _level(self, name: str) -> str:
        level = self._playback.levels.get(name)
        return format_level(level.lufs, level.silent) if level is not None else ""


def _once(notices: Iterable[str]) -> list[str]:
    """The first few that differ, each with how often it stands for another clip."""
    counted = Counter(notices)
    return [words if count == 1 else f"{words} ({count} clips)" for words, count in counted.items()][:_NOTICES]


def _removable(item: QueueItem, host: HostCapabilities) -> bool:
    """Files that we wrote can be deleted; tracks by a host that offers it and gave a handle."""
    applied = item.applied
    return applied is not None and (bool(applied.files) or (host.removes_results and bool(applied.handle)))
