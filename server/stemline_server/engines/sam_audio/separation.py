"""Separation of one request: encode the mix, solve for the targets' latents, decode them."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from stemline.errors import Code, UsageError, WarningCode
from stemline_server.engines.base import Control, EnginePrompt, EngineRequest, Finding, Waveform
from stemline_server.engines.sam_audio.chunked_codec import ChunkedDecoder, LevelMeter, encode, frame_count
from stemline_server.engines.sam_audio.conditioning import FrameSpan, sample_to_frame, span_tokens
from stemline_server.engines.sam_audio.flow import Flow, RequestConditions
from stemline_server.engines.sam_audio.loading import LoadedModel
from stemline_server.engines.sam_audio.noise import frame_noise
from stemline_server.engines.sam_audio.pictures import FeatureFile, Features, pictures_of_frames
from stemline_server.engines.sam_audio.prompts import (
    even_places,
    is_sentence_like,
    normalise,
    prompt_identity,
    visual_features,
    watermark_message,
)
from stemline_server.engines.sam_audio.resume import SolveFile
from stemline_server.engines.sam_audio.solver import Preset, advance, preset
from stemline_server.engines.sam_audio.windows import plan_windows

_log = logging.getLogger(__name__)

_SILENCE_RMS = 10 ** (-65 / 20)
_INAUDIBLE_DB, _FULL_CONFIDENCE_DB = -50.0, -20.0


class Separation:
    """Separate all prompts of one request."""

    def __init__(self, loaded: LoadedModel, request: EngineRequest, control: Control) -> None:
        """Prepare a separation without computing anything yet.

        Args:
            loaded: The model.
            request: The request, with a mono source.
            control: Receives progress, warnings and findings.

        Raises:
            UsageError: The quality of the request does not exist.
        """
        self._loaded, self._request, self._control = loaded, request, control
        self._preset: Preset = preset(request.quality)
        self._hop = loaded.model.config.audio_codec.hop_samples
        self._frames = frame_count(request.audio.length_samples, self._hop)
        self._plan = plan_windows(self._frames, loaded.window)
        self._rows = len(request.prompts) * self._preset.candidates
        self._chunks = -(-self._frames // loaded.chunk_frames)
        self._sources = {row: p.pictures for row, p in enumerate(request.prompts) if p.pictures is not None}
        self._shown = self._pictures_of_prompts()
        self._done = 0
        self._total = 2 * self._chunks + self._evaluations(self._preset.schedule.steps)
        self._total += sum(len(pictures) for pictures, _ in self._shown.values())

    def blocks(self) -> Iterator[Waveform]:
        """Compute the targets.

        Yields:
            Blocks [prompts, 1, samples], together exactly as long as the audio.

        Raises:
            Cancelled: The job was cancelled.
            UsageError: A prompt cannot be served.
            SeparationError: The device has too little memory (DEVICE_OUT_OF_MEMORY).
        """
        self._control.step(0, self._total)
        rate = self._loaded.model.config.audio_codec.sample_rate
        mix = LevelMeter(1, rate)
        with self._loaded.precision.active(self._loaded.device):
            latent = encode(self._loaded.model, self._request.audio, self._loaded.chunk_frames, mix, self._advance)
        for number, prompt in enumerate(self._request.prompts):
            if is_sentence_like(prompt.text):
                self._control.warn(
                    number,
                    WarningCode.PROMPT_SENTENCE,
                    f"{prompt.text!r} looks like a sentence; SAM Audio was trained on phrases such as 'man speaking'.",
                )
        if mix.loudest_rms[0] == 0:
            yield from self._silence()
            return
        with self._loaded.precision.active(self._loaded.device):
            target = self._solve(latent)
        yield from self._decode(target, float(mix.loudest_rms[0]))

    def _silence(self) -> Iterator[Waveform]:
        """Yield silence for a digitally silent mix, for which the model would invent sound."""
        count, length = len(self._request.prompts), self._request.audio.length_samples
        for number in range(count):
            self._control.find(number, Finding(found=False, confidence=1.0))
        block_samples = self._loaded.chunk_frames * self._hop
        for start in range(0, length, block_samples):
            yield np.zeros((count, 1, min(block_samples, length - start)), np.float32)

    @torch.inference_mode()
    def _solve(self, latent: Tensor) -> Tensor:
        """Return the target latents [P, C, T] for the latent [T, C] of the mix."""
        times = self._preset.schedule.times
        flow = Flow(self._loaded.model, self._conditions(latent), self._plan, self._advance, times)
        flow.batch, flow.candidates = self._loaded.batch_of(self._plan.frames), self._preset.candidates
        state, first = self._noise(), 0
        file = self._solve_file(latent)
        stored = file.load(state.shape) if file else None
        if stored is not None:
            first, state = stored
            self._done += self._evaluations(first)
        state, steps, before = state.to(self._loaded.device), self._preset.schedule.steps, self._done
        for step in range(first, steps):
            state = advance(self._preset.schedule, step, state, flow)
            if file:
                file.save(step + 1, state)
        _log.info("solved from step %d to %d, %d windows evaluated", first, steps, self._done - before)
        channels = latent.shape[1]
        return _medoids(state[..., :channels], self._preset.candidates).transpose(1, 2)

    def _conditions(self, latent: Tensor) -> RequestConditions:
        prompts, device = self._request.prompts, latent.device
        text, mask = self._loaded.text.encode_all(tuple(prompt.text for prompt in prompts))
        tokens = torch.stack([span_tokens(self._spans(prompt), self._frames) for prompt in prompts])
        return RequestConditions(latent, tokens.to(device), text, mask, *self._visual(device))

    def _pictures_of_prompts(self) -> dict[int, tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
        """Return the stored pictures that a prompt shows, and which of them each frame shows, by prompt."""
        frame_s = Fraction(self._hop, self._loaded.model.config.audio_codec.sample_rate)
        shown = {}
        for row, source in self._sources.items():
            pictures, places = np.unique(pictures_of_frames(source, self._frames, frame_s), return_inverse=True)
            shown[row] = pictures, places
        return shown

    def _spans(self, prompt: EnginePrompt) -> list[FrameSpan]:
        """Return the spans in frames, minus spans last: where both overlap, the sound is absent."""
        signed = [(True, span) for span in prompt.plus] + [(False, span) for span in prompt.minus]
        return [
            FrameSpan(plus, sample_to_frame(s.start_sample, self._hop), sample_to_frame(s.end_sample, self._hop))
            for plus, s in signed
        ]

    def _visual(self, device: torch.device) -> tuple[Tensor, Tensor] | tuple[None, None]:
        """Return features [pictures, width] and the row of each prompt's frames [P, T]; row 0 is "no picture"."""
        prompts, width = self._request.prompts, self._loaded.model.config.vision_encoder.dim
        encoded = self._encoded_pictures()
        if not encoded and all(prompt.visual is None for prompt in prompts):
            return None, None
        tables = [np.zeros((1, width), np.float32)]
        shown = np.zeros((len(prompts), self._frames), np.int64)
        for row, prompt in enumerate(prompts):
            if row in encoded:
                features, places = encoded[row]
            elif prompt.visual is not None:
                features = visual_features(prompt.visual)
                places = even_places(len(features), self._frames)
            else:
                continue
            if features.shape[1] != width:
                raise UsageError(
                    f"The visual features have a width of {features.shape[1]}; this model needs {width}.",
                    code=Code.PROMPT_UNSUPPORTED,
                )
            shown[row] = places + sum(map(len, tables))
            tables.append(features)
        return torch.from_numpy(np.concatenate(tables)).to(device), torch.from_numpy(shown).to(device)

    def _encoded_pictures(self) -> dict[int, tuple[Features, npt.NDArray[np.int64]]]:
        """Return the features of the pictures that each prompt shows and their row for each frame, by prompt."""
        if not self._shown:
            return {}
        loaded, request = self._loaded, self._request
        if loaded.pictures is None:
            raise UsageError("This model cannot take pictures.", code=Code.PROMPT_UNSUPPORTED)
        file = None
        if request.scratch is not None:
            file = FeatureFile(request.scratch, loaded.revision, loaded.model.config.vision_encoder.dim)
        with loaded.precision.active(loaded.device):
            wanted = [(self._sources[row], pictures) for row, (pictures, _) in self._shown.items()]
            features = loaded.pictures.encode(wanted, self._advance, file)
        return {
            row: (np.stack([of[int(picture)] for picture in pictures]), places)
            for (row, (pictures, places)), of in zip(self._shown.items(), features, strict=True)
        }

    def _noise(self) -> Tensor:
        """Return the initial state [rows, T, 2C]: equal for all prompts, different for each candidate."""
        channels = self._loaded.model.config.transformer.out_channels
        start = round(self._request.origin_sample / self._hop)
        drawn = [
            frame_noise(self._request.seed, start, self._frames, channels, candidate=candidate)
            for candidate in range(self._preset.candidates)
        ]
        return torch.from_numpy(np.stack(drawn)).repeat(len(self._request.prompts), 1, 1)

    def _solve_file(self, latent: Tensor) -> SolveFile | None:
        """Return the file of the state; its key includes the audio, as a request may run on several channels."""
        request = self._request
        if request.scratch is None:
            return None
        digest = hashlib.sha256(latent.cpu().numpy().tobytes())
        prompts = [prompt_identity(prompt) for prompt in request.prompts]
        parts = (self._loaded.revision, prompts, request.seed, request.origin_sample, request.quality)
        digest.update(repr(parts).encode())
        return SolveFile(request.scratch, digest.hexdigest())

    def _decode(self, latents: Tensor, mix_rms: float) -> Iterator[Waveform]:
        request, chunk = self._request, self._loaded.chunk_frames
        messages = [
            watermark_message(self._loaded.revision, prompt, request.seed, request.origin_sample)
            for prompt in request.prompts
        ]
        marks = torch.tensor(messages, device=latents.device) if self._loaded.watermark else None
        decoder = ChunkedDecoder(self._loaded.model, marks, len(messages))
        meter = LevelMeter(len(messages), self._loaded.model.config.audio_codec.sample_rate)
        remaining = request.audio.length_samples
        for start in range(0, self._frames, chunk):
            last = start + chunk >= self._frames
            with self._loaded.precision.active(self._loaded.device):
                pieces = list(decoder.push(latents[..., start : start + chunk], last=last))
            self._advance()
            for piece in pieces:
                meter.push(piece[:, :remaining])
            if last:
                self._report(meter, mix_rms, messages)
            for piece in pieces:
                yield piece[:, None, :remaining]
                remaining -= min(remaining, piece.shape[1])

    def _report(self, meter: LevelMeter, mix_rms: float, messages: list[tuple[int, ...]]) -> None:
        """Report findings by level: the model returns near silence for absent sounds."""
        meter.finish()
        for number, (rms, message) in enumerate(zip(meter.loudest_rms, messages, strict=True)):
            level_db = 20 * np.log10(max(float(rms), 1e-12) / mix_rms)
            found = bool(rms > _SILENCE_RMS and level_db > _INAUDIBLE_DB)
            relative_level = float(np.clip((level_db - _INAUDIBLE_DB) / (_FULL_CONFIDENCE_DB - _INAUDIBLE_DB), 0, 1))
            mark = "".join(map(str, message)) if self._loaded.watermark else "off"
            confidence = relative_level if found else 1 - relative_level
            matched = normalise(self._request.prompts[number].text)
            notes = (("watermark", mark), *self._picture_notes(number))
            self._control.find(number, Finding(found, confidence, matched, notes=notes))

    def _picture_notes(self, number: int) -> tuple[tuple[str, str], ...]:
        """Return how many pictures a second and how many different ones the model was shown for a prompt."""
        if number not in self._sources:
            return ()
        times = self._sources[number].times
        if len(times) == 1:
            return (("pictures", "one"),)
        codec = self._loaded.model.config.audio_codec
        most = Fraction(codec.sample_rate, codec.hop_samples)
        rate = min((len(times) - 1) / (times[-1] - times[0]), most)
        return (("pictures", f"{float(rate):.3g} per second, {len(self._shown[number][0])} different"),)

    def _evaluations(self, steps: int) -> int:
        """Return the number of windows evaluated in some steps."""
        return steps * self._preset.schedule.evaluations_per_step * self._rows * len(self._plan.starts)

    def _advance(self, count: int = 1) -> None:
        self._done += count
        self._control.step(min(self._done, self._total), self._total)


def _medoids(states: Tensor, candidates: int) -> Tensor:
    """Return each prompt's medoid [P, T, C]: the candidate of [P * K, T, C] with the least distance to all others.

    An estimate that the model makes from only one of the noises is unreliable.
    """
    if candidates == 1:
        return states
    medoids = []
    for rows in torch.split(states, candidates):
        distances = torch.cdist(rows.flatten(1)[None], rows.flatten(1)[None])[0]
        medoids.append(rows[int(distances.sum(dim=1).argmin())])
    return torch.stack(medoids)
