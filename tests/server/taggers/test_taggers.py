"""The built-in taggers on real sounds: what they name, that pieces have no seams, and that they never leave a core."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from stemline.errors import Cancelled, SeparationError
from stemline_server.engines.embedded import yamnet
from stemline_server.engines.embedded.evaluation_clips import Clip, MemorySource, read_clips
from stemline_server.taggers import evaluate, registry
from stemline_server.taggers.audioset import AudioSetTagger
from stemline_server.taggers.base import Tagger
from stemline_server.taggers.embedded import EmbeddedTagger

needs_yamnet = pytest.mark.skipif(not yamnet.is_installed(), reason="needs the extra `suggest`")


@pytest.fixture(scope="module")
def clips(shared_data: Path) -> dict[str, Clip]:
    return {clip.name: clip for clip in read_clips(shared_data / "evalset")}


def named(tagger: Tagger, source: MemorySource) -> list[str]:
    return [tag.prompt for tag in tagger.tag(source, lambda done, total: None)]


def test_without_an_extra_speech_and_music_are_named_and_nothing_else_is_made_up(clips: dict[str, Clip]) -> None:
    assert set(named(EmbeddedTagger(), clips["g06_music"].source())) == {"speech", "music"}


def test_speech_far_into_a_media_is_heard_at_its_time(clips: dict[str, Clip]) -> None:
    speech = clips["g00_speech"].target
    mix = np.concatenate([np.zeros(17 * 48_000, np.float32), speech, np.zeros(8 * 48_000, np.float32)])
    (tag,) = (
        tag for tag in EmbeddedTagger().tag(MemorySource(mix), lambda done, total: None) if tag.prompt == "speech"
    )
    first, last = tag.spans[0].range, tag.spans[-1].range
    assert first.start_sample / 48_000 == pytest.approx(
        17 + clips["g00_speech"].spans[0].start_sample / 48_000, abs=0.3
    )
    assert last.end_sample / 48_000 == pytest.approx(17 + clips["g00_speech"].spans[-1].end_sample / 48_000, abs=1)


def test_progress_stops_a_tagger_between_pieces(clips: dict[str, Clip]) -> None:
    def stop(done: int, total: int) -> None:
        if done:
            raise Cancelled

    with pytest.raises(Cancelled):
        EmbeddedTagger().tag(MemorySource(np.zeros(40 * 48_000, np.float32)), stop)


def test_without_the_wheel_the_tagger_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yamnet, "WHEEL", "no-such-wheel")
    yamnet._read_files.cache_clear()
    try:
        tagger = AudioSetTagger()
        assert "pip install" in tagger.availability() and "suggest" in tagger.availability()
        with pytest.raises(SeparationError, match="suggest"):
            tagger.tag(MemorySource(np.zeros(48_000, np.float32)), lambda done, total: None)
    finally:
        yamnet._read_files.cache_clear()


@needs_yamnet
def test_a_duck_in_rain_is_named_and_so_is_speech_before_music(clips: dict[str, Clip]) -> None:
    tagger = AudioSetTagger()
    assert "duck" in named(tagger, clips["g12_animal"].source())
    assert named(tagger, clips["g00_speech"].source()) == ["speech", "music"]


def test_the_evaluation_prints_every_figure(
    shared_data: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = shared_data / "evalset"
    manifest = json.loads((folder / "manifest.json").read_text())
    few = [entry for entry in manifest if entry["id"] in ("g00_speech", "g18_noise")]
    for entry in few:
        for part in ("target", "residual"):
            name = entry.get(part, f"{entry['id']}.{part}.flac")
            (tmp_path / name).symlink_to(folder / name)
    (tmp_path / "manifest.json").write_text(json.dumps(few))
    assert evaluate.main([str(tmp_path), "--tagger", "embedded", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["clips"] == 2
    assert figures["target_named"] >= 0.5
    assert figures["shown_true"] >= 0.5


def test_each_entry_point_gives_a_tagger_of_its_name() -> None:
    for tagger_id in registry.tagger_ids():
        assert registry.create_tagger(tagger_id).info.id == tagger_id
