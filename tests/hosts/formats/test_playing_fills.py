"""Edits with fills as an independent player plays them: a hole, a bump, or a fill in the wrong place."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import opentimelineio as otio

import stemline
from hosts.formats.melt import needs_melt, render, tracks_of_otio
from stemline.media import AudioFormat, SampleFormat, open_writer
from stemline_server.testing import FunctionEngine, serve_engines

RATE = 48_000
CLIP_S = 4


def write_edit(folder: Path) -> Path:
    """Write a take of a room in which somebody talks from 1.5 to 2.5 s of every 4 s, and an edit of its halves."""
    random = np.random.default_rng(5)
    take = (0.01 * random.standard_normal((2, 6 * CLIP_S * RATE))).astype(np.float32)
    for start in range(0, take.shape[1], CLIP_S * RATE):
        talk = slice(start + 3 * RATE // 2, start + 5 * RATE // 2)
        take[:, talk] += np.where(random.random(RATE) < 0.5, 0.4, -0.4).astype(np.float32)
    with open_writer(folder / "take.wav", AudioFormat(SampleFormat.WAV24, RATE, 2)) as writer:
        writer.write(take)
    timeline, track = otio.schema.Timeline("fills"), otio.schema.Track("A1", kind="Audio")
    timeline.tracks.append(track)
    media = otio.schema.ExternalReference((folder / "take.wav").as_uri())
    for number in (0, 2, 4):
        start = otio.opentime.RationalTime(number * CLIP_S * 25, 25)
        span = otio.opentime.TimeRange(start, otio.opentime.RationalTime(CLIP_S * 25, 25))
        track.append(otio.schema.Clip(f"clip {number}", media.clone(), span))
    otio.adapters.write_to_file(timeline, str(folder / "fills.otio"))
    return folder / "fills.otio"


def talk_only(mix: Any, rate: int, prompt: object) -> Any:
    return np.where(np.abs(mix) > 0.2, mix, 0)


@needs_melt
def test_melt_plays_the_room_on_where_the_talk_was(tmp_path: Path) -> None:
    edit = write_edit(tmp_path)
    with (
        serve_engines(FunctionEngine(talk_only), state=tmp_path / "state") as server,
        stemline.connect(server.address, token=server.token) as client,
    ):
        result = stemline.separate_edit(
            edit,
            {"talk": "speech"},
            output=tmp_path / "out",
            settings=stemline.Settings(replace={"talk": stemline.Replace()}),
            client=client,
        )
    written = Path(result.output)
    playing = {track.name for track in otio.adapters.read_from_file(str(written)).audio_tracks() if track.enabled}
    tracks = tracks_of_otio(written, lambda track: track.enabled and track.name != "A1")
    assert len(tracks) == 2, playing
    played = render(tracks, Fraction(25), tmp_path, "filled", 3 * CLIP_S * 25)
    levels = [10 * np.log10(np.mean(part**2)) for part in np.split(played[:, : 3 * CLIP_S * RATE], 60, axis=1)]
    assert max(levels) - min(levels) < 1.5, "no hole and no bump, also at the joints and at the cuts of the edit"
