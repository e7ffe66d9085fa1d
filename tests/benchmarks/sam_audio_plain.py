"""SAM Audio's published loop, operation by operation and eagerly: the baseline of `bench_sam_audio.py`.

One item, nothing kept between evaluations, weight norm worked out at every call, heads in the published order, target
and residual both decoded in one pass with their watermarks. Written from the published structure on a published state
dict.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  # torch's own name for it

from stemline_server.engines.sam_audio.config import SamAudioConfig

State = Mapping[str, Tensor]
_MARK = "audio_codec.decoder.wm_model"
_DECODER = "audio_codec.decoder.model"


def weight(state: State, key: str) -> Tensor:
    return torch._weight_norm(state[f"{key}.weight_v"], state[f"{key}.weight_g"], 0)


def conv(x: Tensor, state: State, key: str, stride: int = 1, dilation: int = 1) -> Tensor:
    kernel = weight(state, key)
    padding = (kernel.shape[-1] - stride) * dilation // 2
    return F.conv1d(x, kernel, state[f"{key}.bias"], stride, padding, dilation)


def snake(x: Tensor, state: State, key: str) -> Tensor:
    alpha = state[f"{key}.alpha"]
    return x + (alpha + 1e-9).reciprocal() * torch.sin(alpha * x).pow(2)


def unit(x: Tensor, state: State, key: str, dilation: int) -> Tensor:
    y = conv(snake(x, state, f"{key}.block.0"), state, f"{key}.block.1", dilation=dilation)
    return x + conv(snake(y, state, f"{key}.block.2"), state, f"{key}.block.3")


def encode(waveform: Tensor, state: State, config: SamAudioConfig) -> Tensor:
    """[B, 1, n] to [B, C, T]."""
    codec, prefix = config.audio_codec, "audio_codec.encoder.block"
    x = F.pad(waveform, (0, -waveform.shape[-1] % codec.hop_samples), mode="reflect")
    x = conv(x, state, f"{prefix}.0")
    for stage, stride in enumerate(codec.encoder_rates, start=1):
        for number, dilation in enumerate((1, 3, 9)):
            x = unit(x, state, f"{prefix}.{stage}.block.{number}", dilation)
        x = snake(x, state, f"{prefix}.{stage}.block.3")
        x = conv(x, state, f"{prefix}.{stage}.block.4", stride=stride)
    stages = len(codec.encoder_rates)
    x = conv(snake(x, state, f"{prefix}.{stages + 1}"), state, f"{prefix}.{stages + 2}")
    return conv(x, state, "audio_codec.quantizer.in_proj").chunk(2, dim=1)[0]


def decode(latent: Tensor, message: Tensor, state: State, config: SamAudioConfig) -> Tensor:
    """[B, C, T] to the watermarked [B, 1, n]."""
    x = conv(conv(latent, state, "audio_codec.quantizer.out_proj"), state, f"{_DECODER}.0")
    for stage, stride in enumerate(config.audio_codec.decoder_rates, start=1):
        prefix = f"{_DECODER}.{stage}.block"
        x = snake(x, state, f"{prefix}.0")
        up = weight(state, f"{prefix}.1")
        x = F.conv_transpose1d(x, up, state[f"{prefix}.1.bias"], stride, (stride + 1) // 2, stride % 2)
        for number, dilation in ((4, 1), (5, 3), (8, 9)):
            x = unit(x, state, f"{prefix}.{number}", dilation)
    x = snake(x, state, f"{_MARK}.encoder_block.pre.0")
    clean = torch.tanh(conv(x, state, f"{_MARK}.encoder_block.pre.1"))
    return clean + 0.25 * mark(clean, message, state, config.audio_codec.watermark_strides)


def causal(x: Tensor, state: State, key: str, stride: int = 1) -> Tensor:
    kernel = state[f"{key}.weight"]
    return F.conv1d(F.pad(x, (kernel.shape[-1] - stride, 0)), kernel, state[f"{key}.bias"], stride)


def elu_unit(x: Tensor, state: State, key: str) -> Tensor:
    return x + causal(F.elu(causal(F.elu(x), state, f"{key}.block.1")), state, f"{key}.block.3")


def lstm(x: Tensor, state: State, key: str) -> Tensor:
    names = [f"{part}_{side}_l{layer}" for layer in (0, 1) for part in ("weight", "bias") for side in ("ih", "hh")]
    weights = [state[f"{key}.lstm.{name}"] for name in names]
    start = x.new_zeros(2, x.shape[0], x.shape[1])
    y = torch.lstm(x.transpose(1, 2), (start, start), weights, True, 2, 0.0, False, False, True)[0]
    return y.transpose(1, 2) + x


def mark(clean: Tensor, message: Tensor, state: State, strides: tuple[int, ...]) -> Tensor:
    x = causal(clean, state, f"{_MARK}.encoder_block.pre.3")
    for stage in range(len(strides), 0, -1):
        prefix = f"{_DECODER}.{stage}.block"
        x = F.elu(elu_unit(x, state, f"{prefix}.7"))
        x = causal(x, state, f"{prefix}.11", strides[stage - 1])
    x = lstm(x, state, f"{_MARK}.encoder_block.post.0")
    x = causal(F.elu(x), state, f"{_MARK}.encoder_block.post.2")
    bits = 2 * torch.arange(message.shape[1], device=message.device) + message.long()
    x = x + F.embedding(bits, state[f"{_MARK}.msg_processor.msg_processor.weight"]).sum(dim=1).unsqueeze(-1)
    x = lstm(causal(x, state, f"{_MARK}.decoder_block.pre.0"), state, f"{_MARK}.decoder_block.pre.1")
    for stage, stride in enumerate(strides, start=1):
        prefix = f"{_DECODER}.{stage}.block"
        up = F.conv_transpose1d(F.elu(x), state[f"{prefix}.3.weight"], state[f"{prefix}.3.bias"], stride)
        x = elu_unit(up[..., :-stride], state, f"{prefix}.6")
    return causal(F.elu(x), state, f"{_MARK}.decoder_block.post.1")


def waves(time: Tensor, width: int) -> Tensor:
    half = width // 2
    frequencies = torch.exp(-math.log(10000) * torch.arange(half, device=time.device) / half)
    angles = time[:, None] * frequencies
    return torch.cat((angles.cos(), angles.sin()), dim=-1)


def linear(x: Tensor, state: State, key: str) -> Tensor:
    return F.linear(x, state[f"{key}.weight"], state.get(f"{key}.bias"))


def gated(x: Tensor, state: State, key: str) -> Tensor:
    return linear(F.silu(linear(x, state, f"{key}.w1")) * linear(x, state, f"{key}.w3"), state, f"{key}.w2")


def norm(x: Tensor, state: State, key: str, eps: float) -> Tensor:
    scale = torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + eps)
    return (x.float() * scale).to(x.dtype) * state[f"{key}.weight"]


@lru_cache(maxsize=2)
def rope_table(length: int, width: int, theta: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """Made once, as published: cosines and sines [length, 1, width / 2]."""
    half = torch.arange(0, width, 2, device=device) / width
    angles = torch.outer(torch.arange(length, device=device), theta**-half)[:, None]
    return angles.cos(), angles.sin()


def rope(x: Tensor, theta: float) -> Tensor:
    """[B, T, H, hd], pairs (2i, 2i + 1)."""
    cos, sin = rope_table(x.shape[1], x.shape[-1], theta, x.device)
    even, odd = x[..., ::2], x[..., 1::2]
    turned = (even * cos - odd * sin, even * sin + odd * cos)
    return torch.stack(turned, dim=-1).flatten(3).to(x.dtype)


def attention(x: Tensor, memory: Tensor | None, state: State, key: str, config: SamAudioConfig) -> Tensor:
    dit = config.transformer
    source = x if memory is None else memory

    def heads(tensor: Tensor, part: str) -> Tensor:
        split: Tensor = linear(tensor, state, f"{key}.{part}").unflatten(-1, (dit.head_dim, dit.n_heads))
        return split.transpose(-1, -2)

    q, k, v = heads(x, "wq"), heads(source, "wk"), heads(source, "wv")
    q, k = norm(q, state, f"{key}.q_norm", dit.norm_eps), norm(k, state, f"{key}.k_norm", dit.norm_eps)
    if memory is None:
        q, k = rope(q, dit.rope_theta), rope(k, dit.rope_theta)
    y = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
    return linear(y.transpose(1, 2).flatten(2), state, f"{key}.wo")


def velocity(time: float, noisy: Tensor, latent: Tensor, text: Tensor, state: State, config: SamAudioConfig) -> Tensor:
    """State [B, T, 2C], mixture latent [B, T, C], text [B, L, dtext] to the change of the state, with no spans or
    pictures.
    """
    dit = config.transformer
    at = torch.tensor([time], device=noisy.device)
    twice = torch.cat((latent, latent), dim=-1)
    x = linear(torch.cat((noisy, torch.zeros_like(noisy), twice), dim=-1), state, "proj")
    x = x + glue(x, state, config)
    memory = linear(text, state, "memory_proj") + waves(at, dit.dim).unsqueeze(1).to(x.dtype)
    y = gated(memory, state, "transformer.y_embedder.projection")
    t = gated(waves(at, dit.frequency_embedding_dim).to(x.dtype), state, "transformer.t_embedder.projection")
    block = linear(F.silu(t), state, "transformer.t_block").view(-1, 6, dit.dim)
    x = frames(x, state)
    for layer in range(dit.n_layers):
        key = f"transformer.layers.{layer}"
        parts = (state[f"{key}.scale_shift_table"] + block).chunk(6, dim=1)
        h = norm(x, state, f"{key}.attention_norm", dit.norm_eps) * (1 + parts[1]) + parts[0]
        x = x + parts[2] * attention(h, None, state, f"{key}.attention", config)
        x = x + attention(x, y, state, f"{key}.cross_attention", config)
        h = norm(x, state, f"{key}.ffn_norm", dit.norm_eps) * (1 + parts[4]) + parts[3]
        x = x + parts[5] * gated(h, state, f"{key}.feed_forward")
    shift, scale = (state["transformer.final_layer_scale_shift_table"] + t[:, None]).chunk(2, dim=1)
    x = norm(x, state, "transformer.norm", dit.norm_eps) * (1 + scale) + shift
    return linear(x, state, "transformer.output")


def glue(x: Tensor, state: State, config: SamAudioConfig) -> Tensor:
    """Null spans and zero pictures, taken through their modules at every evaluation."""
    tokens = state["embed_anchors.embed.weight"][torch.zeros(x.shape[:2], dtype=torch.long, device=x.device)]
    spans = linear(tokens, state, "embed_anchors.proj") * state["embed_anchors.gate"].tanh()
    pictures = x.new_zeros(x.shape[0], config.vision_encoder.dim, x.shape[1])
    seen = F.conv1d(pictures, state["align_masked_video.conv.weight"], state["align_masked_video.conv.bias"])
    weight, bias = (state[f"align_masked_video.layer_norm.{part}"] for part in ("weight", "bias"))
    seen = F.layer_norm(seen.transpose(1, 2), (config.transformer.dim,), weight, bias, 1e-5)
    return spans + seen * state["align_masked_video.gate"].tanh()


def frames(x: Tensor, state: State) -> Tensor:
    x = x.transpose(1, 2)
    y = x
    for number in (1, 2):
        key = f"transformer.x_embedder.block.block{number}"
        y = F.group_norm(y, 1, state[f"{key}.groupnorm.weight"], state[f"{key}.groupnorm.bias"], 1e-5)
        y = F.conv1d(F.silu(y), state[f"{key}.project.weight"], state[f"{key}.project.bias"], padding=1)
    return (x + y).transpose(1, 2)


@dataclass(frozen=True)
class Given:
    """Waveform [1, 1, n], noise [1, T, 2C], text [1, L, dtext], the watermarks' messages [2, 16]."""

    waveform: Tensor
    noise: Tensor
    text: Tensor
    messages: Tensor


@torch.inference_mode()
def separate(given: Given, state: State, config: SamAudioConfig, steps: int = 16) -> Tensor:
    """Target and residual [2, 1, T * hop]."""
    latent = encode(given.waveform, state, config).transpose(1, 2)
    y, size = given.noise, 1 / steps
    for step in range(steps):
        time = step * size
        first = velocity(time, y, latent, given.text, state, config)
        y = y + size * velocity(time + size / 2, y + size / 2 * first, latent, given.text, state, config)
    rows = y.transpose(1, 2).reshape(2, -1, y.shape[1])
    return decode(rows, given.messages, state, config)
