"""The engine `sam_audio`: SAM Audio by text, spans and visual features, at any length."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from stemline.errors import InputError
from stemline_server.engines.base import Control, EngineInfo, EnginePrompt, EngineRequest, Waveform
from stemline_server.engines.sam_audio import discovery, prompts
from stemline_server.engines.sam_audio.config import CodecConfig, read_config
from stemline_server.engines.sam_audio.presets import preset
from stemline_server.engines.sam_audio.settings import Settings

if TYPE_CHECKING:
    from stemline_server.engines.sam_audio.separation import Loaded

CODE_REVISION = 1
"""Counts up whenever this code gives other results for the same weights."""


class SamAudioEngine:
    """One checkpoint. `variant` names one of several (`variants()`); empty: the one set, else the first in published
    order.
    """

    def __init__(self, variant: str = "", settings: Settings | None = None) -> None:
        self._variant = variant
        self._settings = settings or Settings.from_environment()
        self._loaded: Loaded | None = None

    @staticmethod
    def variants() -> tuple[str, ...]:
        """Short names of the checkpoints on this machine, when there is a choice."""
        names = discovery.short_names()
        return names if len(names) > 1 else ()

    @property
    def info(self) -> EngineInfo:
        folder = discovery.find_checkpoint(self._settings, self._variant)
        name = discovery.name_of(folder) if folder else self._variant or self._settings.model or "no weights"
        return EngineInfo(
            id=f"sam_audio.{self._variant}" if self._variant else "sam_audio",
            title=f"SAM Audio ({name})",
            revision=self._revision,
            sample_rate=_sample_rate(folder),
            spans=True,
            free_text=True,
            licence="code Apache-2.0; weights SAM License",
            note="Generates what it hears: the target is a new recording of the sound, marked by a watermark."
            if self._settings.watermark
            else "Generates what it hears. Its watermark is switched off on this server.",
        )

    @property
    def _revision(self) -> str:
        folder = discovery.find_checkpoint(self._settings, self._variant)
        weights = discovery.fingerprint(folder) if folder else "none"
        mark = "marked" if self._settings.watermark else "unmarked"
        return f"sam_audio-{CODE_REVISION}-{weights}-{self._settings.precision}-{mark}"

    def availability(self) -> str:
        return discovery.missing(self._settings, self._variant)

    def check(self, prompt: EnginePrompt) -> None:
        """Raises UsageError (PROMPT_EMPTY, PROMPT_TOO_LONG, PROMPT_UNSUPPORTED)."""
        prompts.check(prompt)

    def load(self, device: str) -> None:
        """Raises SeparationError or InputError (MODEL_UNAVAILABLE) naming what is missing or damaged."""
        if self._loaded is None or str(self._loaded.device) != device:
            from stemline_server.engines.sam_audio.loading import load  # noqa: PLC0415 - PyTorch takes seconds

            self._loaded = None
            folder = discovery.fetch_checkpoint(self._settings, self._variant)
            self._loaded = load(folder, device, self._settings, self._revision)

    def unload(self) -> None:
        self._loaded = None

    def separate(self, request: EngineRequest, control: Control) -> Iterator[Waveform]:
        """Blocks [prompts, 1, n] of a mono source at the rate of `info`.

        Raises Cancelled, UsageError for a quality or prompt that cannot be served, SeparationError
        (DEVICE_OUT_OF_MEMORY).
        """
        from stemline_server.engines.sam_audio.separation import Separation  # noqa: PLC0415 - PyTorch takes seconds

        for prompt in request.prompts:
            self.check(prompt)
        preset(request.quality)
        if self._loaded is None:
            self.load("cpu")
        assert self._loaded is not None  # noqa: S101 - load() has set it or raised
        yield from Separation(self._loaded, request, control).blocks()


def _sample_rate(folder: Path | None) -> int:
    """The rate of the checkpoint's codec in Hz; the published one where there is none that can be read."""
    try:
        codec = read_config(folder).audio_codec if folder else CodecConfig()
    except InputError:
        codec = CodecConfig()
    return codec.sample_rate
