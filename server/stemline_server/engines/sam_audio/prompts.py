"""What a prompt may be, and what it becomes on the frame grid."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt

from stemline.errors import Code, UsageError
from stemline_server.engines.base import EnginePrompt

MESSAGE_BITS = 16
_MAX_CHARACTERS = 2000
_MAX_WORDS = 7
_SENTENCE_SIGNS = (".", "!", "?", ";")
_ORDERS = ("extract ", "isolate ", "remove ", "separate ", "please ", "give me ", "i want ", "keep ", "get ")


def check(prompt: EnginePrompt) -> None:
    """Raises UsageError (PROMPT_EMPTY, PROMPT_TOO_LONG, PROMPT_UNSUPPORTED)."""
    if not prompt.text.strip() and not prompt.plus and not prompt.minus and prompt.visual is None:
        raise UsageError(
            "The prompt is empty.",
            code=Code.PROMPT_EMPTY,
            advice="Say what to pull out, such as 'dog barking', or mark where it sounds.",
        )
    if len(prompt.text) > _MAX_CHARACTERS:
        raise UsageError(
            f"The prompt has {len(prompt.text)} characters, {_MAX_CHARACTERS} are the most.",
            code=Code.PROMPT_TOO_LONG,
            advice="Use a short phrase such as 'dog barking'.",
        )
    if prompt.visual is not None:
        visual_features(prompt.visual)


def normalise(text: str) -> str:
    """Trimmed and lower-cased, nothing else: the model was trained on lower-case phrases."""
    return text.strip().lower()


def visual_features(visual: Any) -> npt.NDArray[np.float32]:
    """Features [pictures, width] as given (array or tensor). Raises UsageError (PROMPT_UNSUPPORTED) for anything
    else.
    """
    features = np.asarray(visual, dtype=np.float32)
    if features.ndim != 2 or not features.size or not np.isfinite(features).all():
        raise UsageError(
            "A visual prompt must be a finite array of features, one row for each picture.",
            code=Code.PROMPT_UNSUPPORTED,
            advice="Give [pictures, width] as float32.",
        )
    return features


def spread(features: npt.NDArray[np.float32], frames: int) -> npt.NDArray[np.float32]:
    """One row for each latent frame: the pictures are evenly spaced over the clip, the nearest one counts."""
    places = np.rint(np.linspace(0, len(features) - 1, frames)).astype(np.int64)
    return features[places]


def reads_like_a_sentence(text: str) -> bool:
    """Whether to tell the user that the model was trained on noun and verb phrases."""
    words = normalise(text)
    return words.endswith(_SENTENCE_SIGNS) or words.startswith(_ORDERS) or len(words.split()) > _MAX_WORDS


def identity(prompt: EnginePrompt) -> str:
    """What makes the prompt, its words as the model reads them: prompts with the same one get the same answer."""
    parts = [normalise(prompt.text)]
    for spans in (prompt.plus, prompt.minus):
        parts.append(repr([(span.start_sample, span.end_sample) for span in spans]))
    if prompt.visual is not None:
        parts.append(hashlib.sha256(visual_features(prompt.visual).tobytes()).hexdigest())
    return "\x00".join(parts)


def watermark_message(revision: str, prompt: EnginePrompt, seed: int, origin_sample: int) -> tuple[int, ...]:
    """16 bits of SHA-256 over what makes the job: the same job carries the same mark, whatever runs beside it."""
    job = (revision, str(seed), str(origin_sample), identity(prompt))
    digest = hashlib.sha256("\x00".join(job).encode()).digest()
    value = int.from_bytes(digest[:2], "big")
    return tuple(value >> bit & 1 for bit in range(MESSAGE_BITS))
