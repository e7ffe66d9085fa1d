"""Runs an engine over a task, from the sound of the media to its stems."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Self

import numpy as np

from stemline.clips import SampleRange
from stemline.errors import SeparationError
from stemline.media import SAMPLE_BYTES
from stemline_server.engines.base import AudioSource, Control, Engine, EnginePrompt, EngineRequest, Finding, Waveform
from stemline_server.pipeline.carry import carried
from stemline_server.pipeline.groups import correlated, one_each
from stemline_server.pipeline.resample import ResampledSource, Resampler, resampled_blocks
from stemline_server.pipeline.task import Models, PipelineTask, Sink
from stemline_server.pipeline.views import ChannelView, FoldDown

PIPELINE_VERSION = 2
_BLOCK_SAMPLES = 1 << 17
_SHORTAGE_S = 0.5  # at most so much is filled up with silence: an engine counts in frames


@dataclass(frozen=True, slots=True)
class Separation:
    """A task, and the id of the engine that does it, as work for the process of the models."""

    model: str
    task: PipelineTask

    @property
    def audio(self) -> Sequence[AudioSource]:
        """Return the mix."""
        return (self.task.audio,)

    def run(self, models: Models, control: Control, sinks: Sequence[Sink]) -> float:
        """Write to each sink the stem of its prompt, and return how many seconds that took. Raises as `separate`."""
        engine = models.use(self.model)
        started_s = time.monotonic()
        separate(self.task, engine, control, sinks)
        return time.monotonic() - started_s


def separate(task: PipelineTask, engine: Engine, control: Control, sinks: Sequence[Sink]) -> None:
    """Write to each sink the stem of its prompt: exactly the samples of the audio, in order.

    The engine is loaded and has checked the prompts.

    Raises:
        Cancelled: `control.step` raised it.
        SeparationError: The engine failed, or gave no usable result.
        OSError: The disk is full.
    """
    if engine.info.multichannel:
        blocks = _estimates(task, task.audio, engine, control)
    else:
        blocks = _by_channels(task, engine, control)
    for block in blocks:
        for sink, stem in zip(sinks, block, strict=True):
            sink.write(stem)


def _by_channels(task: PipelineTask, engine: Engine, control: Control) -> Iterator[Waveform]:
    """Yield the stems of a one-channel engine for media of any layout: blocks [prompts, channels, n]."""
    find_groups = correlated if task.channels == "linked" else one_each
    found = find_groups(task.audio, control)
    groups = found.groups
    passes = Passes(control, max(1, len(groups)))

    def stems_of(number: int) -> Iterator[Waveform]:
        passes.current = number
        return _stems_of_group(task, groups[number], engine, passes, alike=groups[number] in found.alike)

    with ExitStack() as stack:
        streams: list[tuple[tuple[int, ...], Spool]] = []
        for number, group in enumerate(groups[:-1]):
            spool = stack.enter_context(Spool((len(task.prompts), len(group)), task.scratch))
            for block in stems_of(number):
                spool.write(block)
            streams.append((group, spool))
        last = stems_of(len(groups) - 1) if groups else _silence(task)
        for block in last:
            stems = np.zeros((len(task.prompts), task.audio.channels, block.shape[-1]), np.float32)
            for group, spool in streams:
                stems[:, list(group)] = spool.read(block.shape[-1])
            if groups:
                stems[:, list(groups[-1])] = block
            yield stems
    several = groups and task.audio.channels > 1
    passes.tell(len(task.prompts), (("channels", _account(groups)),) if several else ())


def _account(groups: Sequence[tuple[int, ...]]) -> str:
    """Return how each channel was estimated, counted from 1, for the record of the stem."""
    said = [
        f"one estimate of {'+'.join(str(channel + 1) for channel in group)}, carried to each"
        if len(group) > 1
        else f"an estimate of {group[0] + 1} alone"
        for group in groups
    ]
    return "; ".join(said)


def _stems_of_group(
    task: PipelineTask, group: tuple[int, ...], engine: Engine, control: Control, *, alike: bool
) -> Iterator[Waveform]:
    """Yield one estimate for the fold-down of these channels, carried to each: blocks [prompts, len(group), n].

    Channels that are `alike` throughout get the estimate itself. That holds for all of the sound or for none of it:
    the estimate and the carried stems differ, and would click where one follows the other.
    """
    channels = ChannelView(task.audio, group)
    one_pass = replace(task, scratch=_scratch_of(task, group))
    estimates = _estimates(one_pass, FoldDown(channels), engine, control)
    if alike or len(group) == 1:
        return (np.repeat(block, len(group), axis=1) for block in estimates)
    return carried(estimates, channels)


def _scratch_of(task: PipelineTask, group: tuple[int, ...]) -> Path | None:
    if task.scratch is None or len(group) == task.audio.channels:
        return task.scratch
    folder = task.scratch / f"channels-{'-'.join(map(str, group))}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _silence(task: PipelineTask) -> Iterator[Waveform]:
    for start in range(0, task.audio.length_samples, _BLOCK_SAMPLES):
        samples = min(_BLOCK_SAMPLES, task.audio.length_samples - start)
        yield np.zeros((len(task.prompts), 0, samples), np.float32)


def _estimates(task: PipelineTask, audio: AudioSource, engine: Engine, control: Control) -> Iterator[Waveform]:
    """Yield the engine's estimates at the rate and length of the media: blocks [prompts, channels, n]."""
    rate = engine.info.sample_rate or audio.sample_rate
    shape = (len(task.prompts), audio.channels)
    given = {field.name: getattr(task, field.name) for field in fields(EngineRequest)}
    request = EngineRequest(**{**given, "audio": audio})
    if rate == audio.sample_rate:
        blocks: Iterable[Waveform] = _checked(engine.separate(request, control), request)
    else:
        there = ResampledSource(audio, Resampler(audio.sample_rate, rate))
        request = replace(
            request,
            audio=there,
            prompts=tuple(_at_rate(prompt, audio.sample_rate, there) for prompt in task.prompts),
            origin_sample=task.origin_sample * rate // audio.sample_rate,
        )
        rows = (block.reshape(-1, block.shape[-1]) for block in _checked(engine.separate(request, control), request))
        back = resampled_blocks(rows, Resampler(rate, audio.sample_rate))
        blocks = (block.reshape(*shape, -1) for block in back)
    return _exactly(blocks, shape, audio.length_samples)


def _at_rate(prompt: EnginePrompt, rate: int, audio: AudioSource) -> EnginePrompt:
    """Return the prompt with its spans on the engine's grid, rounded outward."""

    def spans(given: tuple[SampleRange, ...]) -> tuple[SampleRange, ...]:
        return tuple(
            SampleRange(
                span.start_sample * audio.sample_rate // rate,
                min(-(-span.end_sample * audio.sample_rate // rate), audio.length_samples),
            )
            for span in given
        )

    return replace(prompt, plus=spans(prompt.plus), minus=spans(prompt.minus))


def _checked(blocks: Iterable[Waveform], request: EngineRequest) -> Iterator[Waveform]:
    """Pass on the engine's blocks. Raises SeparationError for values, shapes and lengths that are no result."""
    shape = (len(request.prompts), request.audio.channels)
    missing_samples = request.audio.length_samples
    for block in blocks:
        if block.ndim != len(shape) + 1 or block.shape[:-1] != shape:
            raise _broken(f"The model gave a block of shape {block.shape} for {shape} prompts and channels.")
        if not np.all(np.isfinite(block)):
            raise _broken("The model's output has values that are not numbers.")
        missing_samples -= block.shape[-1]
        yield block
    nothing = missing_samples == request.audio.length_samples > 0
    if nothing or missing_samples > request.audio.sample_rate * _SHORTAGE_S:
        raise _broken(f"The model ended {missing_samples} of {request.audio.length_samples} samples too early.")


def _broken(message: str) -> SeparationError:
    return SeparationError(
        message, advice="Run it again. If the error comes back, report it with the media and the prompt."
    )


def _exactly(blocks: Iterable[Waveform], shape: tuple[int, int], length_samples: int) -> Iterator[Waveform]:
    """Yield the blocks cut, or filled up with silence, to the length of the media, because engines count in frames."""
    left = length_samples
    for block in blocks:
        kept = block[..., :left]
        left -= kept.shape[-1]
        if kept.shape[-1]:
            yield kept
    while left:
        samples = min(left, _BLOCK_SAMPLES)
        left -= samples
        yield np.zeros((*shape, samples), np.float32)


@dataclass
class Passes:
    """A `Control` of several passes of an engine over one task.

    Reports their progress as one; at the end one finding for each prompt, and the warnings of that pass.
    """

    control: Control
    passes: int
    current: int = 0
    _warned: dict[tuple[int, int], dict[str, str]] = field(default_factory=dict)
    _findings: dict[int, tuple[int, Finding]] = field(default_factory=dict)

    def step(self, done: int, total: int) -> None:
        """Report the progress of the current pass as a part of the whole. Raises Cancelled."""
        self.control.step(self.current * total + done, self.passes * total)

    def warn(self, prompt: int, code: str, message: str) -> None:
        """Note a warning of the current pass."""
        self._warned.setdefault((self.current, prompt), {})[code] = message

    def find(self, prompt: int, finding: Finding) -> None:
        """Note a finding of the current pass. A sound that is in any of the channels is found."""
        _, best = self._findings.get(prompt, (0, None))
        if best is None or (finding.found, finding.confidence) > (best.found, best.confidence):
            self._findings[prompt] = self.current, finding

    def tell(self, prompts: int, notes: tuple[tuple[str, str], ...]) -> None:
        """Report the findings, each with `notes`. A prompt that no pass reported on was not found."""
        for number in range(prompts):
            of_pass, found = self._findings.get(number, (0, Finding(found=False, confidence=0.0)))
            for code, message in self._warned.get((of_pass, number), {}).items():
                self.control.warn(number, code, message)
            self.control.find(number, replace(found, notes=(*found.notes, *notes)))


class Spool:
    """A first-in first-out queue of blocks [*shape, n] that wait for other channels, in an unnamed temporary file."""

    def __init__(self, shape: tuple[int, ...], folder: Path | None) -> None:
        """Make an empty queue with its file in `folder`. Raises OSError."""
        self._shape = shape
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by __exit__
        self._read_bytes = 0

    def __enter__(self) -> Self:
        """Return the queue."""
        return self

    def __exit__(self, *_: object) -> None:
        """Delete the file."""
        self._file.close()

    def write(self, block: Waveform) -> None:
        """Append a block. Raises OSError where the disk is full."""
        self._file.seek(0, 2)
        self._file.write(np.ascontiguousarray(np.moveaxis(block, -1, 0), np.float32).tobytes())

    def read(self, samples: int) -> Waveform:
        """Return the next `samples` samples: [*shape, samples]."""
        self._file.seek(self._read_bytes)
        data = self._file.read(samples * math.prod(self._shape) * SAMPLE_BYTES)
        self._read_bytes += len(data)
        return np.moveaxis(np.frombuffer(data, np.float32).reshape(samples, *self._shape), 0, -1)
