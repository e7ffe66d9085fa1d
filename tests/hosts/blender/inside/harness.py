"""An edit in Blender for one scenario: strips, a press of the button, and the sound of the sequence."""

from __future__ import annotations

import array
import importlib
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import bpy
import wav

RATE = 48000
LATE = 1028  # Blender's mixer may begin a strip, any strip, one of its blocks late
SHIFTS = (0, 1, -1, 2, -2)


class Harness:
    """The scene that is edited, and the extension under its installed name."""

    def __init__(self, module: str, config: dict[str, Any]) -> None:
        self.folder = Path(config["folder"])
        self.config = config
        self.compat = importlib.import_module(f"{module}.compat")
        self.session = importlib.import_module(f"{module}.session")
        self.results = importlib.import_module(f"{module}.results")
        self.reading = importlib.import_module(f"{module}.reading")
        self.scene = bpy.context.scene
        self.editor = self.scene.sequence_editor_create()
        self.set_rate(25, 1.0)
        self.scene.render.ffmpeg.audio_mixrate = RATE
        self.save()

    def set_rate(self, fps: int, base: float) -> None:
        self.scene.render.fps, self.scene.render.fps_base = fps, base

    @property
    def rate(self) -> float:
        return float(self.scene.render.fps / self.scene.render.fps_base)

    @property
    def strips(self) -> Any:
        return self.compat.strips_of(self.editor)

    def save(self, name: str = "edit.blend") -> None:
        bpy.ops.wm.save_as_mainfile(filepath=str(self.folder / name))

    def reopen(self) -> None:
        bpy.ops.wm.open_mainfile(filepath=bpy.data.filepath)
        self.scene = bpy.context.scene
        self.editor = self.scene.sequence_editor

    def sound(self, name: str, path: str, start: int, first: int = 0, length: int = 50, channel: int = 1) -> Any:
        """A sound strip that begins to play at frame `start`, `first` frames into its file."""
        strip = self.strips.new_sound(name=name, filepath=path, channel=channel, frame_start=start - first)
        self.compat.set_handles(strip, start, start + length)
        strip.channel = channel  # Blender moved it where its untrimmed length had no room
        return strip

    def select(self, *strips: Any) -> None:
        for strip in self.strips:
            strip.select = strip.name in [chosen.name for chosen in strips]

    def press(self, prompt: str = "tone", model: str = "noop", **settings: Any) -> Any:
        """Presses the button; the job, which goes on as `wait` pumps."""
        mine = self.scene.stemline
        mine.prompt = prompt
        for name, value in settings.items():
            setattr(mine, name, value)
        before = list(self.session.SESSION.jobs)
        answer = bpy.ops.stemline.separate()
        new = [job for job in self.session.SESSION.jobs if job not in before]
        assert answer == {"FINISHED"} and len(new) == 1, answer
        new[0].params["settings"]["model"] = model
        return new[0]

    def wait(self, job: Any, timeout_s: float = 120.0) -> dict[str, Any]:
        ended = self.session.wait(lambda: job.ended, timeout_s)
        return {
            "ended": ended,
            "state": job.state,
            "messages": job.messages,
            "null": job.result.get("null"),
            "skipped": [(skip["clip"], skip["code"]) for skip in job.result.get("skipped", [])],
        }

    def until(self, condition: Any, timeout_s: float = 60.0) -> bool:
        return bool(self.session.wait(condition, timeout_s))

    def stems(self) -> list[dict[str, Any]]:
        """Every stem strip as Blender has it now."""
        found = []
        for result in self.results.results_in(self.scene):
            for strip, record in result.members:
                found.append(
                    {
                        "name": strip.name,
                        "stem": record["stem"],
                        "original": self.results.original_name(record),
                        "channel": strip.channel,
                        "channel_name": self.editor.channels[strip.channel].name,
                        "left": self.compat.left(strip),
                        "right": self.compat.right(strip),
                        "mute": bool(strip.mute),
                        "colour": strip.color_tag,
                        "path": strip.sound.filepath,
                        "there": Path(bpy.path.abspath(strip.sound.filepath)).is_file(),
                        "volume": strip.volume,
                        "pan": strip.pan,
                        "pad_samples": record["pad_samples"],
                        "result": result.name,
                    }
                )
        return sorted(found, key=lambda stem: (stem["channel"], stem["left"]))

    def stem_strips(self) -> list[Any]:
        return [strip for result in self.results.results_in(self.scene) for strip, _ in result.members]

    def mix_down(self, *sounding: Any, channels: str = "STEREO", cached: bool = True) -> list[array.array[float]]:
        """What the given strips sound like together, from frame 0. `cached` has Blender read its sounds from memory:
        its reader of files begins a sample late at about one place in seven."""
        names = {strip.name for strip in sounding}
        before = [(strip, strip.mute) for strip in self.compat.all_strips(self.editor)]
        for strip in self.strips:
            strip.mute = strip.name not in names
        for sound in bpy.data.sounds:
            sound.use_memory_cache = cached
        self.scene.frame_start = 0
        self.scene.frame_end = max(self.compat.right(strip) for strip in sounding) + 5
        path = str(self.folder / f"mixdown {len(list(self.folder.glob('mixdown*')))}.wav")
        options: dict[str, Any] = {"filepath": path, "container": "WAV", "codec": "PCM", "format": "F32"}
        self.scene.render.ffmpeg.audio_channels = channels
        if "mixrate" in bpy.ops.sound.mixdown.get_rna_type().properties:
            options |= {"mixrate": RATE, "channels": channels}
        bpy.ops.sound.mixdown(**options)
        for strip, mute in before:
            strip.mute = mute
        return wav.read(path)[1]

    def ideal(self, strip: Any) -> tuple[int, int, Fraction]:
        """(first sample on the timeline, length, exact sample of the media that plays there) of a plain strip."""
        rate = Fraction(self.scene.render.fps) / Fraction(self.scene.render.fps_base)
        left, right = self.compat.left(strip), self.compat.right(strip)
        into = (self.compat.hard_trim(strip) + left - self.compat.content_start(strip)) / rate
        first, end = left / rate * RATE, right / rate * RATE
        return math.ceil(first), math.floor(end) - math.ceil(first), into * RATE + math.ceil(first) - first

    def null_with_source(self, original: Any, mixed: list[array.array[float]], media: str) -> dict[str, Any]:
        """How far the mixdown is from the samples of the media file that should sound, at the best of a few shifts."""
        first, length, at = self.ideal(original)
        source = wav.read(media)[1]
        found = {}
        for shift in SHIFTS:
            begin = math.floor(at) + LATE + shift
            found[shift] = max(
                wav.worst(
                    mixed[c][first + LATE : first + length],
                    source[c if len(source) > 1 else 0][begin : begin + length - LATE],
                )
                for c in range(len(mixed))
            )
            if found[shift] < 1e-6:
                break
        best = min(found, key=lambda shift: found[shift])
        return {"shift": best, "peak": found[best], "at": str(at)}

    def null_between(
        self, one: list[array.array[float]], other: list[array.array[float]], edges: tuple[int, ...] = ()
    ) -> dict[str, Any]:
        """How far two mixdowns of one length are from each other, at the best of a few shifts, but for one block of
        Blender's mixer after each frame of `edges`, where strips begin and end."""
        length, margin = len(one[0]), 2
        parts = []
        begin = margin
        for frame in sorted(edges):
            at = int(frame / self.rate * RATE)
            parts.append((begin, max(begin, at - margin)))
            begin = at + LATE
        parts.append((begin, length - margin))
        found = {
            shift: max(
                wav.worst(a[start:end], b[start + shift : end + shift])
                for a, b in zip(one, other)  # noqa: B905
                for start, end in parts
            )
            for shift in SHIFTS
        }
        best = min(found, key=lambda shift: (found[shift], abs(shift)))
        return {"shift": best, "peak": found[best], "loudest": max(max(map(abs, channel)) for channel in one)}

    def loudness(self, mixed: list[array.array[float]]) -> list[float]:
        """Root mean square of each frame of the first channel."""
        step = int(RATE / self.rate)
        blocks = [mixed[0][i : i + step] for i in range(0, len(mixed[0]), step)]
        return [math.sqrt(sum(value * value for value in block) / max(1, len(block))) for block in blocks]

    def window(self) -> Any:
        """Arguments for `temp_override` in which the sequencer's operators work without a window of their own."""
        window = bpy.context.window_manager.windows[0]
        if hasattr(window.workspace, "sequencer_scene"):
            window.workspace.sequencer_scene = self.scene
        area = window.screen.areas[0]
        area.type = "SEQUENCE_EDITOR"
        area.spaces.active.view_type = "SEQUENCER"
        region = next(region for region in area.regions if region.type == "WINDOW")
        return {"window": window, "area": area, "region": region, "scene": self.scene}
