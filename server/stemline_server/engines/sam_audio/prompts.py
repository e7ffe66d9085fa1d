"""Checks of prompts, and their text, visual features and watermark message."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt

from stemline.errors import Code, UsageError
from stemline_server.engines.base import EnginePrompt, PictureSource

MESSAGE_BITS = 16
_MAX_CHARACTERS = 2000
_MAX_WORDS = 7
_SENTENCE_SIGNS = (".", "!", "?", ";")
_REQUESTS = ("extract ", "isolate ", "remove ", "separate ", "please ", "give me ", "i want ", "keep ", "get ")


def check(prompt: EnginePrompt) -> None:
    """Check a prompt.

    Raises:
        UsageError: The prompt is empty, too long or has invalid visual features (PROMPT_EMPTY, PROMPT_TOO_LONG,
            PROMPT_UNSUPPORTED).
    """
    described = prompt.text.strip() or prompt.plus or prompt.minus or prompt.mask
    if not described and prompt.visual is None and prompt.pictures is None:
        raise UsageError(
            "The prompt is empty.",
            code=Code.PROMPT_EMPTY,
            advice="Name the sound, such as 'dog barking', or mark where it occurs.",
        )
    if len(prompt.text) > _MAX_CHARACTERS:
        raise UsageError(
            f"The prompt has {len(prompt.text)} characters; {_MAX_CHARACTERS} are allowed.",
            code=Code.PROMPT_TOO_LONG,
            advice="Use a short phrase such as 'dog barking'.",
        )
    if prompt.visual is not None:
        visual_features(prompt.visual)


def normalise(text: str) -> str:
    """Trim a text and convert it to lower case, as in the model's training."""
    return text.strip().lower()


def visual_features(visual: Any) -> npt.NDArray[np.float32]:
    """Return visual features as float32 [pictures, width].

    Args:
        visual: Array or tensor of that shape.

    Raises:
        UsageError: The value is not a finite array of that shape (PROMPT_UNSUPPORTED).
    """
    features = np.asarray(visual, dtype=np.float32)
    if features.ndim != 2 or not features.size or not np.isfinite(features).all():
        raise UsageError(
            "A visual prompt must be a finite array of features with one row for each picture.",
            code=Code.PROMPT_UNSUPPORTED,
            advice="Give [pictures, width] as float32.",
        )
    return features


def even_places(pictures: int, frames: int) -> npt.NDArray[np.int64]:
    """Return the nearest of evenly spaced pictures for each latent frame, [frames]."""
    return np.rint(np.linspace(0, pictures - 1, frames)).astype(np.int64)


def is_sentence_like(text: str) -> bool:
    """Return whether a text is a sentence or request, while the model was trained on noun and verb phrases."""
    words = normalise(text)
    return words.endswith(_SENTENCE_SIGNS) or words.startswith(_REQUESTS) or len(words.split()) > _MAX_WORDS


def prompt_identity(prompt: EnginePrompt) -> str:
    """Return a string that is equal for prompts with the same result."""
    parts = [normalise(prompt.text)]
    for spans in (prompt.plus, prompt.minus):
        parts.append(repr([(span.start_sample, span.end_sample) for span in spans]))
    if prompt.visual is not None:
        parts.append(hashlib.sha256(visual_features(prompt.visual).tobytes()).hexdigest())
    if prompt.mask:
        parts.append(f"pictures {prompt.mask}")
    elif prompt.pictures is not None:
        parts.append(f"pictures {_digest_of(prompt.pictures)}")
    return "\x00".join(parts)


def _digest_of(pictures: PictureSource) -> str:
    digest = hashlib.sha256(repr([str(time) for time in pictures.times]).encode())
    for picture in pictures.picture_of:
        digest.update(pictures.read(int(picture)).tobytes())
    return digest.hexdigest()


def watermark_message(revision: str, prompt: EnginePrompt, seed: int, origin_sample: int) -> tuple[int, ...]:
    """Return the message of a stem's watermark: 16 bits of a SHA-256 over everything that determines the stem.

    Args:
        revision: Revision of the engine.
        prompt: The prompt.
        seed: Seed of the request.
        origin_sample: Position of the audio in its media.
    """
    parts = (revision, str(seed), str(origin_sample), prompt_identity(prompt))
    digest = hashlib.sha256("\x00".join(parts).encode()).digest()
    value = int.from_bytes(digest[:2], "big")
    return tuple(value >> bit & 1 for bit in range(MESSAGE_BITS))
