"""The media pool: bins, clips, importing, and appending to the timeline."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .item import CLIP_COLOURS, Item
from .sound import time_reference, wav_facts

if TYPE_CHECKING:
    from .project import Project
    from .timeline import Timeline

_numbers = itertools.count(1)


class PoolItem:
    """A clip of the media pool. A WAV counts in the rate that the project had when it was imported (quirk 6).

    `start_frame` is its timecode. `inside` is what a compound clip plays: another clip.
    """

    KIND = "MediaPoolItem"

    def __init__(self, path: str, rate: Fraction, kind: str = "Audio", start_frame: int = 0) -> None:
        self.path, self.rate, self.kind, self.start_frame = path, rate, kind, start_frame
        self.name = Path(path).name if path else kind
        self.inside: PoolItem | None = None
        self.lower_type = False
        self.colour = ""
        self.uid = f"media-{next(_numbers)}"
        self.sample_rate, channels, self.length = wav_facts(path) if path and Path(path).is_file() else (48000, 1, 0)
        self.mapping: dict[str, Any] = {
            "embedded_audio_channels": channels,
            "linked_audio": {},
            "track_mapping": {"1": {"channel_idx": list(range(1, channels + 1)), "mute": False, "type": "Stereo"}},
        }

    @property
    def sound_path(self) -> str:
        return self.inside.sound_path if self.inside else self.path

    def GetName(self) -> str:
        return self.name

    def GetUniqueId(self) -> str:
        return self.uid

    def GetClipProperty(self, name: str | None = None) -> Any:
        held = {
            "File Path": self.path,
            "FPS": float(self.rate),
            "Start": str(self.start_frame),
            "Start TC": "",
            "Type": self.kind.lower() if self.lower_type else self.kind,
            "Sample Rate": str(self.sample_rate),
        }
        return held if name is None else held.get(name, "")

    def GetAudioMapping(self) -> str:
        import json

        return json.dumps(self.mapping)

    def SetClipColor(self, colour: str) -> bool:
        if colour not in CLIP_COLOURS:
            return False
        self.colour = colour
        return True


class Folder:
    KIND = "Folder"

    def __init__(self, name: str) -> None:
        self.name = name
        self.clips: list[PoolItem] = []
        self.folders: list[Folder] = []
        self.uid = f"folder-{next(_numbers)}"

    def GetName(self) -> str:
        return self.name

    def GetUniqueId(self) -> str:
        return self.uid

    def GetClipList(self) -> list[PoolItem]:
        return list(self.clips)

    def GetSubFolderList(self) -> list[Folder]:
        return list(self.folders)


class MediaPool:
    KIND = "MediaPool"

    def __init__(self, project: Project) -> None:
        self.project = project
        self.root = Folder("Master")
        self.current = self.root
        self.returns_nothing = False
        self.next_is_phantom = False
        self.counts_from_timecode = False

    def GetRootFolder(self) -> Folder:
        return self.root

    def GetCurrentFolder(self) -> Folder:
        return self.current

    def SetCurrentFolder(self, folder: Folder) -> bool:
        self.current = folder
        return True

    def AddSubFolder(self, folder: Folder, name: str) -> Folder | None:
        if any(one.name == name for one in folder.folders):
            return None
        made = Folder(name)
        folder.folders.append(made)
        return made

    def ImportMedia(self, paths: Sequence[str]) -> list[PoolItem]:
        """Into the current bin. The order of what it returns is not that of what it was given."""
        made = []
        for path in paths:
            if Path(path).is_file():
                clip = PoolItem(path, self.project.rate)
                clip.start_frame = math.floor(time_reference(path) * clip.rate)
                clip.lower_type = self.project.fake.version >= (21, 1)
                made.append(clip)
        self.current.clips += made
        return made[::-1]

    def ImportTimelineFromFile(self, path: str, options: dict[str, Any] | None = None) -> Timeline | None:
        """Quirk 18."""
        from .otio_import import imported

        timeline = imported(self.project, Path(path))
        if timeline is not None:
            self.project.timelines.append(timeline)
        return timeline

    def AppendToTimeline(self, infos: Sequence[dict[str, Any]]) -> list[Item | None]:
        timeline = self.project.current
        if timeline is None:
            return []
        made = [self._append(timeline, info) for info in infos]
        return [None for _ in made] if self.returns_nothing else list(made)

    def _append(self, timeline: Timeline, info: dict[str, Any]) -> Item | None:
        number, media = info["trackIndex"], info["mediaPoolItem"]
        if not 1 <= number <= len(timeline.audio):
            return None
        track = timeline.audio[number - 1]
        frames = self._frames(timeline, media, info)
        start = Fraction(info["recordFrame"])
        item = Item(timeline, track, media, start, frames)
        zero = media.start_frame if self.counts_from_timecode else 0
        item.source = (info["startFrame"] - zero) / media.rate
        if track.locked:  # quirk 12
            return None
        if start < timeline.zero:  # quirk 3
            item.frames = Fraction(0)
        elif any(other.start < item.end and start < other.end for other in track.items):  # quirk 4, quirk 5
            item.ghost = True
            return item
        item.phantom, self.next_is_phantom = self.next_is_phantom, False
        track.items.append(item)
        return item

    def _frames(self, timeline: Timeline, media: PoolItem, info: dict[str, Any]) -> Fraction:
        """Quirk 2: 18 counts the end frame in, later versions do not. Quirk 6: the rest of a frame is lost, and where
        the rates differ one more may be."""
        end = info["endFrame"] + (1 if self.project.fake.version < (19,) else 0)
        available = math.ceil(Fraction(media.length, media.sample_rate) * media.rate)
        available += media.start_frame if self.counts_from_timecode else 0
        count = min(end, available) - info["startFrame"]
        frames = math.floor(count * timeline.rate / media.rate)
        if timeline.rate != media.rate and self.project.loses_a_frame:
            frames -= 1
        return Fraction(max(0, frames))
