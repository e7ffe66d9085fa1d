"""Checkpoints in the published layout with generated weights, a tiny T5 with tokenizer, audio in memory, a control."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from stemline_server._torchaudio import torchaudio_transforms
from stemline_server.engines.base import Finding, Waveform
from stemline_server.engines.sam_audio.config import WATERMARK_STRIDES, SamAudioConfig, parse_config
from stemline_server.engines.sam_audio.tower_sizes import TowerSizes

TINY: dict[str, Any] = {
    "in_channels": 48,
    "audio_codec": {
        "encoder_dim": 4,
        "encoder_rates": [2, 8, 10, 12],
        "latent_dim": 24,
        "decoder_dim": 96,
        "decoder_rates": [12, 10, 8, 2],
        "codebook_dim": 8,
    },
    "text_encoder": {"dim": 16},
    "vision_encoder": {"dim": 12},
    "transformer": {"dim": 48, "n_heads": 3, "n_layers": 2, "context_dim": 48, "out_channels": 16, "multiple_of": 32},
    "anchor_embedding_dim": 6,
}
TOWER: dict[str, Any] = {
    "patch_size": 14,
    "width": 32,
    "layers": 2,
    "heads": 2,
    "mlp_ratio": 4.0,
    "output_dim": 12,
    "image_size": 28,
    "use_cls_token": True,
    "attn_pooler_heads": 4,
}
SIGHTED: dict[str, Any] = {**TINY, "vision_encoder": {"dim": 12, "name": "PE-Tiny", "image_size": 28}}
"""A checkpoint with a vision tower of these sizes."""
_QUIET_GAIN = 0.3
_QUIET = (".block.3.weight_g", "encoder_block.pre.1.weight_g")
WORDS = ("dog", "barking", "man", "speaking", "thunder", "a", "rain", "door")


def published_shapes(config: SamAudioConfig) -> dict[str, tuple[int, ...]]:
    """The shapes of the published state dict by key, without the vision tower."""
    return dict(_glue(config)) | dict(_transformer(config)) | dict(_codec(config))


def tower_shapes(sizes: TowerSizes) -> dict[str, tuple[int, ...]]:
    """The shapes of the published vision tower by key."""
    width, visual = sizes.width, "vision_encoder.model.visual"
    hidden = int(sizes.mlp_ratio * width)
    shapes: dict[str, tuple[int, ...]] = {
        f"{visual}.conv1.weight": (width, 3, sizes.patch_size, sizes.patch_size),
        f"{visual}.class_embedding": (width,),
        f"{visual}.positional_embedding": (sizes.tokens, width),
        f"{visual}.proj": (width, sizes.output_dim),
        f"{visual}.attn_pool.probe": (1, 1, width),
    }
    blocks = [f"{visual}.transformer.resblocks.{layer}" for layer in range(sizes.layers)]
    for block, inner in (*((block, hidden) for block in blocks), (f"{visual}.attn_pool", 4 * width)):
        shapes |= {f"{block}.attn.in_proj_weight": (3 * width, width), f"{block}.attn.in_proj_bias": (3 * width,)}
        shapes |= _dense(f"{block}.attn.out_proj", width, width)
        shapes |= _dense(f"{block}.mlp.c_fc", inner, width) | _dense(f"{block}.mlp.c_proj", width, inner)
    norms = [f"{visual}.ln_pre", f"{visual}.ln_post", f"{visual}.attn_pool.layernorm"]
    for norm in (*norms, *(f"{block}.ln_{number}" for block in blocks for number in (1, 2))):
        shapes |= {f"{norm}.weight": (width,), f"{norm}.bias": (width,)}
    return shapes


def _dense(key: str, rows: int, columns: int) -> dict[str, tuple[int, ...]]:
    return {f"{key}.weight": (rows, columns), f"{key}.bias": (rows,)}


def _glue(config: SamAudioConfig) -> Iterator[tuple[str, tuple[int, ...]]]:
    dim, anchor, vision = config.transformer.dim, config.anchor_embedding_dim, config.vision_encoder.dim
    yield from {
        "proj.weight": (dim, config.in_channels),
        "proj.bias": (dim,),
        "memory_proj.weight": (dim, config.text_encoder.dim),
        "memory_proj.bias": (dim,),
        "embed_anchors.embed.weight": (config.num_anchors + 1, anchor),
        "embed_anchors.gate": (1,),
        "embed_anchors.proj.weight": (dim, anchor),
        "align_masked_video.conv.weight": (dim, vision, 1),
        "align_masked_video.conv.bias": (dim,),
        "align_masked_video.layer_norm.weight": (dim,),
        "align_masked_video.layer_norm.bias": (dim,),
        "align_masked_video.gate": (1,),
    }.items()


def _transformer(config: SamAudioConfig) -> Iterator[tuple[str, tuple[int, ...]]]:
    dit = config.transformer
    dim, hidden = dit.dim, dit.ffn_hidden
    for block in (1, 2):
        prefix = f"transformer.x_embedder.block.block{block}"
        yield from ((f"{prefix}.groupnorm.{part}", (dim,)) for part in ("weight", "bias"))
        yield f"{prefix}.project.weight", (dim, dim, 3)
        yield f"{prefix}.project.bias", (dim,)
    for w in (1, 2, 3):
        yield f"transformer.y_embedder.projection.w{w}.weight", (dim, dim)
        yield f"transformer.t_embedder.projection.w{w}.weight", (dim, dim if w == 2 else dit.frequency_embedding_dim)
    yield "transformer.t_block.weight", (6 * dim, dim)
    yield "transformer.t_block.bias", (6 * dim,)
    for layer in range(dit.n_layers):
        prefix = f"transformer.layers.{layer}"
        yield f"{prefix}.scale_shift_table", (6, dim)
        yield from ((f"{prefix}.{norm}.weight", (dim,)) for norm in ("attention_norm", "ffn_norm"))
        for attention in ("attention", "cross_attention"):
            yield from ((f"{prefix}.{attention}.w{part}.weight", (dim, dim)) for part in "qkvo")
            yield from ((f"{prefix}.{attention}.{part}_norm.weight", (dit.head_dim,)) for part in "qk")
        for w in (1, 2, 3):
            yield f"{prefix}.feed_forward.w{w}.weight", (dim, hidden) if w == 2 else (hidden, dim)
    yield "transformer.norm.weight", (dim,)
    yield "transformer.final_layer_scale_shift_table", (2, dim)
    yield "transformer.output.weight", (dit.out_channels, dim)


def _normed(prefix: str, weight: tuple[int, int, int], bias: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{prefix}.weight_g", (weight[0], 1, 1)
    yield f"{prefix}.weight_v", weight
    yield f"{prefix}.bias", (bias,)


def _plain(prefix: str, weight: tuple[int, int, int], bias: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{prefix}.weight", weight
    yield f"{prefix}.bias", (bias,)


def _unit(prefix: str, width: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{prefix}.block.0.alpha", (1, width, 1)
    yield from _normed(f"{prefix}.block.1", (width, width, 7), width)
    yield f"{prefix}.block.2.alpha", (1, width, 1)
    yield from _normed(f"{prefix}.block.3", (width, width, 1), width)


def _codec(config: SamAudioConfig) -> Iterator[tuple[str, tuple[int, ...]]]:
    codec = config.audio_codec
    encoder, decoder, width = "audio_codec.encoder.block", "audio_codec.decoder.model", codec.encoder_dim
    yield from _normed(f"{encoder}.0", (width, 1, 7), width)
    for stage, stride in enumerate(codec.encoder_rates, start=1):
        for unit in range(3):
            yield from _unit(f"{encoder}.{stage}.block.{unit}", width)
        yield f"{encoder}.{stage}.block.3.alpha", (1, width, 1)
        yield from _normed(f"{encoder}.{stage}.block.4", (2 * width, width, 2 * stride), 2 * width)
        width *= 2
    stages = len(codec.encoder_rates)
    yield f"{encoder}.{stages + 1}.alpha", (1, width, 1)
    yield from _normed(f"{encoder}.{stages + 2}", (codec.latent_dim, width, 3), codec.latent_dim)
    latent, inner = codec.codebook_dim, codec.latent_dim
    yield from _normed("audio_codec.quantizer.in_proj", (2 * latent, inner, 1), 2 * latent)
    yield from _normed("audio_codec.quantizer.out_proj", (inner, latent, 1), inner)
    yield from _normed(f"{decoder}.0", (codec.decoder_dim, inner, 7), codec.decoder_dim)
    for i, stride in enumerate(codec.decoder_rates):
        yield from _decoder_stage(f"{decoder}.{i + 1}.block", codec.decoder_widths[i : i + 2], stride, i)
    yield from _watermark(codec.decoder_widths[-1], codec.watermark_widths)


def _decoder_stage(
    prefix: str, widths: tuple[int, ...], stride: int, index: int
) -> Iterator[tuple[str, tuple[int, ...]]]:
    wide, narrow = widths
    mark_wide, mark_narrow, mark_kernel = wide // 3, narrow // 3, 2 * WATERMARK_STRIDES[index]
    yield f"{prefix}.0.alpha", (1, wide, 1)
    yield from _normed(f"{prefix}.1", (wide, narrow, 2 * stride), narrow)
    yield from _plain(f"{prefix}.3", (mark_wide, mark_narrow, mark_kernel), mark_narrow)
    for unit in (4, 5, 8):
        yield from _unit(f"{prefix}.{unit}", narrow)
    for unit in (6, 7):
        half = mark_narrow // 2
        yield from _plain(f"{prefix}.{unit}.block.1", (half, mark_narrow, 3), half)
        yield from _plain(f"{prefix}.{unit}.block.3", (mark_narrow, half, 1), mark_narrow)
    yield from _plain(f"{prefix}.11", (mark_wide, mark_narrow, mark_kernel), mark_wide)


def _watermark(narrow: int, widths: tuple[int, ...]) -> Iterator[tuple[str, tuple[int, ...]]]:
    prefix, hidden = "audio_codec.decoder.wm_model", widths[0]
    yield f"{prefix}.encoder_block.pre.0.alpha", (1, narrow, 1)
    yield from _normed(f"{prefix}.encoder_block.pre.1", (1, narrow, 7), 1)
    yield from _plain(f"{prefix}.encoder_block.pre.3", (widths[-1], 1, 7), widths[-1])
    for lstm in ("encoder_block.post.0", "decoder_block.pre.1"):
        for layer in (0, 1):
            for side in ("ih", "hh"):
                yield f"{prefix}.{lstm}.lstm.weight_{side}_l{layer}", (4 * hidden, hidden)
                yield f"{prefix}.{lstm}.lstm.bias_{side}_l{layer}", (4 * hidden,)
    yield from _plain(f"{prefix}.encoder_block.post.2", (128, hidden, 7), 128)
    yield f"{prefix}.msg_processor.msg_processor.weight", (32, 128)
    yield from _plain(f"{prefix}.decoder_block.pre.0", (hidden, 128, 7), hidden)
    yield from _plain(f"{prefix}.decoder_block.post.1", (1, widths[-1], 7), 1)


def generated_tensor(key: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Weights that preserve a signal's level: random directions, gains and norms of one, small biases and gates."""
    if key.endswith((".alpha", "norm.weight", "ln_pre.weight", "ln_post.weight", "ln_1.weight", "ln_2.weight")):
        return torch.ones(shape)
    if key.endswith("weight_g"):
        return torch.full(shape, _QUIET_GAIN if key.endswith(_QUIET) else 1.0)
    noise = torch.randn(shape, generator=generator)
    if key.endswith(("bias", "_table")) or ".bias_" in key:
        return 0.1 * noise
    if len(shape) < 2:
        return 0.5 * noise
    return noise / math.sqrt(math.prod(shape[1:]))


def write_checkpoint(
    folder: Path,
    document: dict[str, Any],
    *,
    kind: str = "checkpoint.pt",
    seed: int = 0,
    tower: dict[str, Any] | None = None,
) -> Path:
    """Write a folder as published: `config.json` with `checkpoint.pt` or `model.safetensors`; with the sizes of a
    vision tower also that.
    """
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(seed)
    shapes = published_shapes(parse_config(document))
    if tower is not None:
        shapes |= tower_shapes(TowerSizes(**tower))
        (folder / "tower.json").write_text(json.dumps(tower), encoding="utf-8")
    state = {key: generated_tensor(key, shape, generator) for key, shape in shapes.items()}
    (folder / "config.json").write_text(json.dumps(document), encoding="utf-8")
    if kind == "checkpoint.pt":
        torch.save(state, folder / kind)
    else:
        save_file(state, folder / kind)
    return folder


def write_text_encoder(folder: Path, width: int) -> Path:
    """Write a random T5 with one layer and a tokenizer of whole words."""
    torchaudio_transforms()  # transformers imports torchaudio if it is installed
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

    special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    vocabulary = {word: number for number, word in enumerate((*special.values(), *WORDS))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=special["unk_token"]))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    torch.manual_seed(0)
    config = T5Config(vocab_size=len(vocabulary), d_model=width, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    T5EncoderModel(config).save_pretrained(folder)
    return folder


@dataclass(frozen=True)
class ArraySource:
    """An `AudioSource` of an array, at 48 kHz by default."""

    samples: Waveform
    sample_rate: int = 48000

    @property
    def channels(self) -> int:
        return int(self.samples.shape[0])

    @property
    def length_samples(self) -> int:
        return int(self.samples.shape[1])

    def read(self, start_sample: int, end_sample: int) -> Waveform:
        assert 0 <= start_sample <= end_sample <= self.length_samples
        return self.samples[:, start_sample:end_sample]


def sounds(seconds: float, seed: int = 1) -> Waveform:
    """A gliding tone in noise, [1, samples]."""
    count = int(seconds * 48000)
    rng = np.random.default_rng(seed)
    time = np.arange(count) / 48000
    tone = 0.3 * np.sin(2 * np.pi * (220 * time + 40 * np.sin(time)))
    sound: Waveform = (tone + 0.1 * rng.standard_normal(count)).astype(np.float32)[None]
    return sound


class Recorder:
    """A `Control` that records everything and can raise at a step."""

    def __init__(self, stop_at: int | None = None, stop_with: type[Exception] | None = None) -> None:
        self.steps: list[tuple[int, int]] = []
        self.warnings: list[tuple[int, str, str]] = []
        self.findings: dict[int, Finding] = {}
        self._stop_at, self._stop_with = stop_at, stop_with

    def step(self, done: int, total: int) -> None:
        self.steps.append((done, total))
        if self._stop_at is not None and done >= self._stop_at and self._stop_with is not None:
            raise self._stop_with

    def warn(self, prompt: int, code: str, message: str) -> None:
        self.warnings.append((prompt, code, message))

    def find(self, prompt: int, finding: Finding) -> None:
        self.findings[prompt] = finding
