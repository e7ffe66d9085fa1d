"""Features of a prompt's text from a T5 encoder."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stemline.errors import Code, SeparationError, UsageError
from stemline_server._torchaudio import torchaudio_transforms
from stemline_server.engines.sam_audio.config import TextConfig
from stemline_server.engines.sam_audio.prompts import normalise

_CACHED_PROMPTS = 256


class TextEncoder:
    """Encode texts with T5 and cache the results."""

    def __init__(self, source: str, config: TextConfig, device: torch.device) -> None:
        """Load the encoder and its tokenizer.

        Args:
            source: Folder of the encoder, or its name on the Hugging Face hub.
            config: Sizes from the checkpoint.
            device: Device of the encoder.

        Raises:
            SeparationError: The encoder cannot be loaded or does not match the checkpoint (MODEL_UNAVAILABLE).
        """
        torchaudio_transforms()  # transformers imports torchaudio if it is installed
        from transformers import AutoTokenizer, T5EncoderModel  # noqa: PLC0415 - takes seconds to import

        local = Path(source).is_dir()
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(source, local_files_only=local)
            self._encoder: Any = T5EncoderModel.from_pretrained(source, local_files_only=local, dtype=torch.float32)
        except (OSError, ValueError) as error:
            raise _unavailable(source, str(error).partition("\n")[0]) from error
        if self._encoder.config.d_model != config.dim:
            width = self._encoder.config.d_model
            raise _unavailable(source, f"its width is {width}, but the checkpoint needs {config.dim}")
        self._encoder.eval().requires_grad_(False).to(device)
        self._config, self._device = config, device
        self._cache: OrderedDict[str, Tensor] = OrderedDict()

    def encode(self, text: str) -> Tensor:
        """Return the features [L, dim] of a text.

        Raises:
            UsageError: The text has too many tokens (PROMPT_TOO_LONG).
        """
        key = normalise(text)
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        ids = self._tokenizer(key, return_tensors="pt", truncation=False)["input_ids"]
        if ids.shape[1] > self._config.max_length:
            raise UsageError(
                f"The prompt has {ids.shape[1]} tokens; SAM Audio accepts {self._config.max_length}.",
                code=Code.PROMPT_TOO_LONG,
                advice="Use a short phrase such as 'dog barking'.",
            )
        with torch.inference_mode():
            states: Tensor = self._encoder(input_ids=ids.to(self._device)).last_hidden_state[0]
        self._cache[key] = states
        if len(self._cache) > _CACHED_PROMPTS:
            self._cache.popitem(last=False)
        return states

    def encode_all(self, texts: tuple[str, ...]) -> tuple[Tensor, Tensor | None]:
        """Encode several texts.

        Returns:
            Features [P, L, dim], padded with zeros, and a mask [P, L] of the tokens that count; None if all do.
        """
        encoded = [self.encode(text) for text in texts]
        longest = max(len(tokens) for tokens in encoded)
        features = encoded[0].new_zeros((len(encoded), longest, encoded[0].shape[1]))
        mask = torch.zeros((len(encoded), longest), dtype=torch.bool, device=features.device)
        for row, tokens in enumerate(encoded):
            features[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = True
        return features, None if bool(mask.all()) else mask


def _unavailable(source: str, why: str) -> SeparationError:
    return SeparationError(
        f"SAM Audio's text encoder cannot be loaded from {source}: {why}.",
        code=Code.MODEL_UNAVAILABLE,
        advice="Put t5-base into the models folder (hf download google-t5/t5-base --local-dir MODELS/t5-base).",
    )
