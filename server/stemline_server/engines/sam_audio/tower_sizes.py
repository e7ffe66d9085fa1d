"""Sizes of the vision tower by its name. This module does not import PyTorch, so that prompts are checked quickly."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path

from stemline.errors import Code, InputError
from stemline_server.engines.sam_audio.config import VisionConfig

_SIZES_FILE = "tower.json"


@dataclass(frozen=True, slots=True)
class TowerSizes:
    """Hold the sizes of a tower.

    Attributes:
        patch_size: Side of a patch in pixels.
        width: Width of a token.
        layers: Number of transformer blocks.
        heads: Heads of a block.
        attn_pooler_heads: Heads of the attention pooling.
        output_dim: Width of the features.
        image_size: Side of the square picture in pixels, a multiple of the patch.
        mlp_ratio: Width of a block's hidden layer in units of `width`.
        use_cls_token: Whether a class token precedes the patches.
    """

    patch_size: int
    width: int
    layers: int
    heads: int
    attn_pooler_heads: int
    output_dim: int
    image_size: int
    mlp_ratio: float = 4.0
    use_cls_token: bool = True

    @property
    def grid(self) -> int:
        """Patches along a side."""
        return self.image_size // self.patch_size

    @property
    def tokens(self) -> int:
        """Number of tokens: one for each patch, and the class token."""
        return self.grid**2 + self.use_cls_token


TOWERS = {"PE-Core-L14-336": TowerSizes(14, 1024, 24, 16, 8, 1024, 336)}
"""Sizes by the name in `config.json`, which does not state them. All published checkpoints have the same tower."""


def tower_sizes(folder: Path, config: VisionConfig) -> TowerSizes:
    """Return the sizes of a checkpoint's tower.

    Args:
        folder: Folder of the checkpoint. A `tower.json` in it takes precedence over `TOWERS`.
        config: The section `vision_encoder` of its `config.json`.

    Raises:
        InputError: The tower is unknown or its sizes do not match the config (MODEL_UNAVAILABLE).
    """
    path = folder / _SIZES_FILE
    sizes = _read_sizes(path) if path.is_file() else TOWERS.get(config.name)
    if sizes is None:
        raise _unsupported(f"names the vision tower {config.name}; this engine supports {', '.join(TOWERS)} only")
    if (sizes.output_dim, sizes.image_size) != (config.dim, config.image_size):
        raise _unsupported(
            f"states features of {config.dim} numbers and pictures of {config.image_size} pixels, but its vision "
            f"tower {config.name} has {sizes.output_dim} and {sizes.image_size}"
        )
    if not config.normalize_feature or config.interpolation_mode != "BICUBIC":
        raise _unsupported("prepares pictures in a way that this engine does not support")
    return sizes


def _read_sizes(path: Path) -> TowerSizes:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        sizes = TowerSizes(**{item.name: document[item.name] for item in fields(TowerSizes)})
        whole = sizes.image_size % sizes.patch_size == 0 and sizes.width % (4 * sizes.heads) == 0
        if not whole or sizes.width % sizes.attn_pooler_heads:
            raise ValueError("its sizes are not multiples of each other")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _unsupported(f"has a {path.name} that cannot be used ({error})") from error
    return sizes


def _unsupported(what: str) -> InputError:
    return InputError(
        f"The SAM Audio checkpoint {what}.",
        code=Code.MODEL_UNAVAILABLE,
        advice="Use a published checkpoint, or name the sound instead.",
    )
