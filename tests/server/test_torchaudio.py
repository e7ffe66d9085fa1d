"""A torchaudio whose compiled part does not fit the installed torch must still change sample rates."""

from __future__ import annotations

import subprocess
import sys


def test_it_resamples_and_never_touches_the_compiled_part() -> None:
    code = (
        "import sys\n"
        "from stemline_server._torchaudio import torchaudio_transforms\n"
        "assert 'torch' not in sys.modules\n"
        "import torch\n"
        "loaded = []\n"
        "torch.ops.load_library = loaded.append\n"
        "transforms = torchaudio_transforms()\n"
        "assert transforms.Resample(44100, 48000)(torch.zeros(1, 441)).shape == (1, 480)\n"
        "assert loaded == []\n"
        "assert torchaudio_transforms() is transforms\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
