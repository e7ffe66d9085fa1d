"""Renders edits with `melt`, the player of the MLT framework (Debian package `melt`): an independent judge.

The two writers here know nothing of Stemline: one turns an .otio file, one a Final Cut 7 XML file, into MLT XML by
counting frames.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlparse
from xml.etree import ElementTree

import numpy as np
import opentimelineio as otio
import pytest

from otio_player import decode

needs_melt = pytest.mark.skipif(
    shutil.which("melt") is None, reason="melt is not installed (Debian: apt-get install melt)"
)


class Entry(NamedTuple):
    """A file on a track, in frames."""

    start: int
    length: int
    inside: int
    path: Path


Tracks = list[list[Entry]]

MOST_STARTS = 12
FIRST_SAMPLE_S = 20
WHOLE_RENDER_S = 120


def tracks_of_otio(path: Path, wanted: Callable[[otio.schema.Track], bool]) -> Tracks:
    """Return the wanted audio tracks of an .otio file; disabled clips are read too."""
    tracks = []
    timeline = otio.adapters.read_from_file(str(path))  # kept: its tracks live no longer than it
    for track in timeline.tracks:
        if track.kind != "Audio" or not wanted(track):
            continue
        entries, cursor = [], 0
        for item in track:
            length = round(item.duration().value)
            if isinstance(item, otio.schema.Clip):
                reference = item.media_reference
                zero = reference.available_range.start_time.value if reference.available_range else 0
                url = urlparse(reference.target_url)
                file = path.parent / unquote(url.path)
                entries.append(Entry(cursor, length, round(item.source_range.start_time.value - zero), file))
            cursor += length
        tracks.append(entries)
    return tracks


def tracks_of_xml(path: Path) -> Tracks:
    """Return the audio tracks of the sequence in a Final Cut 7 XML file."""
    root = ElementTree.parse(path).getroot()  # noqa: S314 - our own file
    files = {f.get("id"): f.findtext("pathurl", "") for f in root.iter("file") if f.find("pathurl") is not None}
    tracks = []
    for track in root.iterfind(".//sequence/media/audio/track"):
        entries = []
        for item in track.iterfind("clipitem"):
            start, end, inside = (int(item.findtext(tag, "")) for tag in ("start", "end", "in"))
            named = item.find("file")
            assert named is not None
            file = Path(unquote(urlparse(files[named.get("id")]).path))
            entries.append(Entry(start, end - start, inside, file))
        tracks.append(entries)
    return tracks


def render(tracks: Tracks, rate: Fraction, folder: Path, name: str, frames: int) -> np.ndarray:
    """Return the sum of the tracks as melt plays them: float64 [2, samples] at 48 kHz."""
    document = folder / f"{name}.mlt"
    document.write_text(_document(tracks, rate, frames), encoding="utf-8")
    output = folder / f"{name}.wav"
    command = [
        "melt", str(document), "-consumer", f"avformat:{output}", "acodec=pcm_f32le", "vn=1", "frequency=48000",
        "channels=2", "mlt_audio_format=f32le", "real_time=0", "terminate_on_pause=1",
    ]  # fmt: skip
    for _ in range(MOST_STARTS):
        if _played(command, output):
            sound, sample_rate = decode(output)
            assert sample_rate == 48000
            return sound
    pytest.fail(f"melt started {MOST_STARTS} times and never wrote a sample to {output}")


def _played(command: list[str], output: Path) -> bool:
    """Whether melt wrote a sound; false where it lost a race with itself and its file stayed empty.

    Its avformat consumer starts a thread and only then marks itself as running. A thread that comes first takes this
    for a wish to stop: it ends without reading a frame, and melt exits with 0 or waits for that thread for ever. On a
    busy machine this happens often; what melt did write is never taken for such a start.
    """
    output.unlink(missing_ok=True)
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(output.parent)}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment) as melt:
        try:
            status = _waited(melt, output)
        finally:
            melt.kill()
    assert not status, f"melt exited with {status}"
    return status is not None and _has_sound(output)


def _waited(melt: subprocess.Popen[bytes], output: Path) -> int | None:
    """Return the exit status of melt, None where it has written nothing for a time."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        return melt.wait(FIRST_SAMPLE_S)
    return melt.wait(WHOLE_RENDER_S) if _has_sound(output) else None


def _has_sound(output: Path) -> bool:
    return output.exists() and output.stat().st_size > 0


def _document(tracks: Tracks, rate: Fraction, frames: int) -> str:
    root = ElementTree.Element("mlt")
    ElementTree.SubElement(
        root, "profile", width="64", height="36", progressive="1", sample_aspect_num="1", sample_aspect_den="1",
        display_aspect_num="16", display_aspect_den="9", frame_rate_num=str(rate.numerator),
        frame_rate_den=str(rate.denominator),
    )  # fmt: skip
    silence = [Entry(0, frames, -1, Path())]
    whole = [silence, *tracks]
    for number, track in enumerate(whole):
        _playlist(root, number, track)
    tractor = ElementTree.SubElement(root, "tractor", {"id": "all", "in": "0", "out": str(frames - 1)})
    multitrack = ElementTree.SubElement(tractor, "multitrack")
    for number in range(len(whole)):
        ElementTree.SubElement(multitrack, "track", producer=f"playlist{number}", hide="video")
    for number in range(1, len(whole)):
        mix = ElementTree.SubElement(tractor, "transition", id=f"mix{number}")
        _properties(
            mix,
            {"mlt_service": "mix", "a_track": 0, "b_track": number, "always_active": 1, "sum": 1, "accepts_blanks": 1},
        )
    return ElementTree.tostring(root, "unicode")


def _playlist(root: ElementTree.Element, number: int, track: Iterable[Entry]) -> None:
    entries = list(track)
    for position, entry in enumerate(entries):
        if entry.inside >= 0:
            producer = ElementTree.SubElement(root, "producer", id=f"p{number}_{position}")
            _properties(producer, {"resource": entry.path, "mlt_service": "avformat", "video_index": -1})
        else:
            producer = ElementTree.SubElement(root, "producer", id=f"p{number}_{position}")
            _properties(producer, {"resource": "black", "mlt_service": "color", "length": entry.length})
    playlist = ElementTree.SubElement(root, "playlist", id=f"playlist{number}")
    cursor = 0
    for position, entry in enumerate(entries):
        if entry.start > cursor:
            ElementTree.SubElement(playlist, "blank", length=str(entry.start - cursor))
        first = max(0, entry.inside)
        ElementTree.SubElement(
            playlist,
            "entry",
            {"producer": f"p{number}_{position}", "in": str(first), "out": str(first + entry.length - 1)},
        )
        cursor = entry.start + entry.length


def _properties(element: ElementTree.Element, values: dict[str, object]) -> None:
    for name, value in values.items():
        ElementTree.SubElement(element, "property", name=name).text = str(value)
