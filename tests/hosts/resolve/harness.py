"""A small film on the fake's timeline, with the bridge beside it, for the tests of the Resolve bridge."""

from __future__ import annotations

import copy
import json
import wave
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from hosts.otio.support import write_wav
from hosts.resolve.fake_resolve import Fake, build
from hosts.resolve.fake_resolve.sound import track_sound
from stemline.clips import SampleRange
from stemline.companion.remote import RemoteHost
from stemline.companion.wire import from_wire
from stemline.errors import Code, HostError
from stemline.hosts.base import HostCapabilities, ReadClips, Selection, WriteOptions, Written
from stemline.plan import PlacedStem, TrackOptions, place_stems
from stemline.prompts import StemRequest, TimelinePrompt
from stemline.workflow import RunSettings
from stemline.workflow.prepare import Prepared, prepare
from stemline_bridge import jsonrpc
from stemline_resolve.api import Api
from stemline_resolve.host import BridgeSettings, ResolveHost

RATE = 48000
STEM = "speech"


def stubs() -> Path:
    """The public type stubs of Resolve's API."""
    files = metadata.files("fusionscript-stubs") or []
    return Path(str(next(file.locate() for file in files if file.name == "fusionscript.pyi")))


def write_media(path: Path, channels: int = 1, seconds: float = 4.0, sample_rate: int = RATE) -> Path:
    """Noise in 16 bits, another one for every path and channel; three of them together stay below full scale."""
    seed = sum(path.name.encode())
    count = round(seconds * sample_rate)
    samples = np.random.default_rng(seed).integers(-9000, 9000, (count, channels), dtype=np.int16)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(samples.astype("<i2").tobytes())
    return path


def film(folder: Path) -> dict[str, Any]:
    """Two interviews and an atmosphere: 25 fps, from 01:00:00:00, in Resolve Studio 21."""
    voice, other = write_media(folder / "voice ü.wav"), write_media(folder / "other.wav")
    stereo = write_media(folder / "atmo.wav", channels=2)
    return {
        "product": "DaVinci Resolve Studio",
        "version": [21, 0, 0],
        "project_rate": "25",
        "media": [
            {"path": str(voice), "start_frame": 1000},
            {"path": str(other)},
            {"path": str(stereo)},
        ],
        "timelines": [
            {
                "name": "Cut",
                "label": 25.0,
                "rate": "25",
                "zero": 90000,
                "audio": [
                    {
                        "kind": "mono",
                        "items": [
                            {"name": "A", "media": 0, "start": "10", "frames": "20", "source": "11/25"},
                            {"name": "B", "media": 1, "start": "30", "frames": "15", "source": "1/1"},
                        ],
                    },
                    {
                        "kind": "stereo",
                        "items": [{"name": "C", "media": 2, "start": "5", "frames": "30", "source": "3/25"}],
                    },
                ],
                "video": [{"items": [{"name": "P", "media": 0, "start": "10", "frames": "20", "source": "11/25"}]}],
                "linked": [["P", "A"]],
                "marks": {"video": {"in": 0, "out": 59}, "audio": {"in": 0, "out": 59}},
            }
        ],
    }


@dataclass
class Harness:
    """The bridge in this process on a fake Resolve, reached by the core's own `RemoteHost`, JSON and all."""

    folder: Path
    config: dict[str, Any]
    patience: float = 1.0

    def __post_init__(self) -> None:
        self.fake: Fake = build(stubs(), copy.deepcopy(self.config))
        api = Api(self.fake.resolve(), self.fake.reconnect, self.patience)
        self.bridge = ResolveHost(api, BridgeSettings(self.folder / "home", bool(self.config.get("duplicate_first"))))
        capabilities = from_wire(HostCapabilities, self.bridge.capabilities(), "capabilities")
        self.host = RemoteHost(_Direct(self.bridge.handlers()), capabilities)  # type: ignore[arg-type]

    def read(self, *tracks: str, include_disabled: bool = False) -> ReadClips:
        read = self.host.read_clips(Selection(tracks, include_disabled))
        assert not self.fake.referee.faults, self.fake.referee.faults
        return read

    def apply(
        self,
        *tracks: str,
        include_disabled: bool = False,
        before_writing: Callable[[], object] = lambda: None,
        **changes: Any,
    ) -> Written:
        """Separates by copying: the stem is the original. Then all that is new must sound like it."""
        selection = Selection(tracks, include_disabled)
        settings = RunSettings(output_dir=self.folder / "stems", selection=selection, **changes)
        prepared = prepare(self.host, [StemRequest(STEM, TimelinePrompt("speech"))], settings)
        stems = write_copies(prepared, settings.output_dir)
        facts = {clip.clip_id: prepared.facts[clip.source] for clip in prepared.clips}
        placed = place_stems(prepared.clips, stems, facts, TrackOptions(settings.play))
        disable = tuple(clip.clip_id for clip in prepared.clips)
        before_writing()
        written = self.host.write_tracks(placed, WriteOptions(disable, {"version": 1}))
        assert not self.fake.referee.faults, self.fake.referee.faults
        return written

    def sound(self, track: int, sample_rate: int = RATE) -> list[list[int]]:
        """What a track of the first timeline plays, disabled clips too."""
        timeline = self.fake.timeline
        return track_sound(timeline, timeline.audio[track - 1], sample_rate, with_disabled=True)

    def track_names(self) -> list[str]:
        return [track.name for track in self.fake.timeline.audio]

    def enabled(self) -> dict[str, bool]:
        return {item.name: item.enabled for track in self.fake.timeline.audio for item in track.items}


def write_copies(prepared: Prepared, folder: Path) -> list[PlacedStem]:
    """A stem file for each cut, as the core would name its range: the media's own sound, silence past its ends."""
    folder.mkdir(parents=True, exist_ok=True)
    by_clip = prepared.plan.segment_of()
    placed = []
    for clip in prepared.clips:
        cut = by_clip[clip.clip_id]
        path = folder / f"{STEM}_{Path(cut.source.path).stem}_{cut.range.start_sample}.wav"
        _copy(Path(cut.source.path), cut.source.channels, cut.range, path)
        record = {"version": 1, "job": "jobs/1", "source": {"media": Path(cut.source.path).as_uri()}}
        placed.append(PlacedStem(clip.clip_id, STEM, str(path), cut.range, record))
    return placed


def _copy(media: Path, channels: Sequence[int], held: SampleRange, path: Path) -> None:
    from stemline.clips import MediaSource
    from stemline.media import open_audio

    with open_audio(MediaSource(str(media), 0, tuple(channels))) as reader:
        length = reader.length_samples
        first, last = max(0, held.start_sample), min(held.end_sample, length)
        sound = reader.read(first, last)
    sound = np.pad(sound, ((0, 0), (first - held.start_sample, held.end_sample - last)))
    values = np.round(sound * (1 << 23)).astype(np.int64)
    write_wav(path, values, RATE, time_reference=36000 * RATE + held.start_sample)


class _Direct:
    """Carries the core's calls to the bridge's handlers as the pipe would, without a pipe."""

    def __init__(self, handlers: Mapping[str, Callable[[dict[str, Any]], Any]]) -> None:
        self._handlers = handlers

    def call(self, method: str, params: object, timeout_s: float, cancelled: Callable[[], bool] = lambda: False) -> Any:
        try:
            return json.loads(json.dumps(self._handlers[method](json.loads(json.dumps(params)))))
        except jsonrpc.HostError as problem:
            raise HostError(str(problem), code=Code(problem.code), advice=problem.advice) from problem


def left_of(harness: Harness, *tracks: int) -> list[int]:
    """What the first channels of several tracks play together."""
    return [sum(values) for values in zip(*(harness.sound(track)[0] for track in tracks), strict=True)]
