"""Features of a prompt's text from a T5 encoder."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from stemline.errors import Code, SeparationError, UsageError
from stemline_server._torchaudio import torchaudio_transforms
from stemline_server.engines.sam_audio.config import TextConfig
from stemline_server.engines.sam_audio.discovery import text_encoder_advice
from stemline_server.engines.sam_audio.prompts import normalise

_CACHED_PROMPTS = 256


class TextEncoder:
    """Encode texts with T5 and cache the results."""

    def __init__(self, folder: Path, config: TextConfig, device: torch.device) -> None:
        """Load the encoder and its tokenizer from safetensors on this machine; pickles and remote code are refused.

        Args:
            folder: Folder of the encoder.
            config: Sizes from the checkpoint.
            device: Device of the encoder.

        Raises:
            SeparationError: The encoder cannot be loaded or does not match the checkpoint (MODEL_UNAVAILABLE).
        """
        torchaudio_transforms()  # transformers imports torchaudio if it is installed
        from transformers import AutoTokenizer, T5EncoderModel  # noqa: PLC0415 - takes seconds to import

        safely = {"local_files_only": True, "trust_remote_code": False}  # no network, no code from the folder
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, **safely)
            self._encoder: Any = T5EncoderModel.from_pretrained(
                folder, use_safetensors=True, dtype=torch.float32, **safely
            )
        except (OSError, ValueError, SafetensorError) as error:
            raise _unavailable(folder, str(error).partition("\n")[0]) from error
        if self._encoder.config.d_model != config.dim:
            width = self._encoder.config.d_model
            raise _unavailable(folder, f"its width is {width}, but the checkpoint needs {config.dim}")
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


def _unavailable(folder: Path, why: str) -> SeparationError:
    return SeparationError(
        f"SAM Audio's text encoder cannot be loaded from {folder}: {why}.",
        code=Code.MODEL_UNAVAILABLE,
        advice=f"Get its safetensors: {text_encoder_advice()}",
    )
