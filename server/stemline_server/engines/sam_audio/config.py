"""The sizes of a SAM Audio checkpoint from its `config.json`.

Missing sections and fields have the published default (the base size). Fields that inference does not use are ignored.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from stemline.errors import Code, InputError

WATERMARK_STRIDES = (8, 5, 4, 2)
"""Strides of the watermark's upsampling path, outermost decoder stage first. They follow from kernel sizes only."""

_FIXED_CHOICES = {
    "qk_norm": True,
    "use_rope": True,
    "fc_bias": False,
    "context_norm": False,
    "t_block_bias": True,
    "non_linearity": "swiglu",
    "timestep_non_linearity": "swiglu",
    "context_non_linearity": "swiglu",
    "t_block_non_linearity": "silu",
}
_Section = TypeVar("_Section")


@dataclass(frozen=True, slots=True)
class CodecConfig:
    """Hold the sizes of the codec between waveforms [1, hop*T] and latents [codebook_dim, T]."""

    encoder_dim: int = 64
    encoder_rates: tuple[int, ...] = (2, 8, 10, 12)
    latent_dim: int = 1024
    decoder_dim: int = 1536
    decoder_rates: tuple[int, ...] = (12, 10, 8, 2)
    codebook_dim: int = 128
    sample_rate: int = 48000

    @property
    def hop_samples(self) -> int:
        """Samples in a latent frame."""
        return math.prod(self.encoder_rates)

    @property
    def decoder_widths(self) -> tuple[int, ...]:
        """Channels before the first decoder stage and after each stage."""
        return tuple(self.decoder_dim >> i for i in range(len(self.decoder_rates) + 1))

    @property
    def watermark_strides(self) -> tuple[int, ...]:
        """Strides of the watermark path that corresponds to each decoder stage."""
        return WATERMARK_STRIDES[: len(self.decoder_rates)]

    @property
    def watermark_widths(self) -> tuple[int, ...]:
        """Channels of the watermark path for each of `decoder_widths`."""
        return tuple(width // 3 for width in self.decoder_widths)


@dataclass(frozen=True, slots=True)
class TransformerConfig:
    """Hold the sizes of the diffusion transformer."""

    dim: int = 2048
    n_heads: int = 16
    n_kv_heads: int | None = None
    n_layers: int = 16
    context_dim: int = 2048
    out_channels: int = 256
    norm_eps: float = 1e-5
    ffn_exp: float = 4
    ffn_dim_multiplier: float = 1
    multiple_of: int = 64
    max_positions: int = 10000
    frequency_embedding_dim: int = 256

    @property
    def head_dim(self) -> int:
        """Width of a head."""
        return self.dim // self.n_heads

    @property
    def ffn_hidden(self) -> int:
        """Width of the gated feed-forward layer: two thirds of a plain one, rounded up to `multiple_of`."""
        hidden = int(self.ffn_dim_multiplier * int(2 * int(self.ffn_exp * self.dim) / 3))
        return -(-hidden // self.multiple_of) * self.multiple_of

    @property
    def rope_theta(self) -> float:
        """Base of the rotary position frequencies."""
        return float(max(10000, 2 * self.max_positions))


@dataclass(frozen=True, slots=True)
class TextConfig:
    """Hold the width of the T5 encoder and the longest prompt in tokens."""

    dim: int = 768
    name: str = "t5-base"
    max_length: int = 512


@dataclass(frozen=True, slots=True)
class VisionConfig:
    """Hold the width of visual features, the name of the tower and how it takes pictures."""

    dim: int = 1024
    name: str = "PE-Core-L14-336"
    image_size: int = 336
    normalize_feature: bool = True
    interpolation_mode: str = "BICUBIC"


@dataclass(frozen=True, slots=True)
class SamAudioConfig:
    """Hold all sizes that determine the shapes in a checkpoint."""

    in_channels: int = 768
    num_anchors: int = 3
    anchor_embedding_dim: int = 128
    audio_codec: CodecConfig = field(default_factory=CodecConfig)
    text_encoder: TextConfig = field(default_factory=TextConfig)
    vision_encoder: VisionConfig = field(default_factory=VisionConfig)
    transformer: TransformerConfig = field(default_factory=TransformerConfig)


def read_config(folder: Path) -> SamAudioConfig:
    """Read `config.json` in a checkpoint's folder.

    Raises:
        InputError: The file is missing, invalid or describes a model that this engine does not support
            (MODEL_UNAVAILABLE).
    """
    path = folder / "config.json"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _unusable(path, f"cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise _unusable(path, "is not valid JSON") from error
    if not isinstance(document, dict):
        raise _unusable(path, "is not a JSON object")
    try:
        config = parse_config(document)
        problem = _problem(config) or _unsupported(document.get("transformer") or {})
    except (TypeError, ValueError, AttributeError) as error:
        raise _unusable(path, f"is invalid ({error})") from error
    if problem:
        raise _unusable(path, problem)
    return config


def parse_config(document: Mapping[str, Any]) -> SamAudioConfig:
    """Return the sizes in a parsed `config.json`.

    Raises:
        TypeError: A field has the wrong type.
        ValueError: A field has an invalid value.
    """
    sections = {
        "audio_codec": _section(CodecConfig, document.get("audio_codec")),
        "text_encoder": _section(TextConfig, document.get("text_encoder")),
        "vision_encoder": _section(VisionConfig, document.get("vision_encoder")),
        "transformer": _section(TransformerConfig, document.get("transformer")),
    }
    top = {key: int(document[key]) for key in ("in_channels", "num_anchors", "anchor_embedding_dim") if key in document}
    return SamAudioConfig(**top, **sections)  # type: ignore[arg-type]  # two maps of known keys, checked above


def _section(kind: type[_Section], given: Mapping[str, Any] | None) -> _Section:
    given = given or {}
    values = {}
    for known in fields(kind):  # type: ignore[arg-type]  # every kind passed in is a dataclass
        if known.name not in given:
            continue
        value = given[known.name]
        values[known.name] = tuple(int(v) for v in value) if isinstance(value, list) else value
    return kind(**values)


def _problem(config: SamAudioConfig) -> str:
    codec, dit = config.audio_codec, config.transformer
    if dit.n_kv_heads not in (None, dit.n_heads):
        return f"has {dit.n_kv_heads} key heads for {dit.n_heads} heads; this engine supports equal numbers only"
    if dit.dim % dit.n_heads or dit.head_dim % 2:
        return f"has a width of {dit.dim}, which cannot be divided into {dit.n_heads} heads of even width"
    if config.in_channels != 6 * codec.codebook_dim or dit.out_channels != 2 * codec.codebook_dim:
        return "has channel counts that do not match the codec's latent"
    if dit.context_dim != dit.dim:
        return "has a text width other than the transformer's, which this engine does not support"
    return _codec_problem(codec)


def _codec_problem(codec: CodecConfig) -> str:
    if math.prod(codec.encoder_rates) != math.prod(codec.decoder_rates):
        return "has codec rates whose products differ"
    if any(rate < 1 for rate in codec.decoder_rates) or any(rate < 2 or rate % 2 for rate in codec.encoder_rates):
        return "has an odd encoder rate, so that the codec's frames do not align with samples"
    if not 1 <= len(codec.decoder_rates) <= len(WATERMARK_STRIDES):
        return f"has {len(codec.decoder_rates)} decoder stages; the watermark supports {len(WATERMARK_STRIDES)} at most"
    if codec.sample_rate < codec.hop_samples:
        return f"has a sample rate of {codec.sample_rate} Hz, which is less than one frame per second"
    return ""


def _unsupported(transformer: Mapping[str, Any]) -> str:
    """Return what differs from choices that all published models share, or "" if nothing does."""
    for name, value in _FIXED_CHOICES.items():
        if transformer.get(name, value) != value:
            return f"sets {name} to {transformer[name]!r}; this engine supports {value!r} only"
    return ""


def _unusable(path: Path, what: str) -> InputError:
    return InputError(
        f"The model's {path.name} in {path.parent} {what}.",
        code=Code.MODEL_UNAVAILABLE,
        advice="Download the model's folder again.",
    )
