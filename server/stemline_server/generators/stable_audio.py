"""Stable Audio 3 and Stable Audio Open 1.0, through diffusers, from a folder that the user holds.

Nothing is downloaded, and nothing but safetensors is read.
"""

from __future__ import annotations

import importlib.util
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stemline.errors import Code, SeparationError, UsageError
from stemline.extras import install_command
from stemline_server._torchaudio import torchaudio_transforms
from stemline_server.engines.base import AudioSource, Waveform
from stemline_server.generators import stable_audio_files as files
from stemline_server.generators.base import GenerateControl, GenerateRequest, GeneratorInfo

if TYPE_CHECKING:
    from stemline_server.generators.stable_audio_steps import StoredSteps

_CODE_VERSION = "1"
_LONGEST_S = 120.0  # of one sound: the client joins several to a longer one
_SHORTEST_S = 0.01
_STEPS = {"fast": 0.5, "standard": 1.0, "best": 2.0}
_OPEN_STEPS = 100
_MAX_CHARACTERS = 1000
_BLOCK_SAMPLES = 1 << 16
_LICENCE = "Stability AI Community License (weights), Apache-2.0 (diffusers), Gemma terms (text encoder of version 3)"
_NOTE = "Sounds are yours; free below 1 million dollars of yearly revenue, with attribution."


class StableAudioGenerator:
    """Make, fill and vary effects and ambience. A variant is the name of a folder in the folder of pipelines."""

    def __init__(self, variant: str = "") -> None:
        """Use the pipeline of a variant, or the first one."""
        self._variant = variant
        self._pipeline: Any = None
        self._loaded = ""

    @staticmethod
    def variants() -> tuple[str, ...]:
        """Return the names of the pipelines where there are several."""
        return tuple(name for name in files.pipeline_folders() if name)

    @property
    def info(self) -> GeneratorInfo:
        """Description of the pipeline, from its configs."""
        folder = self._folder()
        ready = folder is not None and not files.missing_reason(folder)
        vae = files.part_config(folder, "vae") if folder is not None and ready else {}
        version_3 = folder is not None and files.pipeline_class(folder) in files.VERSION_3
        name = f"stable_audio.{self._variant}" if self._variant else "stable_audio"
        return GeneratorInfo(
            id=name,
            title=f"Stable Audio {'3' if version_3 else 'Open 1.0' if ready else ''}".strip(),
            revision=f"{_CODE_VERSION}-{_diffusers_version()}-{files.fingerprint(folder)}" if folder and ready else "",
            sample_rate=int(vae.get("sampling_rate", 44_100)),
            channels=int(vae.get("audio_channels", 2)),
            min_s=_SHORTEST_S,
            max_s=_longest_s(folder, vae) if folder is not None and ready else _LONGEST_S,
            fills=version_3,
            varies=version_3,
            licence=_LICENCE,
            commercial="limited",
            note=_NOTE,
        )

    def availability(self) -> str:
        """Return "" if the pipeline can be loaded, else what is missing and how to get it."""
        reason = files.missing_reason(self._folder())
        if reason:
            return reason
        if importlib.util.find_spec("diffusers") is None:
            return f"Stable Audio needs more packages: run `{install_command('generate')}`."
        return ""

    def check(self, request: GenerateRequest) -> None:
        """Check the words. Raises UsageError (PROMPT_TOO_LONG)."""
        if len(request.text) > _MAX_CHARACTERS or len(request.negative) > _MAX_CHARACTERS:
            raise UsageError(
                f"Stable Audio takes up to {_MAX_CHARACTERS} characters.",
                code=Code.PROMPT_TOO_LONG,
                advice="Describe the sound in a sentence.",
            )

    def load(self, device: str) -> None:
        """Load the pipeline. Raises SeparationError (MODEL_UNAVAILABLE)."""
        folder = self._folder()
        reason = self.availability()
        if folder is None or reason:
            raise SeparationError(reason, code=Code.MODEL_UNAVAILABLE)
        if self._loaded == device:
            return
        os.environ["HF_HUB_OFFLINE"] = "1"
        torchaudio_transforms()  # before transformers imports torchaudio with a compiled part of another build
        version_3 = files.pipeline_class(folder) in files.VERSION_3
        pipeline_class = _diffusers_class(files.VERSION_3[0] if version_3 else files.OPEN)
        try:
            pipeline = pipeline_class.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, low_cpu_mem_usage=False
            )
            self._pipeline = pipeline.to(device)
        except (OSError, ValueError, ImportError, RuntimeError, AttributeError, KeyError, TypeError) as error:
            raise SeparationError(
                f"Stable Audio cannot be loaded from {folder}: {str(error).partition(chr(10))[0]}.",
                code=Code.MODEL_UNAVAILABLE,
                advice="Convert or download it again; the documentation says how.",
            ) from error
        self._pipeline.set_progress_bar_config(disable=True)
        self._loaded = device

    def unload(self) -> None:
        """Free the memory of the pipeline."""
        self._pipeline, self._loaded = None, ""

    def generate(self, request: GenerateRequest, control: GenerateControl) -> Iterator[Waveform]:
        """Yield the sound in blocks. Decoding, the last step, cannot be interrupted.

        The state after each step is stored in the scratch folder, where a killed job finds it.
        """
        import torch  # noqa: PLC0415 - takes seconds

        from stemline_server.generators.stable_audio_steps import StoredSteps  # noqa: PLC0415 - imports torch

        folder = self._folder()
        assert folder is not None and self._pipeline is not None  # noqa: S101 - `load` was called
        generator = torch.Generator("cpu").manual_seed(request.seed % (1 << 63))
        stored = StoredSteps(request.scratch, request, self.info.revision, generator)
        progress = _Progress(control, stored)
        with torch.inference_mode(), stored.skipping(self._pipeline):
            if files.pipeline_class(folder) in files.VERSION_3:
                audio = self._version_3(request, generator, progress)
            else:
                audio = self._open(request, generator, progress)
        sound = audio[0].float().cpu().numpy()[:, : request.length_samples]
        control.step(1, 1)
        if sound.shape[1] < request.length_samples:  # the longest sound may end within a frame of the latents
            sound = np.pad(sound, ((0, 0), (0, request.length_samples - sound.shape[1])))
        for start in range(0, request.length_samples, _BLOCK_SAMPLES):
            yield np.ascontiguousarray(sound[:, start : start + _BLOCK_SAMPLES], np.float32)

    def _version_3(self, request: GenerateRequest, generator: Any, progress: _Progress) -> Any:
        pipeline = self._pipeline
        distilled = bool(pipeline.scheduler.config.stochastic_sampling)
        steps = max(1, round((8 if distilled else 100) * _STEPS[request.quality])) if not distilled else 8
        arguments: dict[str, Any] = {
            "prompt": request.text,
            "duration": (request.length_samples + 1) / self.info.sample_rate,
            "num_inference_steps": steps,
            "generator": generator,
            "callback_on_step_end": progress.callback(steps),
        }
        if request.context is not None:
            frame = pipeline.vae.downsampling_ratio
            length = _whole_frames(request.length_samples + 1, frame)
            pipeline = _diffusers_class(files.VERSION_3[1])(**pipeline.components)
            arguments |= {"audio": _tensor(request.context, length), "mask": _frame_mask(request, length, frame)}
        elif request.reference is not None:
            pipeline = _diffusers_class(files.VERSION_3[2])(**pipeline.components)
            length = _whole_frames(request.length_samples + 1, pipeline.vae.downsampling_ratio)
            arguments |= {"audio": _tensor(request.reference, length), "init_noise_level": request.strength}
        elif not distilled:
            arguments |= {"guidance_scale": 7.0, "negative_prompt": request.negative or None}
        pipeline.set_progress_bar_config(disable=True)
        return pipeline(**arguments).audios

    def _open(self, request: GenerateRequest, generator: Any, progress: _Progress) -> Any:
        steps = max(1, round(_OPEN_STEPS * _STEPS[request.quality]))
        report = progress.callback(steps)
        rate = self.info.sample_rate
        return self._pipeline(
            prompt=request.text,
            negative_prompt=request.negative or None,
            audio_end_in_s=min((request.length_samples + 1) / rate, self.info.max_s),
            num_inference_steps=steps,
            generator=generator,
            callback=lambda step, timestep, latents: report(self._pipeline, step, timestep, {"latents": latents}),
            callback_steps=1,
        ).audios

    def _folder(self) -> Path | None:
        known = files.pipeline_folders()
        return known.get(self._variant) if self._variant else next(iter(known.values()), None)


def _diffusers_class(name: str) -> Any:
    return getattr(import_module("diffusers"), name)  # imported here: it takes seconds


@dataclass(frozen=True, slots=True)
class _Progress:
    """Stores and reports the steps of a pipeline, of which decoding is one more."""

    control: GenerateControl
    stored: StoredSteps

    def callback(self, steps: int) -> Callable[[Any, int, Any, dict[str, Any]], dict[str, Any]]:
        """Return a callback for the end of each of so many steps. It raises Cancelled, and OutputError."""

        def report(pipeline: Any, step: int, timestep: Any, values: dict[str, Any]) -> dict[str, Any]:
            self.stored.finish(step + 1, values["latents"], pipeline.scheduler)
            self.control.step(step + 1, steps + 1)
            return values

        return report


def _tensor(source: AudioSource, length_samples: int) -> Any:
    """Return a sound as a tensor [1, channels, samples], cut or filled up with silence."""
    import torch  # noqa: PLC0415 - takes seconds

    sound = source.read(0, min(source.length_samples, length_samples))
    return torch.from_numpy(np.pad(sound, ((0, 0), (0, length_samples - sound.shape[1])))[np.newaxis].copy())


def _frame_mask(request: GenerateRequest, length_samples: int, frame_samples: int) -> Any:
    """Return a mask of latent frames [1, 1, frames]: 0 where a frame touches a hole, and past the end."""
    import torch  # noqa: PLC0415 - takes seconds

    mask = np.ones(length_samples // frame_samples, np.float32)
    for hole in request.holes:
        mask[hole.start_sample // frame_samples : -(-hole.end_sample // frame_samples)] = 0
    mask[request.length_samples // frame_samples :] = 0
    return torch.from_numpy(mask)[None, None]


def _whole_frames(length_samples: int, frame_samples: int) -> int:
    return -(-length_samples // frame_samples) * frame_samples


def _longest_s(folder: Path, vae: dict[str, Any]) -> float:
    rate = int(vae.get("sampling_rate", 44_100))
    if files.pipeline_class(folder) in files.VERSION_3:
        return min(float(files.part_config(folder, "duration_embedder").get("max_val", 384.0)), _LONGEST_S)
    hop = int(math.prod(vae.get("downsampling_ratios", [2048])))
    frames = int(files.part_config(folder, "transformer").get("sample_size", 1024))
    return frames * hop / rate


def _diffusers_version() -> str:
    try:
        return metadata.version("diffusers")
    except metadata.PackageNotFoundError:
        return "none"
