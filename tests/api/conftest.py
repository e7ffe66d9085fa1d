"""One server whose default model is the no-op engine, and a folder with a file and an edit to separate."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import opentimelineio as otio
import pytest

from server.harness import server_in_thread
from stemline.media import AudioFormat, SampleFormat, open_writer
from stemline_server.config import ServerConfig
from stemline_server.testing import FunctionTagger, SampleRange, SoundTag, TaggedSpan, TaggerList

SAMPLE_RATE = 24_000
SECONDS = 2


@pytest.fixture(scope="module")  # no server thread outlives these tests
def noop_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Address and token. Its tagger hears speech in the first second of everything."""
    state = tmp_path_factory.mktemp("noop-server")
    hears_speech = FunctionTagger(lambda mix, rate: [SoundTag("speech", (TaggedSpan(SampleRange(0, rate), 0.9),))])
    config = ServerConfig(state=state, model="noop", media_roots=None)
    with server_in_thread(config, TaggerList([hears_speech])) as caller:
        yield caller.address, caller.metadata[0][1].removeprefix("Bearer ")


@pytest.fixture
def project(noop_server: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: `interview.wav` of two seconds and `edit.otio`, which uses it once."""
    monkeypatch.setenv("STEMLINE_SERVER", noop_server[0])
    monkeypatch.setenv("STEMLINE_TOKEN", noop_server[1])
    monkeypatch.chdir(tmp_path)
    samples = np.random.default_rng(1).integers(-(2**22), 2**22, (1, SECONDS * SAMPLE_RATE)) / 2**23
    with open_writer(tmp_path / "interview.wav", AudioFormat(SampleFormat.WAV24, SAMPLE_RATE, 1)) as writer:
        writer.write(samples.astype(np.float32))
    write_edit(tmp_path / "edit.otio")
    return tmp_path


def write_edit(path: Path) -> None:
    """An edit of one audio track, A1, that plays the whole file."""
    whole = otio.opentime.TimeRange(otio.opentime.RationalTime(0, 24), otio.opentime.RationalTime(24 * SECONDS, 24))
    media = otio.schema.ExternalReference("interview.wav", whole)
    track = otio.schema.Track("A1", [otio.schema.Clip("interview", media, whole)], kind=otio.schema.TrackKind.Audio)
    timeline = otio.schema.Timeline("edit")
    timeline.tracks.append(track)
    otio.adapters.write_to_file(timeline, str(path))
