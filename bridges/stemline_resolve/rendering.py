"""Sound that no single file holds (compound clips, multicams, other speeds), rendered by Resolve as it is heard.

Rendering switches tracks off, moves to the Deliver page and loads a render preset. All of it is restored, whatever
happens.
"""

from __future__ import annotations

import hashlib
import math
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

from stemline_bridge import HostError
from stemline_bridge.files import put_in_place
from stemline_bridge.timeline import round_half_up
from stemline_bridge.wav import read_head

from .api import CallHung, Remote, with_more
from .document import OpenTimeline, PlacedItem

_PRESET = "Audio Only"
_USERS_SETTINGS = "Stemline keeps your render settings"
_SAMPLE_RATE = 48000
_MARKS_UNKNOWN = (
    "Scripts can't read the in and out marks in this Resolve: rendering may have changed them. Set them again where "
    "you need them."
)
_POLL_S = 0.1
_LONGEST_S = 7200.0


class Stretch(NamedTuple):
    """Part of a timeline: audio tracks, and frames of the timeline, half-open.

    `clips` are ids of items on them that sound even where they are disabled.
    """

    tracks: Sequence[int]
    start: Fraction
    end: Fraction
    clips: Sequence[str] = ()


class RenderedFile(NamedTuple):
    """The rendered file.

    `start` is where the stretch begins in it, in exact seconds. `notes` say what could not be restored.
    """

    path: Path
    start: Fraction
    notes: list[str]


class NotRestored(HostError):
    """A render failed, and not everything it had changed could be restored."""

    def __init__(self, failure: Exception, note: str) -> None:
        """Add `note`, which says what was not restored, to the failure."""
        error = with_more(failure, note)
        super().__init__(str(error), error.code, error.advice)


def render(
    document: OpenTimeline, stretch: Stretch, folder: Path, name: str, given_up: Callable[[], bool] = lambda: False
) -> RenderedFile:
    """Render the sound of `stretch` into `folder`. The same sound gets the same file.

    Raises:
        HostError: Resolve could not render it.
        NotRestored: It could not, and the project is not as it was.
    """
    first, last = math.floor(stretch.start), math.ceil(stretch.end)
    folder.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".render-", dir=str(folder)))
    try:
        with _State(document) as state:
            state.solo(stretch.tracks)
            state.wake(stretch)
            made = _rendered_file(state, (first, last), scratch, given_up)
            path = folder / f"{name}_{_digest(made)}{made.suffix}"
            if not path.exists():  # else it has the same sound, and a player may have it open
                put_in_place(made, path, durable=True)
    finally:
        shutil.rmtree(str(scratch), ignore_errors=True)
    return RenderedFile(path, (stretch.start - first) / document.rate, state.notes)


class _State:
    """What rendering changes in the project, recorded before and restored at the end of the `with` block.

    `notes` say what could not be restored; the error of a block that failed says it too.
    """

    def __init__(self, document: OpenTimeline) -> None:
        self.document = document
        self.notes: list[str] = []
        self._page = document.resolve.GetCurrentPage()
        timeline = document.timeline
        self._enabled = {track: bool(timeline.GetIsTrackEnabled("audio", track)) for track in document.audio_tracks()}
        self._marks = dict(timeline.GetMarkInOut() or {}) if "GetMarkInOut" in timeline else None
        self._switched: list[int] = []
        self._woken: list[str] = []
        self._jobs: list[str] = []
        self._settings_changed = self._settings_kept = self._left_page = False

    def __enter__(self) -> _State:
        return self

    def __exit__(self, kind: object, failure: BaseException | None, trace: object) -> None:
        if failure is not None:
            with suppress(HostError):  # without a new connection every step fails and is reported
                self.document = self.document.refreshed()
        left = self._restore()
        if left:
            self.notes.append(f"Could not be restored: {', '.join(left)}.")
        if self._marks is None and self._left_page:
            self.notes.append(_MARKS_UNKNOWN)
        if self.notes and isinstance(failure, Exception):
            ends_reading = bool(left) or isinstance(failure, CallHung)
            error = NotRestored if ends_reading else with_more
            raise error(failure, " ".join(self.notes)) from failure

    def solo(self, tracks: Sequence[int]) -> None:
        """Switch other tracks off, open the Deliver page and load the preset for audio alone. Raises HostError."""
        resolve, project, timeline = self.document.resolve, self.document.project, self.document.timeline
        if project.IsRenderingInProgress():  # the user's own render
            raise HostError("Resolve is rendering.", "HOST_BUSY", "Wait until it has ended, then try again.")
        self._left_page = True
        if not resolve.OpenPage("deliver") or resolve.GetCurrentPage() != "deliver":
            raise HostError("Resolve's Deliver page does not open.", "HOST_BUSY", "Close any dialog in Resolve.")
        project.DeleteRenderPreset(_USERS_SETTINGS)  # left by a render during which Resolve quit
        self._settings_kept = project.SaveAsNewRenderPreset(_USERS_SETTINGS) is True
        for track in self._enabled:
            self._switched.append(track)
            timeline.SetTrackEnable("audio", track, track in tracks)
            if bool(timeline.GetIsTrackEnabled("audio", track)) != (track in tracks):
                raise HostError(f"Track A{track} cannot be switched on or off.", "HOST_FAILED", "Unlock it.")
        self._settings_changed = True
        if not project.LoadRenderPreset(_PRESET):
            raise HostError(
                f"Resolve has no render preset {_PRESET!r}.", "HOST_UNSUPPORTED", "Render the clip in place in Resolve."
            )

    def wake(self, stretch: Stretch) -> None:
        """Enable the clips of `stretch`. Raises HostError."""
        for placed in self._items(stretch.clips):
            if not placed.item.GetClipEnabled():
                self._woken.append(str(placed.item.GetUniqueId()))
                placed.item.SetClipEnabled(True)
                if not placed.item.GetClipEnabled():
                    raise HostError("The clip is disabled and cannot be enabled.", "HOST_FAILED", "Unlock its track.")

    def start_job(self) -> str:
        """Queue a render with the present settings and start it. Raises HostError."""
        project = self.document.project
        job = project.AddRenderJob()
        if not job:
            raise HostError("Resolve did not take the render job.", "HOST_FAILED", "Close any dialog in Resolve.")
        self._jobs.append(str(job))
        if not project.StartRendering(job):
            raise HostError("Resolve did not start to render.", "HOST_FAILED", "Stop other renders in Resolve.")
        return str(job)

    def _restore(self) -> list[str]:
        """Restore every part, whether or not another fails. Returns the names of those that could not be."""
        steps: list[tuple[str, Callable[[], bool]]] = [("the render queue", self._restore_queue)]
        if self._settings_kept or self._settings_changed:
            steps.append(("your render settings", self._restore_settings))
        if self._woken:
            steps.append(("a disabled clip", self._restore_clips))
        steps += [(f"track A{track}", self._restore_track(track)) for track in self._switched]
        if self._marks is not None:
            steps.append(("the in and out marks", self._restore_marks))
        steps.append((f"the {self._page} page", self._restore_page))
        return [what for what, step in steps if not _done(step)]

    def _restore_queue(self) -> bool:
        project = self.document.project
        if self._jobs and project.IsRenderingInProgress():
            project.StopRendering()
        deleted = [bool(project.DeleteRenderJob(job)) for job in self._jobs]
        return all(deleted)

    def _restore_settings(self) -> bool:
        project = self.document.project
        if not self._settings_kept:
            return False
        loaded = bool(project.LoadRenderPreset(_USERS_SETTINGS))
        return bool(project.DeleteRenderPreset(_USERS_SETTINGS)) and loaded

    def _restore_clips(self) -> bool:
        woken = self._items(self._woken)
        for placed in woken:
            placed.item.SetClipEnabled(False)
        return not any(placed.item.GetClipEnabled() for placed in woken)

    def _items(self, ids: Sequence[str]) -> list[PlacedItem]:
        document = self.document
        found = (placed for track in document.audio_tracks() for placed in document.items(track)) if ids else ()
        return [placed for placed in found if placed.item.GetUniqueId() in ids]

    def _restore_track(self, track: int) -> Callable[[], bool]:
        def step() -> bool:
            timeline, on = self.document.timeline, self._enabled[track]
            timeline.SetTrackEnable("audio", track, on)
            return bool(timeline.GetIsTrackEnabled("audio", track)) == on

        return step

    def _restore_page(self) -> bool:
        return self._page is None or bool(self.document.resolve.OpenPage(self._page))

    def _restore_marks(self) -> bool:
        timeline, wanted = self.document.timeline, self._marks or {}
        if (timeline.GetMarkInOut() or {}) != wanted:
            timeline.ClearMarkInOut("all")
            for kind, marks in wanted.items():
                if "in" in marks and "out" in marks:
                    timeline.SetMarkInOut(marks["in"], marks["out"], kind)
        return bool((timeline.GetMarkInOut() or {}) == wanted)


def _done(step: Callable[[], bool]) -> bool:
    try:
        return step()
    except HostError:
        return False


def _rendered_file(state: _State, frames: tuple[int, int], folder: Path, given_up: Callable[[], bool]) -> Path:
    """Return the file with the sound of `frames` (half-open).

    Whether Resolve includes the last frame shows in the length of the file.
    """
    needed = round_half_up((frames[1] - frames[0]) / state.document.rate * _SAMPLE_RATE)
    for last in (frames[1] - 1, frames[1]):
        path = _run_job(state, (frames[0], last), folder, given_up)
        if path.suffix.lower() != ".wav":
            raise HostError(
                f"Resolve's preset {_PRESET!r} made a {path.suffix} file, not a WAV.",
                "HOST_UNSUPPORTED",
                "Render the clip in place in Resolve.",
            )
        if read_head(path).length_samples >= needed - 1:
            return path
        path.unlink()
    raise HostError(
        "Resolve rendered less than the whole range.", "HOST_FAILED", "Render the clip in place in Resolve."
    )


def _run_job(state: _State, marks: tuple[int, int], folder: Path, given_up: Callable[[], bool]) -> Path:
    project = state.document.project
    settings: dict[str, Any] = {
        "SelectAllFrames": False,
        "MarkIn": marks[0],
        "MarkOut": marks[1],
        "TargetDir": str(folder),
        "CustomName": "sound",
        "ExportVideo": False,
        "ExportAudio": True,
        "AudioBitDepth": 24,
        "AudioSampleRate": _SAMPLE_RATE,
    }
    if not project.SetRenderSettings(settings):
        raise HostError(
            "Resolve refused the settings for rendering audio.", "HOST_FAILED", "Close any dialog in Resolve."
        )
    job = state.start_job()
    _wait(project, job, given_up)
    made = [path for path in folder.iterdir() if path.is_file()]
    if len(made) != 1:  # the job list has its name too, but may lag
        raise HostError("Resolve rendered nothing.", "HOST_FAILED", "Check the render queue in Resolve.")
    return made[0]


def _wait(project: Remote, job: str, given_up: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _LONGEST_S
    while project.IsRenderingInProgress():
        if given_up() or time.monotonic() > deadline:
            project.StopRendering()
            raise HostError("The render was stopped.", "CANCELLED")
        time.sleep(_POLL_S)
    status = project.GetRenderJobStatus(job) or {}
    if str(status.get("JobStatus", "Complete")).lower() not in ("complete", "completed"):
        raise HostError(
            f"Resolve could not render the audio ({status.get('Error') or status.get('JobStatus')}).",
            "HOST_FAILED",
            "Render the clip in place in Resolve.",
        )


def _digest(path: Path) -> str:
    """Return a digest of the samples alone: Resolve writes the time of day into its files."""
    head, digest = read_head(path), hashlib.sha256()
    with path.open("rb") as file:
        file.seek(head.data_at)
        left = head.length_samples * head.frame_bytes
        while left:
            block = file.read(min(left, 1 << 20))
            if not block:
                break
            digest.update(block)
            left -= len(block)
    return digest.hexdigest()[:12]
