"""Risks: chunks of codec and watermark that differ from a single pass, a decoder that runs out of memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  # torch's own name for it

from server.sam_audio.generated import ArraySource, sounds
from stemline_server.engines.sam_audio.checkpoint import Placement, load_model
from stemline_server.engines.sam_audio.chunked_codec import ChunkedDecoder, LevelMeter, encode
from stemline_server.engines.sam_audio.model import SamAudioModel
from stemline_server.engines.sam_audio.streaming import Stream


@pytest.fixture(scope="module")
def model(checkpoint: Path) -> SamAudioModel:
    return load_model(checkpoint, Placement(torch.device("cpu")))


def whole_latent(model: SamAudioModel, samples: np.ndarray) -> Tensor:
    waveform = torch.from_numpy(samples)[None]
    padded = F.pad(waveform, (0, -waveform.shape[-1] % 1920), mode="reflect")
    with torch.inference_mode():
        latent: Tensor = model.encoder(padded)[0].t()
        return latent


@pytest.mark.parametrize("chunk_frames", [1, 2, 7, 25, 1000])
@pytest.mark.parametrize("extra_samples", [0, 1, 777])
def test_encoding_in_chunks_equals_one_pass(model: SamAudioModel, chunk_frames: int, extra_samples: int) -> None:
    samples = sounds(2)[:, : 1920 * 30 + extra_samples]
    latent = encode(model, ArraySource(samples), chunk_frames, LevelMeter(1, 48000), lambda: None)
    torch.testing.assert_close(latent, whole_latent(model, samples), atol=2e-5, rtol=0)


@pytest.mark.parametrize("chunk_frames", [1, 3, 8, 25, 1000])
@pytest.mark.parametrize("marked", [False, True])
def test_decoding_in_chunks_equals_one_pass(model: SamAudioModel, chunk_frames: int, marked: bool) -> None:
    torch.manual_seed(0)
    latent = torch.randn(2, 8, 40)
    messages = torch.randint(0, 2, (2, 16)) if marked else None
    with torch.inference_mode():
        expected = model.decoder(latent)
        if messages is not None:
            expected = model.watermark(expected, messages)
    decoder = ChunkedDecoder(model, messages, 2)
    blocks = []
    for start in range(0, 40, chunk_frames):
        piece = latent[..., start : start + chunk_frames]
        blocks += list(decoder.push(piece, last=start + chunk_frames >= 40))
    got = torch.from_numpy(np.concatenate(blocks, axis=1))
    torch.testing.assert_close(got, expected[:, 0], atol=2e-5, rtol=0)


def test_chunks_of_varying_length_equal_one_pass(model: SamAudioModel) -> None:
    torch.manual_seed(1)
    latent = torch.randn(1, 8, 30)
    stream, parts, start = Stream(), [], 0
    with torch.inference_mode():
        for frames in (1, 1, 5, 2, 13, 8):
            stream.last = start + frames == 30
            parts.append(model.decoder(latent[..., start : start + frames], stream))
            start += frames
        expected = model.decoder(latent)
    torch.testing.assert_close(torch.cat(parts, dim=-1), expected, atol=2e-5, rtol=0)


def test_decoding_with_too_little_memory_shrinks_rows_then_chunks(model: SamAudioModel) -> None:
    torch.manual_seed(2)
    latent = torch.randn(3, 8, 40)
    messages = torch.randint(0, 2, (3, 16))
    with torch.inference_mode():
        expected = model.watermark(model.decoder(latent), messages)[:, 0].numpy()
    tried = []

    def limited(module: torch.nn.Module, inputs: tuple[Tensor, ...]) -> None:
        rows, _, frames = inputs[0].shape
        tried.append((rows, frames))
        if rows * frames > 6:
            raise torch.OutOfMemoryError("CUDA out of memory")

    hook = model.decoder.register_forward_pre_hook(limited)
    try:
        decoder = ChunkedDecoder(model, messages, 3)
        blocks = [b for s in (0, 20) for b in decoder.push(latent[..., s : s + 20], last=s == 20)]
    finally:
        hook.remove()
    np.testing.assert_allclose(np.concatenate(blocks, axis=1), expected, atol=2e-5)
    assert (1, 5) in tried


def test_the_message_changes_the_watermark_only(model: SamAudioModel) -> None:
    torch.manual_seed(3)
    clean = 0.1 * torch.randn(1, 1, 19200)
    zeros, ones = torch.zeros(1, 16), torch.ones(1, 16)
    with torch.inference_mode():
        first, second = model.watermark(clean, zeros), model.watermark(clean, ones)
    assert 1e-5 < (first - second).abs().max() < 1
    assert first.shape == clean.shape


def test_the_level_meter_measures_a_short_sound_in_long_silence() -> None:
    silence = np.zeros((2, 48000), np.float32)
    silence[1, 30000:33000] = 0.5
    meter = LevelMeter(2, 48000)
    for start in range(0, 48000, 1111):
        meter.push(silence[:, start : start + 1111])
    meter.finish()
    assert meter.loudest_rms[0] == 0
    assert 0.25 < meter.loudest_rms[1] <= 0.5
