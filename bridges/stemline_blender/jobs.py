"""One separation, from its button press to its result."""

from __future__ import annotations

import contextlib
import uuid
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import bpy

from . import compat, rendering
from .link import HostError, from_exact, to_exact
from .reading import StripSelection, clip_of, track_name
from .strips import playing_rate

_NAME_BYTES = 30  # stem files take 48 bytes of the media's name: this leaves room for the tag
RENDERING, QUEUED, RUNNING, DONE, FAILED = "rendering", "queued", "running", "done", "failed"


@dataclass(frozen=True)
class HeardSound:
    """A sound that is heard in the strips of the last listening, and where: exact seconds of the sequence."""

    sound: str
    likelihood: float
    spans: tuple[tuple[Fraction, Fraction], ...]


@dataclass
class SeparationJob:
    """A run of the companion: a separation, or with `method` "suggest" listening to the strips.

    `document` counts the files that were opened in this Blender.
    """

    title: str
    reading: StripSelection
    params: dict[str, Any]
    document: int
    file: str
    scene_pointer: int
    method: str = "separate"
    tag: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    state: str = RENDERING
    stage: str = ""
    fraction: float = 0.0
    run: str = ""
    cancelled: bool = False
    messages: list[str] = field(default_factory=list)
    result: dict[str, Any] = field(default_factory=dict)
    render: rendering.BackgroundRender | None = None
    files: dict[str, Path] = field(default_factory=dict)  # rendered files, by the end of their names

    @property
    def ended(self) -> bool:
        """Whether it is done or has failed."""
        return self.state in (DONE, FAILED)

    def start_rendering(self, scene: Any, holder: Any, folder: Path) -> None:
        """Start to render every strip that needs it.

        Without such strips the job is ready for the companion at once.
        """
        waiting = [pick for pick in self.reading.picks if pick.render_reason]
        ranges = [self._range(pick, scene, holder, folder) for pick in waiting]
        if ranges:
            self.stage = "rendering in Blender"
            self.render = rendering.BackgroundRender(ranges)

    def _range(self, pick: Any, scene: Any, holder: Any, folder: Path) -> rendering.Range:
        place, rate = pick.fingerprint.place, playing_rate(scene)
        start = rendering.first_frame(scene, place.left)
        strip = pick.fingerprint.find(list(compat.strips_of(holder)), rate)
        pick.sound_start = start - compat.content_start(strip)
        first = max(start, place.left)
        if first > place.left:
            self.reading.notes.append(f"{strip.name}: Blender renders nothing before frame 0; that part is skipped.")
        number = f"{self.tag}_{self.reading.picks.index(pick)}"
        name = bpy.path.clean_name(strip.name).encode()[:_NAME_BYTES].decode(errors="ignore")
        path = self.files[number] = folder / f"{name}_{number}.wav"
        pick.clip = clip_of(pick, track_name(holder, pick.channel), path, scene) | {
            "source_range": {"start": to_exact((first - start) / rate), "end": to_exact((place.right - start) / rate)},
            "record_range": {"start": to_exact(first / rate), "end": to_exact(place.right / rate)},
        }
        return rendering.Range(self.reading.scene, self.reading.holder, strip.name, start, place.right, str(path))

    def rendered(self) -> bool:
        """Return whether all rendering is finished. Strips that failed are skipped by name from then on."""
        if self.render is None:
            return True
        if not self.render.done():
            return False
        failures = self.render.failures()
        for pick in [pick for pick in self.reading.picks if pick.clip and pick.clip["source"]["path"] in failures]:
            assert pick.clip is not None  # noqa: S101
            self.reading.picks.remove(pick)
            self.reading.skipped.append(
                {
                    "clip": pick.fingerprint.name,
                    "track": pick.clip["track"],
                    "record_start": pick.clip["record_range"]["start"],
                    "code": "CLIP_NOT_MEDIA",
                    "reason": f"Blender could not render it: {failures[pick.clip['source']['path']]}",
                }
            )
        self.stop_rendering()
        return True

    def stop_rendering(self) -> None:
        """End the background render, if any."""
        if self.render is not None:
            self.render.close()
            self.render = None

    def clips(self) -> dict[str, Any]:
        """Return the answer to `read_clips`."""
        return {
            "clips": [pick.clip for pick in self.reading.picks if pick.clip is not None],
            "skipped": self.reading.skipped,
            "notes": self.reading.notes,
        }

    def fail(self, sentence: str) -> None:
        """End the job with a sentence that says why."""
        self.stop_rendering()
        self._remove_unused_files()
        self.state, self.messages = FAILED, [sentence]

    def _remove_unused_files(self) -> None:
        """Delete rendered files that have no stems. A part of the run may have made stems named after them."""
        for number, path in self.files.items():
            stems = path.parent.with_name("stems")
            if not any(stems.glob(f"*_{number}_*")):
                with contextlib.suppress(OSError):  # Windows: the companion may have it open
                    path.unlink()

    def scene(self, document: int) -> Any:
        """Return the scene to write into. Raises HostError when another file is open or the scene is gone."""
        if document != self.document and (not self.file or bpy.data.filepath != self.file):
            raise HostError(
                "Another file is open.",
                "HOST_BUSY",
                "Open the file of the strips again and press the button: finished work is still there.",
            )
        same = document == self.document
        scene = next((one for one in bpy.data.scenes if same and one.as_pointer() == self.scene_pointer), None)
        scene = scene or bpy.data.scenes.get(self.reading.scene)
        if scene is None:
            raise HostError(f"The scene {self.reading.scene} no longer exists.", "HOST_FAILED")
        return scene


def merged_sounds(sounds: list[dict[str, Any]]) -> list[HeardSound]:
    """Return each sound once, the likeliest first, with its spans in all strips."""
    found: dict[str, HeardSound] = {}
    for one in sounds:
        spans = tuple((from_exact(span["start"]), from_exact(span["end"])) for span in one["spans"])
        before = found.get(one["sound"], HeardSound(one["sound"], 0.0, ()))
        likelihood = max(before.likelihood, float(one["likelihood"]))
        found[one["sound"]] = HeardSound(one["sound"], likelihood, (*before.spans, *spans))
    return sorted(found.values(), key=lambda heard: -heard.likelihood)
