"""The trained weights as they are shipped: half precision, with the classes in the header."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from .mixtures import words

SHIPPED = Path(__file__).parent.parent / "sound_net.safetensors"


def export(weights: Path, target: Path = SHIPPED) -> Path:
    """Writes `target`; the order of the classes is that of the embedding."""
    values = {name: value.to(torch.float16).contiguous() for name, value in load_file(weights).items()}
    save_file(values, target, metadata={"classes": json.dumps(words()), "format": "stemline-sound-net-1"})
    return target
