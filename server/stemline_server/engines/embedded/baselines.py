"""Baselines of the evaluation: the mixture, DeepFilterNet3 alone, NMF alone and an ideal mask."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from stemline_server._stft import istft, stft
from stemline_server.engines.embedded import deepfilter
from stemline_server.engines.embedded.evaluation_clips import Clip, Wave
from stemline_server.engines.embedded.span_context import span_contexts
from stemline_server.engines.embedded.span_nmf import NoBackgroundError, separate_spans

_FRAME_SAMPLES = 2_048


def baselines() -> dict[str, Callable[[Clip], dict[str, Wave]]]:
    """Return functions that estimate a clip's target in one or several ways.

    Returns:
        Functions by name. Each maps a clip to estimates by way, or to {} if it does not apply to the clip.
    """
    return {
        "mixture": lambda clip: {"mixture": clip.mixture},
        "DeepFilterNet3": _speech,
        "NMF": _nmf,
        "ideal mask": _ideal_mask,
    }


def _speech(clip: Clip) -> dict[str, Wave]:
    if clip.category != "speech":
        return {}
    blocks = [block.samples[0] for block in deepfilter.speech_blocks(clip.source())]
    return {"DeepFilterNet3 alone": np.concatenate(blocks)}


def _nmf(clip: Clip) -> dict[str, Wave]:
    """Separate by the target's spans, and a continuous target also by the spans of everything else."""
    estimates = {}
    spans_by_way = (("NMF alone", clip.spans, False), ("NMF alone, negative spans", clip.residual_spans, True))
    for way, spans, is_inverted in spans_by_way:
        if is_inverted and not clip.is_continuous:
            continue
        contexts = span_contexts(spans, (), len(clip.target))
        try:
            blocks = [block[0] for block in separate_spans(clip.source(), contexts, 0, lambda: None)]
        except NoBackgroundError:
            blocks = [np.zeros(len(clip.target), np.float32)] if is_inverted else [clip.mixture]
        estimate = np.concatenate(blocks)
        estimates[way] = clip.mixture - estimate if is_inverted else estimate
    return estimates


def _ideal_mask(clip: Clip) -> dict[str, Wave]:
    """Apply the target's true share of the magnitudes: an upper bound for engines with real masks."""
    mixture, target, residual = (
        stft(np.pad(wave, _FRAME_SAMPLES), _FRAME_SAMPLES) for wave in (clip.mixture, clip.target, clip.residual)
    )
    mask = np.abs(target) / (np.abs(target) + np.abs(residual) + 1e-9)
    estimate = istft(mixture * mask, _FRAME_SAMPLES)[_FRAME_SAMPLES:]
    return {"ideal mask": np.pad(estimate, (0, _FRAME_SAMPLES))[: len(clip.target)].astype(np.float32)}
