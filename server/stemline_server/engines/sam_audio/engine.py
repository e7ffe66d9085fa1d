"""The engine `sam_audio`: SAM Audio by text, spans and pictures, for audio of any length."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from stemline.errors import Code, InputError, UsageError
from stemline_server.engines.base import Control, EngineInfo, EnginePrompt, EngineRequest, Waveform
from stemline_server.engines.sam_audio import discovery, prompts
from stemline_server.engines.sam_audio.config import CodecConfig, read_config
from stemline_server.engines.sam_audio.settings import Settings
from stemline_server.engines.sam_audio.solver import preset
from stemline_server.engines.sam_audio.tower_sizes import tower_sizes

if TYPE_CHECKING:
    from stemline_server.engines.sam_audio.loading import LoadedModel

CODE_REVISION = 1
"""Increase this whenever the same request gives another result with the same weights."""


class SamAudioEngine:
    """Separate with one checkpoint of SAM Audio."""

    def __init__(self, variant: str = "", settings: Settings | None = None) -> None:
        """Create the engine without loading weights.

        Args:
            variant: One of `variants()`. Empty for the checkpoint of the settings, or the first in published order.
            settings: The settings. None to read them from the environment.

        Raises:
            UsageError: An environment variable has an invalid value.
        """
        self._variant = variant
        self._settings = settings or Settings.from_environment()
        self._loaded: LoadedModel | None = None

    @staticmethod
    def variants() -> tuple[str, ...]:
        """Return the short names of the checkpoints on this machine, or () if there is at most one."""
        names = discovery.short_names()
        return names if len(names) > 1 else ()

    @property
    def info(self) -> EngineInfo:
        """Description of the engine and the checkpoint that it uses."""
        folder = discovery.find_checkpoint(self._settings, self._variant)
        obstacle = self._pictures_obstacle()
        name = discovery.name_of(folder) if folder else self._variant or self._settings.model or "no weights"
        return EngineInfo(
            id=f"sam_audio.{self._variant}" if self._variant else "sam_audio",
            title=f"SAM Audio ({name})",
            revision=self._revision,
            sample_rate=_sample_rate(folder),
            spans=True,
            free_text=True,
            pictures=folder is not None and not obstacle,
            pictures_obstacle=obstacle,
            pictures_per_second=self._settings.pictures_per_second,
            licence="code Apache-2.0; weights SAM License",
            note="Generates its output: the target is a new recording of the sound with a watermark."
            if self._settings.watermark
            else "Generates its output: the target is a new recording of the sound. Its watermark is switched off.",
            made_by="generative",
        )

    @property
    def _revision(self) -> str:
        folder = discovery.find_checkpoint(self._settings, self._variant)
        weights = discovery.fingerprint(folder) if folder else "none"
        mark = "marked" if self._settings.watermark else "unmarked"
        return f"sam_audio-{CODE_REVISION}-{weights}-{self._settings.precision}-{mark}"

    def availability(self) -> str:
        """Return "" if there is a checkpoint, else one sentence on how to get one."""
        return discovery.missing_reason(self._settings, self._variant)

    def check(self, prompt: EnginePrompt) -> None:
        """Check a prompt.

        Raises:
            UsageError: The engine cannot serve the prompt (PROMPT_EMPTY, PROMPT_TOO_LONG, PROMPT_UNSUPPORTED).
        """
        prompts.check(prompt)
        obstacle = self._pictures_obstacle() if prompt.mask or prompt.pictures is not None else ""
        if obstacle:
            raise UsageError(
                obstacle,
                code=Code.PROMPT_UNSUPPORTED,
                advice="Name the sound instead, or use a checkpoint with all tensors as published.",
            )

    def _pictures_obstacle(self) -> str:
        """Return "" if the checkpoint takes pictures, else one sentence on why it does not."""
        folder = discovery.find_checkpoint(self._settings, self._variant)
        if folder is None:
            return ""  # it is downloaded first; loading reports a missing tower
        try:
            tower_sizes(folder, read_config(folder).vision_encoder)
        except InputError as error:
            return error.message
        return discovery.missing_tower(folder)

    def load(self, device: str) -> None:
        """Load the checkpoint and its text encoder, if they are not on the device yet.

        Args:
            device: Device such as "cpu" or "cuda:0".

        Raises:
            InputError: The checkpoint is incomplete, damaged or not supported (MODEL_UNAVAILABLE).
            SeparationError: The checkpoint or the text encoder is missing (MODEL_UNAVAILABLE).
        """
        if self._loaded is None or str(self._loaded.device) != device:
            from stemline_server.engines.sam_audio.loading import load  # noqa: PLC0415 - PyTorch takes seconds

            self._loaded = None
            folder = discovery.fetch_checkpoint(self._settings, self._variant)
            self._loaded = load(folder, device, self._settings, self._revision)

    def unload(self) -> None:
        """Free the model."""
        self._loaded = None

    def separate(self, request: EngineRequest, control: Control) -> Iterator[Waveform]:
        """Separate all prompts of a request.

        Args:
            request: The mix, mono at the sample rate of `info`, and the prompts.
            control: Receives progress, warnings and findings.

        Yields:
            Blocks [prompts, 1, samples].

        Raises:
            Cancelled: The job was cancelled.
            UsageError: The quality or a prompt cannot be served.
            SeparationError: The device has too little memory (DEVICE_OUT_OF_MEMORY).
        """
        from stemline_server.engines.sam_audio.device import cpu_threads  # noqa: PLC0415 - PyTorch takes seconds
        from stemline_server.engines.sam_audio.separation import Separation  # noqa: PLC0415

        for prompt in request.prompts:
            self.check(prompt)
        preset(request.quality)
        if self._loaded is None:
            self.load("cpu")
        assert self._loaded is not None  # noqa: S101 - load() sets it or raises
        with cpu_threads(self._loaded.threads):
            yield from Separation(self._loaded, request, control).blocks()


def _sample_rate(folder: Path | None) -> int:
    """Return the sample rate of the checkpoint's codec in Hz, or the published one if it cannot be read."""
    try:
        codec = read_config(folder).audio_codec if folder else CodecConfig()
    except InputError:
        codec = CodecConfig()
    return codec.sample_rate
