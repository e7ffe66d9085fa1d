"""Imports torchaudio without its compiled part.

The compiled part only loads into the very torch release it was built for, and a mismatch stops the whole import.
Stemline uses plain Python on torch only (`transforms.Resample`), so the compiled part is declared absent.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

_EXTENSION = "torchaudio._extension"


def torchaudio_transforms() -> Any:
    """Return the module `torchaudio.transforms`. Raises ImportError when torch or torchaudio is not installed."""
    if "torchaudio" not in sys.modules:
        sys.modules[_EXTENSION] = _absent_extension()
    import torchaudio.transforms  # noqa: PLC0415 - torch takes seconds to import; only a change of rate needs it

    return torchaudio.transforms


def _absent_extension() -> ModuleType:
    """Return the module `torchaudio._extension` as a build without compiled parts has it."""
    module = ModuleType(_EXTENSION)

    def fail_if_no_align(function: Callable[..., Any]) -> Callable[..., Any]:
        return function

    module.__dict__.update(
        _IS_TORCHAUDIO_EXT_AVAILABLE=False,
        _IS_ALIGN_AVAILABLE=False,
        fail_if_no_align=fail_if_no_align,
    )
    return module
