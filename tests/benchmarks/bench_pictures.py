"""The vision tower of SAM Audio at its published size with generated weights, against its matrix products alone."""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from tests.benchmarks.measure import report
from tests.server.sam_audio.generated import TINY, write_checkpoint
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  # torch's own name for it

from stemline_server.engines.sam_audio.checkpoint import Placement, load_tower
from stemline_server.engines.sam_audio.packed_linear import pack
from stemline_server.engines.sam_audio.tower_sizes import TOWERS, TowerSizes
from stemline_server.engines.sam_audio.vision_tower import VisionTower

NAME = "PE-Core-L14-336"
PICTURES, ROUNDS = 8, 2
CPU = Placement(torch.device("cpu"))


def main() -> None:
    """Tower and products in turn, so that both see the same machine."""
    torch.set_num_threads(1)
    sizes = TOWERS[NAME]
    with tempfile.TemporaryDirectory(prefix="stemline-bench-") as folder:
        vision = {"dim": sizes.output_dim, "name": NAME, "image_size": sizes.image_size}
        document = {**TINY, "vision_encoder": vision}
        checkpoint = write_checkpoint(Path(folder) / "m", document, kind="model.safetensors", tower=asdict(sizes))
        tower = loaded(checkpoint)
    levels = np.random.default_rng(0).integers(0, 256, (PICTURES, sizes.image_size, sizes.image_size, 3), np.uint8)
    given, products = torch.from_numpy(levels), Products(sizes)
    with torch.inference_mode():
        times = [(cpu_s(lambda: tower(given)), cpu_s(products)) for _ in range(ROUNDS)]
    embed_s, products_s = (min(column) for column in zip(*times, strict=True))
    print(f"  {PICTURES} pictures: {embed_s:.1f} s of one thread; their products alone {products_s:.1f} s")
    report("embedding 8 pictures", embed_s / products_s, "<= 1.2", "the same matrix products alone")


def loaded(checkpoint: Path) -> VisionTower:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    tower = load_tower(checkpoint, CPU)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    weights = sum(weight.numel() * 4 for weight in tower.parameters())
    print(f"  load: {time.perf_counter() - started:.1f} s, {weights / 1e9:.2f} GB", flush=True)
    print(f"  (peak before {before / 1e6:.2f} GB, from making the checkpoint; after {after / 1e6:.2f} GB)", flush=True)
    return tower


class Products:
    """Every matrix product of the tower for `PICTURES` pictures, on operands of its own: weights packed as in it."""

    def __init__(self, sizes: TowerSizes) -> None:
        width, rows = sizes.width, PICTURES * sizes.tokens
        hidden = int(sizes.mlp_ratio * width)
        self.layers = sizes.layers
        self.linear = [
            (torch.randn(rows, wide), pack(torch.randn(out, wide)))
            for out, wide in ((3 * width, width), (width, width), (hidden, width), (width, hidden))
        ]
        self.heads = torch.randn(PICTURES, sizes.heads, sizes.tokens, width // sizes.heads)
        self.patches = (
            torch.randn(PICTURES * sizes.grid**2, 3 * sizes.patch_size**2),
            torch.randn(width, 3 * sizes.patch_size**2),
        )
        self.pooled = torch.randn(rows, width), pack(torch.randn(2 * width, width))

    def __call__(self) -> Tensor:
        F.linear(*self.patches)
        for _ in range(self.layers):
            for x, weight in self.linear:
                torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")
            F.scaled_dot_product_attention(self.heads, self.heads, self.heads)
        product: Tensor = torch.ops.mkldnn._linear_pointwise(*self.pooled, None, "none", [], "")
        return product


def cpu_s(work: Callable[[], Tensor]) -> float:
    """Processor seconds of this process."""
    started = time.process_time()
    work()
    return time.process_time() - started


if __name__ == "__main__":
    main()
