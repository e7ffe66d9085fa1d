"""One request from waveform to target waveforms: encode, solve, decode."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from stemline.errors import Code, UsageError
from stemline_server.engines.base import Control, EnginePrompt, EngineRequest, Finding, Waveform
from stemline_server.engines.sam_audio.chunked_codec import Decoding, LevelMeter, encode, frames_of
from stemline_server.engines.sam_audio.conditioning import FrameSpan, sample_to_frame, span_tokens
from stemline_server.engines.sam_audio.device import Precision
from stemline_server.engines.sam_audio.flow import Conditions, Flow
from stemline_server.engines.sam_audio.model import SamAudioModel
from stemline_server.engines.sam_audio.noise import frame_noise
from stemline_server.engines.sam_audio.presets import Preset, preset
from stemline_server.engines.sam_audio.prompts import (
    identity,
    normalise,
    reads_like_a_sentence,
    spread,
    visual_features,
    watermark_message,
)
from stemline_server.engines.sam_audio.resume import SolveFile
from stemline_server.engines.sam_audio.solver import advance
from stemline_server.engines.sam_audio.text_encoder import TextEncoder
from stemline_server.engines.sam_audio.windows import WindowSize, plan_windows

_log = logging.getLogger(__name__)

_SILENCE_RMS = 10 ** (-65 / 20)
_INAUDIBLE_DB, _CLEAR_DB = -50.0, -20.0


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model on its device, and how it is run. `batch_frames` frames of windows are evaluated at once, one window at
    least.
    """

    model: SamAudioModel
    text: TextEncoder
    device: torch.device
    precision: Precision
    revision: str
    watermark: bool = True
    window: WindowSize = field(default_factory=WindowSize)
    batch_frames: int = 1000
    batch: int = 0
    chunk_frames: int = 25

    def batch_of(self, window_frames: int) -> int:
        return self.batch or max(1, self.batch_frames // window_frames)


class Separation:
    """The work on one request. `blocks` does it all."""

    def __init__(self, loaded: Loaded, request: EngineRequest, control: Control) -> None:
        """Raises UsageError for a quality that there is not."""
        self._loaded, self._request, self._control = loaded, request, control
        self._preset: Preset = preset(request.quality)
        self._hop = loaded.model.config.audio_codec.hop_samples
        self._frames = frames_of(request.audio.length_samples, self._hop)
        self._plan = plan_windows(self._frames, loaded.window)
        self._rows = len(request.prompts) * self._preset.candidates
        self._chunks = -(-self._frames // loaded.chunk_frames)
        self._done = 0
        self._total = 2 * self._chunks + self._evaluations(self._preset.schedule.steps)

    def blocks(self) -> Iterator[Waveform]:
        """Blocks [prompts, 1, n] that together are as long as the audio."""
        self._control.step(0, self._total)
        rate = self._loaded.model.config.audio_codec.sample_rate
        mix = LevelMeter(1, rate)
        with self._loaded.precision.active(self._loaded.device):
            latent = encode(self._loaded.model, self._request.audio, self._loaded.chunk_frames, mix, self._advance)
        for number, prompt in enumerate(self._request.prompts):
            if reads_like_a_sentence(prompt.text):
                self._control.warn(
                    number,
                    "PROMPT_SENTENCE",
                    f"{prompt.text!r} reads like a sentence; SAM Audio was trained on phrases such as 'man speaking'.",
                )
        if mix.loudest_rms[0] == 0:
            yield from self._silence()
            return
        with self._loaded.precision.active(self._loaded.device):
            target = self._solve(latent)
        yield from self._decode(target, float(mix.loudest_rms[0]))

    def _silence(self) -> Iterator[Waveform]:
        """Nothing is in digital silence, and nothing is made up from it."""
        count, length = len(self._request.prompts), self._request.audio.length_samples
        for number in range(count):
            self._control.find(number, Finding(found=False, confidence=1.0))
        block_samples = self._loaded.chunk_frames * self._hop
        for start in range(0, length, block_samples):
            yield np.zeros((count, 1, min(block_samples, length - start)), np.float32)

    @torch.inference_mode()
    def _solve(self, latent: Tensor) -> Tensor:
        """Mixture latent [T, C] to the prompts' target latents [P, C, T]."""
        times = self._preset.schedule.times
        flow = Flow(self._loaded.model, self._conditions(latent), self._plan, self._advance, times)
        flow.batch, flow.candidates = self._loaded.batch_of(self._plan.frames), self._preset.candidates
        state, first = self._noise(), 0
        file = self._solve_file(latent)
        kept = file.load(state.shape) if file else None
        if kept is not None:
            first, state = kept
            self._done += self._evaluations(first)
        state, steps, before = state.to(self._loaded.device), self._preset.schedule.steps, self._done
        for step in range(first, steps):
            state = advance(self._preset.schedule, step, state, flow)
            if file:
                file.save(step + 1, state)
        _log.info("solved from step %d to %d, %d windows evaluated", first, steps, self._done - before)
        channels = latent.shape[1]
        return _nearest_to_all(state[..., :channels], self._preset.candidates).transpose(1, 2)

    def _conditions(self, latent: Tensor) -> Conditions:
        prompts, device = self._request.prompts, latent.device
        text, mask = self._loaded.text.encode_all(tuple(prompt.text for prompt in prompts))
        tokens = torch.stack([span_tokens(self._spans(prompt), self._frames) for prompt in prompts])
        return Conditions(latent, tokens.to(device), text, mask, self._visual(device))

    def _spans(self, prompt: EnginePrompt) -> list[FrameSpan]:
        """Minus spans come last: where both are given, the sound is not there."""
        signed = [(True, span) for span in prompt.plus] + [(False, span) for span in prompt.minus]
        return [
            FrameSpan(plus, sample_to_frame(s.start_sample, self._hop), sample_to_frame(s.end_sample, self._hop))
            for plus, s in signed
        ]

    def _visual(self, device: torch.device) -> Tensor | None:
        prompts, width = self._request.prompts, self._loaded.model.config.vision_encoder.dim
        if all(prompt.visual is None for prompt in prompts):
            return None
        seen = np.zeros((len(prompts), self._frames, width), np.float32)
        for row, prompt in enumerate(prompts):
            if prompt.visual is None:
                continue
            features = visual_features(prompt.visual)
            if features.shape[1] != width:
                raise UsageError(
                    f"The visual features are {features.shape[1]} wide, this model takes {width}.",
                    code=Code.PROMPT_UNSUPPORTED,
                )
            seen[row] = spread(features, self._frames)
        return torch.from_numpy(seen).to(device)

    def _noise(self) -> Tensor:
        """[rows, T, 2C]: the same for every prompt, its own for each candidate."""
        channels = self._loaded.model.config.transformer.out_channels
        start = round(self._request.origin_sample / self._hop)
        drawn = [
            frame_noise(self._request.seed, start, self._frames, channels, candidate=candidate)
            for candidate in range(self._preset.candidates)
        ]
        return torch.from_numpy(np.stack(drawn)).repeat(len(self._request.prompts), 1, 1)

    def _solve_file(self, latent: Tensor) -> SolveFile | None:
        """Keyed by the sound itself besides the request: a pipeline may run one request on several channels."""
        request = self._request
        if request.scratch is None:
            return None
        digest = hashlib.sha256(latent.cpu().numpy().tobytes())
        prompts = [identity(prompt) for prompt in request.prompts]
        words = (self._loaded.revision, prompts, request.seed, request.origin_sample, request.quality)
        digest.update(repr(words).encode())
        return SolveFile(request.scratch, digest.hexdigest())

    def _decode(self, latents: Tensor, mix_rms: float) -> Iterator[Waveform]:
        request, chunk = self._request, self._loaded.chunk_frames
        messages = [
            watermark_message(self._loaded.revision, prompt, request.seed, request.origin_sample)
            for prompt in request.prompts
        ]
        marks = torch.tensor(messages, device=latents.device) if self._loaded.watermark else None
        decoding = Decoding(self._loaded.model, marks, len(messages))
        meter = LevelMeter(len(messages), self._loaded.model.config.audio_codec.sample_rate)
        left = request.audio.length_samples
        for start in range(0, self._frames, chunk):
            last = start + chunk >= self._frames
            with self._loaded.precision.active(self._loaded.device):
                pieces = list(decoding.push(latents[..., start : start + chunk], last=last))
            self._advance()
            for piece in pieces:
                meter.push(piece[:, :left])
            if last:
                self._tell(meter, mix_rms, messages)
            for piece in pieces:
                yield piece[:, None, :left]
                left -= min(left, piece.shape[1])

    def _tell(self, meter: LevelMeter, mix_rms: float, messages: list[tuple[int, ...]]) -> None:
        """Found or not goes by level: the model answers a sound that is not there with near silence."""
        meter.finish()
        for number, (rms, message) in enumerate(zip(meter.loudest_rms, messages, strict=True)):
            level_db = 20 * np.log10(max(float(rms), 1e-12) / mix_rms)
            found = bool(rms > _SILENCE_RMS and level_db > _INAUDIBLE_DB)
            loudness = float(np.clip((level_db - _INAUDIBLE_DB) / (_CLEAR_DB - _INAUDIBLE_DB), 0, 1))
            mark = "".join(map(str, message)) if self._loaded.watermark else "off"
            confidence = loudness if found else 1 - loudness
            words = normalise(self._request.prompts[number].text)
            self._control.find(number, Finding(found, confidence, words, notes=(("watermark", mark),)))

    def _evaluations(self, steps: int) -> int:
        """Windows evaluated in so many steps."""
        return steps * self._preset.schedule.evaluations_per_step * self._rows * len(self._plan.starts)

    def _advance(self, count: int = 1) -> None:
        self._done += count
        self._control.step(min(self._done, self._total), self._total)


def _nearest_to_all(states: Tensor, candidates: int) -> Tensor:
    """Of each prompt's candidates [P * K, T, C] the one that is nearest to all others (their medoid): an estimate that
    the model only makes from one noise in K is the one to distrust."""
    if candidates == 1:
        return states
    kept = []
    for rows in torch.split(states, candidates):
        distances = torch.cdist(rows.flatten(1)[None], rows.flatten(1)[None])[0]
        kept.append(rows[int(distances.sum(dim=1).argmin())])
    return torch.stack(kept)
