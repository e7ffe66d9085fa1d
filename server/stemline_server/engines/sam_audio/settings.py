"""Settings of SAM Audio from environment variables that start with STEMLINE_SAM_AUDIO_."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from stemline.errors import UsageError

PREFIX = "STEMLINE_SAM_AUDIO_"
PRECISIONS = ("auto", "float32", "tf32", "bf16", "bf16-fp16")


@dataclass(frozen=True, slots=True)
class Settings:
    """Hold the settings that the operator of a server makes.

    Attributes:
        model: Folder of the checkpoint or its name on the Hugging Face hub; empty to search the models folder.
        text_encoder: Folder of the text encoder or its name in the cache of the hub; empty for t5-base in the models
            folder or the cache.
        precision: One of `PRECISIONS`; "auto" is float32 on a CPU and TF32 on CUDA.
        compile: Whether to compile the transformer with `torch.compile`.
        watermark: Whether to add the model's watermark to what it generates. Laws may require it; see
            docs/sam-audio.md.
        batch: Number of windows to evaluate at once; 0 to choose by device.
        pictures_per_second: Pictures to ask for, for each second of sound; 0 to choose by device.
    """

    model: str = ""
    text_encoder: str = ""
    precision: str = "auto"
    compile: bool = False
    watermark: bool = True
    batch: int = 0
    pictures_per_second: int = 0

    @staticmethod
    def from_environment(environment: Mapping[str, str] = os.environ) -> Settings:
        """Read the settings.

        Args:
            environment: Environment variables.

        Raises:
            UsageError: A variable has an invalid value, such as a misspelt "off".
        """
        given = {key: environment.get(PREFIX + key, "").strip() for key in ("MODEL", "TEXT_ENCODER")}
        precision = environment.get(f"{PREFIX}PRECISION", "auto").strip() or "auto"
        if precision not in PRECISIONS:
            raise _invalid("PRECISION", precision, ", ".join(PRECISIONS))
        return Settings(
            model=given["MODEL"],
            text_encoder=given["TEXT_ENCODER"],
            precision=precision,
            compile=_switch(environment, "COMPILE", default=False),
            watermark=_switch(environment, "WATERMARK", default=True),
            batch=_number(environment, "BATCH"),
            pictures_per_second=_number(environment, "PICTURES_PER_SECOND"),
        )


def _number(environment: Mapping[str, str], name: str) -> int:
    value = environment.get(PREFIX + name, "").strip() or "0"
    if not value.isdecimal():
        raise _invalid(name, value, "a whole number, 0 to let the engine choose")
    return int(value)


def _switch(environment: Mapping[str, str], name: str, *, default: bool) -> bool:
    value = environment.get(PREFIX + name, "").strip().lower()
    if value not in ("", "on", "off"):
        raise _invalid(name, value, "on, off")
    return default if not value else value == "on"


def _invalid(name: str, value: str, choices: str) -> UsageError:
    return UsageError(f"{PREFIX}{name} is {value!r}.", advice=f"Use one of: {choices}.")
