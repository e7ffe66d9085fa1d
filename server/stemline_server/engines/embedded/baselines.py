"""What the engine is measured beside: the mixture itself, DeepFilterNet3 alone, factorisation alone, an ideal mask."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from stemline_server._stft import istft, stft
from stemline_server.engines.embedded import deepfilter
from stemline_server.engines.embedded.span_context import scenes_of
from stemline_server.engines.embedded.span_nmf import NothingToCompareError, marked_blocks

if TYPE_CHECKING:
    from stemline_server.engines.embedded.evaluate import Clip, Wave

_FRAME_SAMPLES = 2_048


def ways() -> dict[str, Callable[[Clip], dict[str, Wave]]]:
    """Each gives {way: estimate} of a clip; empty where it cannot serve it."""
    return {
        "mixture": lambda clip: {"mixture": clip.mixture},
        "DeepFilterNet3": _speech_alone,
        "NMF": _marked_alone,
        "ideal mask": _ideal_mask,
    }


def _speech_alone(clip: Clip) -> dict[str, Wave]:
    if clip.category != "speech":
        return {}
    blocks = [block.speech[0] for block in deepfilter.speech_blocks(clip.source())]
    return {"DeepFilterNet3 alone": np.concatenate(blocks)}


def _marked_alone(clip: Clip) -> dict[str, Wave]:
    """Factorisation by the spans; by the spans of everything else where the target never stops."""
    found = {}
    for name, marks, inverted in (("NMF alone", clip.spans, False), ("NMF alone, negative spans", clip.rest, True)):
        if inverted and not clip.never_stops:
            continue
        scenes = scenes_of(marks, (), len(clip.target))
        try:
            blocks = [block[0] for block in marked_blocks(clip.source(), scenes, 0, _no_tick)]
        except NothingToCompareError:
            blocks = [np.zeros(len(clip.target), np.float32)] if inverted else [clip.mixture]
        estimate = np.concatenate(blocks)
        found[name] = clip.mixture - estimate if inverted else estimate
    return found


def _ideal_mask(clip: Clip) -> dict[str, Wave]:
    """The share of the target in the magnitudes of target and rest: a ceiling for engines that use real masks."""
    mixture, target, rest = (
        stft(np.pad(wave, _FRAME_SAMPLES), _FRAME_SAMPLES) for wave in (clip.mixture, clip.target, clip.residual)
    )
    share = np.abs(target) / (np.abs(target) + np.abs(rest) + 1e-9)
    whole = istft(mixture * share, _FRAME_SAMPLES)[_FRAME_SAMPLES:]
    return {"ideal mask": np.pad(whole, (0, _FRAME_SAMPLES))[: len(clip.target)].astype(np.float32)}


def _no_tick() -> None:
    """Nothing to stop for."""
