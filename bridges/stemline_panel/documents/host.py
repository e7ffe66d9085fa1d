# SPDX-License-Identifier: GPL-3.0-or-later
"""The timeline of a host program as a document."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import platformdirs

from stemline.clips import ClipRange
from stemline.companion.jsonrpc import Unanswered
from stemline.companion.remote import RemoteHost
from stemline.errors import HostError
from stemline.hosts.base import HostCapabilities, RangeToRender, ReadClips, Rendered, Selection
from stemline_panel.documents.base import WholeRuns
from stemline_panel.model.formatting import translate
from stemline_panel.model.queue import AppliedResult
from stemline_panel.model.request import RunOutcome, with_remix_track


class HostDocument(WholeRuns):
    """The timeline of a host program at the other end of a pipe."""

    def __init__(self, connect: Callable[[], RemoteHost]) -> None:
        """Use the host that `connect` returns; it raises HostError when the host has gone."""
        self._connect = connect
        self._capabilities = connect().capabilities
        self._applied: set[str] | None = None
        self._results: dict[str, set[str]] = {}
        """The clips whose stems this panel applied, by the handle of the result."""

    @property
    def key(self) -> str:
        """The name of the host, marked as such."""
        return f"host {self._capabilities.name}"

    @property
    def path(self) -> Path | None:
        """None: the host holds its timeline."""
        return None

    @property
    def label(self) -> str:
        """The name of the host."""
        return self._capabilities.name

    @property
    def apply_label(self) -> str:
        """The label of Apply."""
        return translate("Document", "Apply to {host}").format(host=self._capabilities.name)

    @property
    def default_output(self) -> Path:
        """A folder of the user's, not the cache, because the project depends on these files."""
        return platformdirs.user_videos_path() / "Stemline"

    @property
    def capabilities(self) -> HostCapabilities:
        """The capabilities as of the last read."""
        return self._capabilities

    def read(self) -> ReadClips:
        """Read the selected clips from the host."""
        host = self._connect()
        self._capabilities = host.capabilities
        read = host.read_clips(Selection())
        self._applied = set(read.applied) if read.applied is not None else None
        if read.results is not None:
            self._results = {name: clips for name, clips in self._results.items() if name in read.results}
            self._results.update({name: set() for name in read.results if name not in self._results})
        return read

    def results(self) -> tuple[str, ...] | None:
        """Return the results on the timeline as of the last read and since; None where the host does not say."""
        return tuple(self._results) if self._applied is not None else None

    def applied_clips(self) -> frozenset[str] | None:
        """Return the clips with stems on the timeline as of the last read and since; None if the host does not say."""
        return frozenset(self._applied) if self._applied is not None else None

    def apply(self, outcome: RunOutcome, folder: Path) -> AppliedResult:
        """Have the host add the tracks. Raises HostError; without an answer it says that the tracks may exist."""
        outcome = with_remix_track(outcome, self.capabilities)
        try:
            written = self._connect().write_tracks(outcome.tracks, outcome.options)
        except Unanswered as error:
            names = ", ".join(track.name for track in outcome.tracks)
            text = translate("Document", "{error} The tracks {names} may exist nevertheless.")
            raise HostError(
                text.format(error=error.message, names=names),
                code=error.code,
                advice=translate("Document", "Look at the timeline before you apply again."),
            ) from error
        clips = {clip.clip_id for track in outcome.tracks for clip in track.clips}
        if self._applied is not None:
            self._forget_clips(clips)
            self._applied |= clips
            self._results[written.result] = clips
        return AppliedResult(written.tracks, written.output, written.notes, written.result)

    def take_back(self, applied: AppliedResult) -> tuple[str, ...]:
        """Have the host remove the tracks again."""
        notes = self._connect().remove_result(applied.handle)
        if self._applied is not None and not notes:
            self._applied -= self._results.pop(applied.handle, set())
        return notes

    def take_back_clips(self, clip_ids: Sequence[str]) -> tuple[str, ...]:
        """Have the host remove the stems of some clips. Raises HostError if it cannot."""
        if not self._capabilities.removes_clips:
            return super().take_back_clips(clip_ids)
        notes = self._connect().remove_clips(clip_ids)
        if self._applied is not None and not notes:
            self._forget_clips(set(clip_ids))
            self._applied -= set(clip_ids)
        return notes

    def _forget_clips(self, clip_ids: set[str]) -> None:
        """Take clips out of the results that hold their stems, and forget a result without any."""
        for name, clips in list(self._results.items()):
            if clips and not clips - clip_ids:
                del self._results[name]
            else:
                clips.difference_update(clip_ids)

    def render(self, clip: ClipRange, folder: Path) -> Rendered:
        """Have the host render the clip into `folder`. The rendered clip has the clip's id and track."""
        folder.mkdir(parents=True, exist_ok=True)
        rendered = self._connect().render_range(
            RangeToRender(clip.record_range, str(folder), clip.clip_id, (clip.track,))
        )
        own = dataclasses.replace(rendered.clip, clip_id=clip.clip_id, track=clip.track)
        return Rendered(own, rendered.notes)
