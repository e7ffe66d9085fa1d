"""The vision tower PE-Core, which turns pictures into the features of a visual prompt.

The structure follows Bolya et al., "Perception Encoder", 2025: a vision transformer with rotary positions in two
dimensions (Heo et al., "Rotary Position Embedding for Vision Transformer", 2024) and attention pooling. As in `dit`,
rotary pairs are (i, i + half): `weight_conversion` reorders the published rows.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # PyTorch's conventional name

from stemline_server.engines.sam_audio.dit import rotate
from stemline_server.engines.sam_audio.packed_linear import PackedLinear
from stemline_server.engines.sam_audio.tower_sizes import TowerSizes

_EPS = 1e-5
_POOL_MLP_RATIO = 4
_ROTARY_THETA = 10000.0


class Attention(nn.Module):
    """Attend from queries to all tokens of a picture, with biases and heads in the usual order."""

    def __init__(self, width: int, heads: int) -> None:
        """Create the layer with uninitialised weights."""
        super().__init__()
        self.heads = heads
        self.qkv = PackedLinear(width, 3 * width, bias=True)
        self.out = PackedLinear(width, width, bias=True)

    def forward(self, x: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
        """Apply self attention to tokens [B, N, W]."""
        q, k, v = (self._split(part) for part in self.qkv(x).chunk(3, dim=-1))
        attended = F.scaled_dot_product_attention(rotate(q, rotary), rotate(k, rotary), v)
        out: Tensor = self.out(attended.transpose(1, 2).flatten(2))
        return out

    def _split(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:-1], self.heads, -1).transpose(1, 2)


class FeedForward(nn.Module):
    """Apply a hidden layer with the exact GELU (Hendrycks and Gimpel, 2016)."""

    def __init__(self, width: int, hidden: int) -> None:
        """Create the layer with uninitialised weights."""
        super().__init__()
        self.up = PackedLinear(width, hidden, bias=True, gelu=True)
        self.down = PackedLinear(hidden, width, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to [..., W]."""
        down: Tensor = self.down(self.up(x))
        return down


class TowerBlock(nn.Module):
    """Add attention and a feed-forward layer, each after a norm, to tokens [B, N, W]."""

    def __init__(self, sizes: TowerSizes) -> None:
        """Create the block with uninitialised weights."""
        super().__init__()
        self.attention_norm = nn.LayerNorm(sizes.width, eps=_EPS)
        self.attention = Attention(sizes.width, sizes.heads)
        self.ffn_norm = nn.LayerNorm(sizes.width, eps=_EPS)
        self.feed_forward = FeedForward(sizes.width, int(sizes.mlp_ratio * sizes.width))

    def forward(self, x: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
        """Apply the block."""
        x = x + self.attention(self.attention_norm(x), rotary)
        changed: Tensor = x + self.feed_forward(self.ffn_norm(x))
        return changed


class AttentionPooling(nn.Module):
    """Pool tokens [B, N, W] to [B, 1, W] with one learned query, then add a feed-forward layer."""

    def __init__(self, sizes: TowerSizes) -> None:
        """Create the layer with uninitialised weights."""
        super().__init__()
        self.heads = sizes.attn_pooler_heads
        self.probe = nn.Parameter(torch.empty(1, 1, sizes.width))
        self.query = nn.Linear(sizes.width, sizes.width)
        self.kv = PackedLinear(sizes.width, 2 * sizes.width, bias=True)
        self.out = nn.Linear(sizes.width, sizes.width)
        self.norm = nn.LayerNorm(sizes.width, eps=_EPS)
        self.feed_forward = FeedForward(sizes.width, _POOL_MLP_RATIO * sizes.width)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the pooling."""
        query = self.query(self.probe).expand(len(x), -1, -1)
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (query, *self.kv(x).chunk(2, dim=-1))
        )
        pooled = self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        added: Tensor = pooled + self.feed_forward(self.norm(pooled))
        return added


class VisionTower(nn.Module):
    """Map square pictures to features of unit length."""

    def __init__(self, sizes: TowerSizes) -> None:
        """Create the tower with uninitialised weights."""
        super().__init__()
        self.sizes = sizes
        self.patches = nn.Linear(3 * sizes.patch_size**2, sizes.width, bias=False)
        if sizes.use_cls_token:
            self.class_token = nn.Parameter(torch.empty(sizes.width))
        self.positions = nn.Parameter(torch.empty(sizes.tokens, sizes.width))
        self.norm_in = nn.LayerNorm(sizes.width, eps=_EPS)
        self.blocks = nn.ModuleList(TowerBlock(sizes) for _ in range(sizes.layers))
        self.norm_out = nn.LayerNorm(sizes.width, eps=_EPS)
        self.pooling = AttentionPooling(sizes)
        self.output = nn.Linear(sizes.width, sizes.output_dim, bias=False)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the features of pictures.

        Args:
            pictures: Levels 0..255 as uint8, [B, image_size, image_size, 3] in RGB.

        Returns:
            Features of unit length, float32 [B, output_dim].
        """
        x = self.embed(pictures)
        table = self.rotary_table(x.device)
        for block in self.blocks:
            x = block(x, table)
        projected = self.output(self.pooling(self.norm_out(x)))[:, 0]
        return F.normalize(projected.float(), dim=-1)

    def embed(self, pictures: Tensor) -> Tensor:
        """Return the tokens [B, N, W] of pictures as `forward` takes them, after the first norm."""
        grid, side = self.sizes.grid, self.sizes.patch_size
        levels = (pictures.float() / 127.5 - 1).to(self.positions.dtype)
        patches = levels.view(-1, grid, side, grid, side, 3).transpose(2, 3).reshape(len(levels), grid**2, -1)
        x: Tensor = self.patches(patches)
        if self.sizes.use_cls_token:
            x = torch.cat((self.class_token.expand(len(x), 1, -1), x), dim=1)
        tokens: Tensor = self.norm_in(x + self.positions)
        return tokens

    def rotary_table(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return cosines and sines, float32 [N, hd/2]: columns turn the first half of a head's pairs, rows the second.

        With a class token, which is not rotated, columns and rows count from 1.
        """
        pairs = self.sizes.width // self.sizes.heads // 4
        exponents = torch.arange(pairs, dtype=torch.float32, device=device) / pairs
        places = torch.arange(self.sizes.grid, dtype=torch.float32, device=device) + self.sizes.use_cls_token
        angles = torch.outer(places, _ROTARY_THETA**-exponents)
        columns = angles.expand(self.sizes.grid, -1, -1)
        both = torch.cat((columns, columns.transpose(0, 1)), dim=-1).flatten(0, 1)
        if self.sizes.use_cls_token:
            both = torch.cat((both.new_zeros(1, 2 * pairs), both))
        return both.cos(), both.sin()
