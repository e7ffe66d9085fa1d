"""Conversion of the tensors in a published checkpoint to the parameters of this implementation.

Weight norms are folded into weights, gate and up matrices as well as query, key and value matrices are stacked, head
rows are reordered, and products of constants are computed in advance. None of this changes the result.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stemline_server.engines.sam_audio.config import SamAudioConfig
from stemline_server.engines.sam_audio.discovery import TOWER_PREFIX
from stemline_server.engines.sam_audio.tower_sizes import TowerSizes

Build = Callable[[Sequence[Tensor]], Tensor]


@dataclass(frozen=True, slots=True)
class Conversion:
    """Describe how one parameter is built.

    Attributes:
        sources: Keys of the published tensors.
        build: Builds the parameter from these tensors, in order; it may reuse their memory.
    """

    sources: tuple[str, ...]
    build: Build


def conversion(name: str, config: SamAudioConfig) -> Conversion:
    """Return how to build a parameter.

    Args:
        name: Name of the parameter in `SamAudioModel`.
        config: Sizes of the model.

    Raises:
        KeyError: The model has no such parameter.
    """
    part, rest = name.split(".", 1)
    if part == "dit":
        return _dit_conversion(rest, config)
    if part == "conditioning":
        return _CONDITIONING[rest](config)
    key = _codec_key(name, config)
    rows = config.audio_codec.codebook_dim if rest.startswith("to_mean.") else None
    if part == "watermark" and name.endswith(".up.weight"):
        return Conversion((key,), lambda tensors: phase_rows(tensors[0]))
    if part == "watermark" or not name.endswith(".weight"):
        return Conversion((key,), lambda tensors: tensors[0][:rows].clone() if rows else tensors[0])
    stem = key.removesuffix("weight")
    upwards = name.endswith(".up.weight")

    def fold(tensors: Sequence[Tensor]) -> Tensor:
        weight = fold_weight_norm([tensor[:rows] for tensor in tensors])
        return phase_rows(weight) if upwards else weight

    return Conversion((f"{stem}weight_g", f"{stem}weight_v"), fold)


def fold_weight_norm(tensors: Sequence[Tensor]) -> Tensor:
    """Return the weight g * v / |v| of a weight norm, with norms over all dimensions but the first.

    Salimans and Kingma, "Weight Normalization", 2016.

    Args:
        tensors: Gain g and direction v. The result uses the memory of v.
    """
    gain, direction = tensors
    norm = direction.flatten(1).norm(dim=1).view(-1, *[1] * (direction.dim() - 1))
    return direction.mul_(gain / norm)


def phase_rows(weight: Tensor) -> Tensor:
    """Reorder a transposed convolution's weight [in, out, 2*stride] to the matrix [2*out*stride, in] of `UpConv`."""
    width_in, width_out, kernel = weight.shape
    return weight.view(width_in, width_out, 2, kernel // 2).permute(2, 1, 3, 0).reshape(-1, width_in)


def head_order(heads: int, head_dim: int, *, rotary: bool) -> Tensor:
    """Return the published row of each row here, [heads * head_dim].

    In published tensors, the head index runs fastest; here, the position within a head does.

    Args:
        heads: Number of heads.
        head_dim: Width of a head.
        rotary: Whether to also reorder rotary pairs (2i, 2i+1) to (i, i + half).
    """
    position = torch.arange(head_dim)
    if rotary:
        position = pair_order(head_dim)
    return (position[None, :] * heads + torch.arange(heads)[:, None]).flatten()


def pair_order(head_dim: int) -> Tensor:
    """Return the even positions of a head, then the odd ones."""
    return torch.arange(head_dim).view(-1, 2).t().flatten()


def _copy(source: str) -> Conversion:
    return Conversion((source,), lambda tensors: tensors[0])


def _stack(*sources: str) -> Conversion:
    return Conversion(sources, lambda tensors: torch.cat(list(tensors)))


def _conditioning_conversions() -> dict[str, Callable[[SamAudioConfig], Conversion]]:
    def block(config: SamAudioConfig, part: Callable[[Tensor, int], Tensor]) -> Conversion:
        width = config.audio_codec.codebook_dim
        return Conversion(("proj.weight",), lambda tensors: part(tensors[0], width))

    spans = Conversion(
        ("embed_anchors.embed.weight", "embed_anchors.proj.weight", "embed_anchors.gate"),
        lambda tensors: (tensors[0].float() @ tensors[1].float().t()) * tensors[2].float().tanh(),
    )
    pictures = "align_masked_video"
    return {
        "state.weight": lambda config: block(config, lambda weight, c: weight[:, : 2 * c].clone()),
        "mixture.weight": lambda config: block(
            config, lambda weight, c: weight[:, 4 * c : 5 * c] + weight[:, 5 * c : 6 * c]
        ),
        "mixture.bias": lambda _: _copy("proj.bias"),
        "span_table": lambda _: spans,
        "pictures.project.weight": lambda _: Conversion(
            (f"{pictures}.conv.weight",), lambda tensors: tensors[0].squeeze(-1)
        ),
        "pictures.project.bias": lambda _: _copy(f"{pictures}.conv.bias"),
        "pictures.norm.weight": lambda _: _copy(f"{pictures}.layer_norm.weight"),
        "pictures.norm.bias": lambda _: _copy(f"{pictures}.layer_norm.bias"),
        "pictures.gate": lambda _: _copy(f"{pictures}.gate"),
        "text.weight": lambda _: _copy("memory_proj.weight"),
        "text.bias": lambda _: _copy("memory_proj.bias"),
    }


_CONDITIONING = _conditioning_conversions()


def _dit_conversion(name: str, config: SamAudioConfig) -> Conversion:
    layer = re.fullmatch(r"layers\.(\d+)\.(.+)", name)
    if layer is not None:
        return _layer_conversion(f"transformer.layers.{layer[1]}.", layer[2], config)
    frame = re.fullmatch(r"frame_embedder\.(norms|convs)\.(\d)\.(weight|bias)", name)
    if frame is not None:
        kind = "groupnorm" if frame[1] == "norms" else "project"
        return _copy(f"transformer.x_embedder.block.block{int(frame[2]) + 1}.{kind}.{frame[3]}")
    for own, published in (("word_embedder", "y_embedder"), ("time_embedder", "t_embedder")):
        if name.startswith(own):
            return _gated_conversion(f"transformer.{published}.projection.", name.removeprefix(f"{own}."))
    return _copy(
        {
            "time_block.weight": "transformer.t_block.weight",
            "time_block.bias": "transformer.t_block.bias",
            "final_norm": "transformer.norm.weight",
            "final_modulation": "transformer.final_layer_scale_shift_table",
            "output.weight": "transformer.output.weight",
        }[name]
    )


def _gated_conversion(prefix: str, name: str) -> Conversion:
    if name == "gate_up.weight":
        return _stack(f"{prefix}w1.weight", f"{prefix}w3.weight")
    return _copy(f"{prefix}w2.weight")


def _layer_conversion(prefix: str, name: str, config: SamAudioConfig) -> Conversion:
    if name.startswith("feed_forward."):
        return _gated_conversion(f"{prefix}feed_forward.", name.removeprefix("feed_forward."))
    heads, width = config.transformer.n_heads, config.transformer.head_dim
    plain, rotary = head_order(heads, width, rotary=False), head_order(heads, width, rotary=True)
    pairs = pair_order(width)
    attention, cross = f"{prefix}attention.", f"{prefix}cross_attention."
    reordered: dict[str, tuple[tuple[str, ...], tuple[Tensor, ...]]] = {
        "qkv.weight": (tuple(f"{attention}w{part}.weight" for part in "qkv"), (rotary, rotary, plain)),
        "q_norm.weight": ((f"{attention}q_norm.weight",), (pairs,)),
        "k_norm.weight": ((f"{attention}k_norm.weight",), (pairs,)),
        "cross_q.weight": ((f"{cross}wq.weight",), (plain,)),
        "cross_kv.weight": ((f"{cross}wk.weight", f"{cross}wv.weight"), (plain, plain)),
    }
    if name in reordered:
        sources, orders = reordered[name]
        return Conversion(sources, lambda tensors: torch.cat([t[o] for t, o in zip(tensors, orders, strict=True)]))
    return _copy(
        {
            "modulation": f"{prefix}scale_shift_table",
            "attention_norm": f"{prefix}attention_norm.weight",
            "ffn_norm": f"{prefix}ffn_norm.weight",
            "out.weight": f"{attention}wo.weight",
            "cross_out.weight": f"{cross}wo.weight",
            "cross_q_norm.weight": f"{cross}q_norm.weight",
            "cross_k_norm.weight": f"{cross}k_norm.weight",
        }[name]
    )


_UNIT = {"snake_in": 0, "dilated": 1, "snake_mid": 2, "pointwise": 3}


def _encoder_unit(match: re.Match[str]) -> str:
    return f"encoder.block.{int(match[1]) + 1}.block.{match[2]}.block.{_UNIT[match[3]]}"


def _decoder_unit(match: re.Match[str]) -> str:
    return f"decoder.model.{int(match[1]) + 1}.block.{(4, 5, 8)[int(match[2])]}.block.{_UNIT[match[3]]}"


def _stage(pattern: str) -> Callable[[re.Match[str]], str]:
    return lambda match: pattern.format(int(match[1]) + 1)


def _elu_unit(slot: int) -> Callable[[re.Match[str]], str]:
    layers = {"narrow": 1, "widen": 3}
    return lambda match: f"decoder.model.{int(match[1]) + 1}.block.{slot}.block.{layers[match[2]]}"


_MARK = "decoder.wm_model"
_CODEC_NAMES: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    (r"encoder\.stem", "encoder.block.0"),
    (r"encoder\.stages\.(\d+)\.units\.(\d)\.(\w+)", _encoder_unit),
    (r"encoder\.stages\.(\d+)\.snake", _stage("encoder.block.{}.block.3")),
    (r"encoder\.stages\.(\d+)\.down", _stage("encoder.block.{}.block.4")),
    (r"encoder\.to_mean", "quantizer.in_proj"),
    (r"decoder\.from_latent", "quantizer.out_proj"),
    (r"decoder\.stem", "decoder.model.0"),
    (r"decoder\.stages\.(\d+)\.snake", _stage("decoder.model.{}.block.0")),
    (r"decoder\.stages\.(\d+)\.up", _stage("decoder.model.{}.block.1")),
    (r"decoder\.stages\.(\d+)\.units\.(\d)\.(\w+)", _decoder_unit),
    (r"decoder\.snake", f"{_MARK}.encoder_block.pre.0"),
    (r"decoder\.head", f"{_MARK}.encoder_block.pre.1"),
    (r"watermark\.stem", f"{_MARK}.encoder_block.pre.3"),
    (r"watermark\.downs\.(\d+)\.unit\.(\w+)", _elu_unit(7)),
    (r"watermark\.downs\.(\d+)\.down", _stage("decoder.model.{}.block.11")),
    (r"watermark\.down_lstm", f"{_MARK}.encoder_block.post.0"),
    (r"watermark\.to_code", f"{_MARK}.encoder_block.post.2"),
    (r"watermark\.bits", f"{_MARK}.msg_processor.msg_processor"),
    (r"watermark\.from_code", f"{_MARK}.decoder_block.pre.0"),
    (r"watermark\.up_lstm", f"{_MARK}.decoder_block.pre.1"),
    (r"watermark\.ups\.(\d+)\.up", _stage("decoder.model.{}.block.3")),
    (r"watermark\.ups\.(\d+)\.unit\.(\w+)", _elu_unit(6)),
    (r"watermark\.head", f"{_MARK}.decoder_block.post.1"),
)


def _codec_key(name: str, config: SamAudioConfig) -> str:
    """Return the published key of a codec parameter; the two parts of a weight norm share the ending `weight`."""
    stages = len(config.audio_codec.encoder_rates)
    tail = ((r"encoder\.snake", f"encoder.block.{stages + 1}"), (r"encoder\.head", f"encoder.block.{stages + 2}"))
    for pattern, published in (*_CODEC_NAMES, *tail):
        match = re.match(rf"{pattern}\.(?=\w)", name)
        if match is not None:
            prefix = published if isinstance(published, str) else published(match)
            return f"audio_codec.{prefix}.{name[match.end() :]}"
    raise KeyError(name)


_TOWER_NAMES = (
    (r"class_token", "class_embedding"),
    (r"positions", "positional_embedding"),
    (r"norm_in", "ln_pre"),
    (r"norm_out", "ln_post"),
    (r"blocks\.(\d+)\.attention_norm", r"transformer.resblocks.\1.ln_1"),
    (r"blocks\.(\d+)\.ffn_norm", r"transformer.resblocks.\1.ln_2"),
    (r"blocks\.(\d+)\.attention\.out", r"transformer.resblocks.\1.attn.out_proj"),
    (r"blocks\.(\d+)\.feed_forward\.up", r"transformer.resblocks.\1.mlp.c_fc"),
    (r"blocks\.(\d+)\.feed_forward\.down", r"transformer.resblocks.\1.mlp.c_proj"),
    (r"pooling\.probe", "attn_pool.probe"),
    (r"pooling\.out", "attn_pool.attn.out_proj"),
    (r"pooling\.norm", "attn_pool.layernorm"),
    (r"pooling\.feed_forward\.up", "attn_pool.mlp.c_fc"),
    (r"pooling\.feed_forward\.down", "attn_pool.mlp.c_proj"),
)


def tower_conversion(name: str, sizes: TowerSizes) -> Conversion:
    """Return how to build a parameter of the vision tower.

    Args:
        name: Name of the parameter in `VisionTower`.
        sizes: Sizes of the tower.

    Raises:
        KeyError: The tower has no such parameter.
    """
    width = sizes.width
    if name == "patches.weight":
        return _built("conv1.weight", lambda weight: weight.permute(0, 2, 3, 1).flatten(1))
    if name == "output.weight":
        return _built("proj", lambda weight: weight.t())
    layer = re.fullmatch(r"blocks\.(\d+)\.attention\.qkv\.(weight|bias)", name)
    if layer is not None:
        order = _rotary_rows(sizes)
        return _built(f"transformer.resblocks.{layer[1]}.attn.in_proj_{layer[2]}", lambda rows: rows[order])
    pool = re.fullmatch(r"pooling\.(query|kv)\.(weight|bias)", name)
    if pool is not None:
        rows = slice(0, width) if pool[1] == "query" else slice(width, None)
        return _built(f"attn_pool.attn.in_proj_{pool[2]}", lambda tensor: tensor[rows])
    for pattern, published in _TOWER_NAMES:
        match = re.fullmatch(rf"{pattern}(?P<part>\.weight|\.bias|)", name)
        if match is not None:
            return _copy(TOWER_PREFIX + match.expand(published) + match["part"])
    raise KeyError(name)


def _built(key: str, build: Callable[[Tensor], Tensor]) -> Conversion:
    return Conversion((TOWER_PREFIX + key,), lambda tensors: build(tensors[0]))


def _rotary_rows(sizes: TowerSizes) -> Tensor:
    """Return the published row of each row of query, key and value: the rotary pairs of both are reordered."""
    rows = torch.arange(3 * sizes.width).view(3, sizes.heads, -1)
    pairs = rows[:2, :, pair_order(sizes.width // sizes.heads)]
    return torch.cat((pairs.flatten(), rows[2].flatten()))
