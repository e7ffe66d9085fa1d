"""What the server's operator decides about SAM Audio, by environment variables that start with STEMLINE_SAM_AUDIO_."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from stemline.errors import UsageError

PREFIX = "STEMLINE_SAM_AUDIO_"
PRECISIONS = ("auto", "float32", "tf32", "bf16", "bf16-fp16")


@dataclass(frozen=True, slots=True)
class Settings:
    """`model` and `text_encoder`: a folder, or a name on the hub; empty: look in the models folder.

    `precision` auto is float32 on a CPU and TF32 on CUDA. `batch` is how many windows are evaluated at once (0: by
    device). `watermark` off leaves the model's mark out of what it generates; the law may ask for it (docs/sam-
    audio.md).
    """

    model: str = ""
    text_encoder: str = ""
    precision: str = "auto"
    compile: bool = False
    watermark: bool = True
    batch: int = 0

    @staticmethod
    def from_environment(environment: Mapping[str, str] = os.environ) -> Settings:
        """Raises UsageError for a value that means nothing, so that a misspelt `off` is not taken for `on`."""
        given = {key: environment.get(PREFIX + key, "").strip() for key in ("MODEL", "TEXT_ENCODER")}
        precision = environment.get(f"{PREFIX}PRECISION", "auto").strip() or "auto"
        if precision not in PRECISIONS:
            raise _wrong("PRECISION", precision, ", ".join(PRECISIONS))
        batch = environment.get(f"{PREFIX}BATCH", "0").strip() or "0"
        if not batch.isdecimal():
            raise _wrong("BATCH", batch, "a whole number, 0 to let the engine choose")
        return Settings(
            model=given["MODEL"],
            text_encoder=given["TEXT_ENCODER"],
            precision=precision,
            compile=_switch(environment, "COMPILE", default=False),
            watermark=_switch(environment, "WATERMARK", default=True),
            batch=int(batch),
        )


def _switch(environment: Mapping[str, str], name: str, *, default: bool) -> bool:
    value = environment.get(PREFIX + name, "").strip().lower()
    if value not in ("", "on", "off"):
        raise _wrong(name, value, "on, off")
    return default if not value else value == "on"


def _wrong(name: str, value: str, choices: str) -> UsageError:
    return UsageError(f"{PREFIX}{name} is {value!r}.", advice=f"Use one of: {choices}.")
