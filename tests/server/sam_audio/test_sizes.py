"""Risks: a size that is not read from config.json, optimisations that fail at other sizes than the published."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks import sam_audio_plain as plain
from server.sam_audio.generated import TINY, write_checkpoint
from stemline.errors import InputError
from stemline_server.engines.sam_audio.checkpoint import Placement, load_model
from stemline_server.engines.sam_audio.model import SamAudioModel

FRAMES = 23
SIZES: dict[str, dict[str, Any]] = {
    "odd number of heads": {"transformer": {"dim": 60, "n_heads": 5, "n_layers": 1, "context_dim": 60}},
    "one head": {"transformer": {"dim": 32, "n_heads": 1, "n_kv_heads": 1, "n_layers": 3, "context_dim": 32}},
    "feed-forward": {"transformer": {"ffn_exp": 3, "ffn_dim_multiplier": 1.3, "multiple_of": 7}},
    "constants": {"transformer": {"norm_eps": 1e-3, "max_positions": 12345, "frequency_embedding_dim": 64}},
    "latent": {
        "in_channels": 72,
        "audio_codec": {"codebook_dim": 12, "latent_dim": 40, "encoder_dim": 6},
        "transformer": {"out_channels": 24},
    },
    "tables": {
        "num_anchors": 5,
        "anchor_embedding_dim": 7,
        "text_encoder": {"dim": 33},
        "vision_encoder": {"dim": 9},
    },
    "decoder width": {"audio_codec": {"decoder_dim": 144}},
    "rates": {"audio_codec": {"encoder_rates": [2, 4, 4, 10], "decoder_rates": [10, 4, 4, 2]}},
    "odd decoder rates": {"audio_codec": {"encoder_rates": [2, 4, 4, 10], "decoder_rates": [4, 2, 5, 8]}},
    "five encoder stages": {"audio_codec": {"encoder_rates": [2, 2, 4, 10, 12]}},
    "three decoder stages": {"audio_codec": {"encoder_rates": [4, 4, 10], "decoder_rates": [10, 4, 4]}},
}


def document(change: dict[str, Any]) -> dict[str, Any]:
    merged = dict(TINY)
    for key, value in change.items():
        merged[key] = TINY.get(key, {}) | value if isinstance(value, dict) else value
    return merged


def varied(folder: Path) -> dict[str, Tensor]:
    """Gives the checkpoint norms and gains that are not all one."""
    state: dict[str, Tensor] = torch.load(folder / "checkpoint.pt", weights_only=True)
    generator = torch.Generator().manual_seed(3)
    for key, tensor in state.items():
        if key.endswith((".alpha", "norm.weight", "weight_g")):
            tensor.mul_(0.7 + 0.6 * torch.rand(tensor.shape, generator=generator))
    torch.save(state, folder / "checkpoint.pt")
    return state


def velocity(model: SamAudioModel, noisy: Tensor, mixture: Tensor, text: Tensor) -> Tensor:
    at, conditioning = torch.tensor([0.3]), model.conditioning
    tokens = torch.zeros(noisy.shape[:2], dtype=torch.long)
    context = conditioning.context(mixture, tokens, conditioning.pictures.without_pictures())
    step = model.dit.prepare(at, conditioning.memory(text, at), None)
    change: Tensor = model.dit(conditioning(noisy, context), step)
    return change


@pytest.mark.parametrize("packed", [True, False], ids=["packed", "plain"])
@pytest.mark.parametrize("change", SIZES.values(), ids=SIZES.keys())
@torch.inference_mode()
def test_every_size_is_read_from_the_config(tmp_path: Path, change: dict[str, Any], packed: bool) -> None:
    folder = write_checkpoint(tmp_path / "model", document(change))
    state = varied(folder)
    model = load_model(folder, Placement(torch.device("cpu"), packed=packed))
    config, latents = model.config, model.config.audio_codec.codebook_dim
    torch.manual_seed(2)
    waveform = 0.3 * torch.randn(2, 1, FRAMES * config.audio_codec.hop_samples)
    torch.testing.assert_close(model.encoder(waveform), plain.encode(waveform, state, config), atol=1e-4, rtol=0)
    latent, message = torch.randn(2, latents, FRAMES), torch.randint(0, 2, (2, 16))
    marked = model.watermark(model.decoder(latent), message)
    torch.testing.assert_close(marked, plain.decode(latent, message, state, config), atol=1e-4, rtol=0)
    noisy, mixture = torch.randn(1, FRAMES, 2 * latents), torch.randn(1, FRAMES, latents)
    text = torch.randn(1, 5, config.text_encoder.dim)
    expected = plain.velocity(0.3, noisy, mixture, text, state, config)
    torch.testing.assert_close(velocity(model, noisy, mixture, text), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"transformer": {"n_kv_heads": 1}}, "1 key heads"),
        ({"audio_codec": {"encoder_rates": [2, 4, 5, 8], "decoder_rates": [8, 5, 4, 2]}}, "odd encoder rate"),
    ],
)
def test_unsupported_sizes_are_reported(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    folder = write_checkpoint(tmp_path / "model", document(change))
    with pytest.raises(InputError, match=words):
        load_model(folder, Placement(torch.device("cpu")))
