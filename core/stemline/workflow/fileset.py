"""Write the files of one segment and prove on the files that they add up to the media.

Stems are rounded to the file's grid first, then the residual is taken, and the null is read back from disk:

    mix == sum(stems) + residual

holds sample by sample because every stem is rounded to multiples of 2**-23 before the residual is taken. Media of up
to 24 bits lie on that grid themselves, so nothing is rounded after it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from stemline.clips import RESIDUAL, MediaSource, SampleRange
from stemline.errors import Cancelled, Code, OutputError
from stemline.media import (
    AudioFormat,
    AudioReader,
    BeyondFullScaleError,
    SampleFormat,
    StemTags,
    StemWriter,
    open_audio,
    open_stem,
    open_writer,
    pcm_bytes,
    quantise,
)
from stemline.workflow.results import Null

Block = npt.NDArray[np.float32]
BLOCK_SAMPLES = 1 << 15
WAVEFORM_COLUMNS = 600
_PICTURE_STRIDE = 16
_TOLERATED_NULL = 2.0**-20
_HIGHEST_COLUMN = 1e6
_OVERLAP_STRIDE = 16
_OVERLAP_LIMIT = 0.1


class Readable(Protocol):
    """Sound that can be read by range."""

    def read(self, start_sample: int, end_sample: int) -> Block:
        """Return samples [start_sample, end_sample) as float32 [channels, samples]."""
        ...


@dataclass(frozen=True, slots=True)
class SetRequest:
    """The files of one segment to write.

    Attributes:
        source: The media.
        range: The range of the media that the files hold.
        targets: The stem of each name, read in samples of the media; None is silence.
        paths: The path of each file without suffix, by stem name, the residual included.
        sample_format: The format of all files.
        tags: Returns the tags of a file by its stem name; called when the file is opened.
        cancelled: Asked between blocks whether to stop.
    """

    source: MediaSource
    range: SampleRange
    targets: Mapping[str, Readable | None]
    paths: Mapping[str, Path]
    sample_format: SampleFormat
    tags: Callable[[str], StemTags | None]
    cancelled: Callable[[], bool] = lambda: False


@dataclass(slots=True)
class WrittenFile:
    """A written file: its path, the SHA-256 of its audio, and its waveform."""

    path: Path
    audio_sha256: str
    waveform: tuple[int, ...]


@dataclass(slots=True)
class WrittenSet:
    """The written files of one segment.

    Attributes:
        files: The files by stem name.
        mix_waveform: Waveform of the media.
        sample_format: The format of all files.
        overlapping: Whether stems hold some of the same sound.
        nonfinite_samples: Samples of the media that are not numbers; they were taken as silence.
        damage: Ranges of the media that do not decode.
        null: The measured null.
    """

    files: dict[str, WrittenFile]
    mix_waveform: tuple[int, ...]
    sample_format: SampleFormat
    overlapping: bool = False
    nonfinite_samples: int = 0
    damage: tuple[SampleRange, ...] = ()
    source_sha256: str = ""
    null: Null = field(default=Null.of(0.0))


def write_set(request: SetRequest, mix: AudioReader) -> WrittenSet:
    """Write all stems and the residual, then measure the null on the files against a new decode of the media.

    A set with a sample outside full scale is written as 32-bit float instead.

    Args:
        request: What to write.
        mix: The media.

    Raises:
        OutputError: A file cannot be written or does not hold what was written.
        Cancelled: `request.cancelled` returned True.
    """
    wanted = [request.sample_format]
    if request.sample_format is not SampleFormat.WAV32F:
        wanted.append(SampleFormat.WAV32F)
    for sample_format in wanted:
        mix.nonfinite_samples = 0
        try:
            written = _write(request, mix, AudioFormat(sample_format, mix.sample_rate, mix.channels, mix.layout))
        except BeyondFullScaleError:
            continue
        written.nonfinite_samples = mix.nonfinite_samples
        written.damage = tuple(place for place in mix.damage if place.intersect(request.range).length)
        paths = [file.path for file in written.files.values()]
        written.null = measure_null(request, paths, sample_format)
        if written.null.peak > _TOLERATED_NULL and written.null.peak > _TOLERATED_NULL * _loudest(request.range, mix):
            for path in paths:
                path.unlink(missing_ok=True)
            raise OutputError(
                f"The stems of {Path(request.source.path).name} do not add up to it ({written.null.dbfs} dBFS).",
                code=Code.OUTPUT_DAMAGED,
                advice="The media or the disk changed while they were written; run again.",
            )
        return written
    raise AssertionError("32-bit float holds every sample")


def _write(request: SetRequest, mix: AudioReader, audio_format: AudioFormat) -> WrittenSet:
    meters = {name: WaveformMeter(request.range.length) for name in [*request.targets, RESIDUAL, ""]}
    overlap, source = _Overlap(), hashlib.sha256()
    with ExitStack() as stack:
        writers = {
            name: stack.enter_context(open_writer(file_path(path, audio_format), audio_format, request.tags(name)))
            for name, path in request.paths.items()
        }
        for part in blocks(request.range):
            if request.cancelled():
                raise Cancelled
            whole = mix.read(part.start_sample, part.end_sample)
            meters[""].add(whole)
            on_grid = mix.on_grid(whole)
            source.update(pcm_bytes(on_grid))
            is_float = audio_format.sample_format.is_float
            # on the grid of the files every difference is exact, so that the residual is rounded once
            stems, rest = divide(whole if is_float else on_grid, request.targets, part, is_float=is_float)
            for name, stem in stems:
                _put(writers[name], meters[name], stem)
            if len(request.targets) > 1:
                overlap.add(whole, rest)
            _put(writers[RESIDUAL], meters[RESIDUAL], rest)
        for writer in writers.values():
            writer.source_sha256 = source.hexdigest()
    files = {
        name: WrittenFile(file_path(path, audio_format), writers[name].audio_sha256, meters[name].columns())
        for name, path in request.paths.items()
    }
    return WrittenSet(
        files, meters[""].columns(), audio_format.sample_format, overlap.found, source_sha256=source.hexdigest()
    )


def divide(
    mix: Block, targets: Mapping[str, Readable | None], span: SampleRange, *, is_float: bool
) -> tuple[list[tuple[str, Block]], Block]:
    """Return the stems and the residual of a block, as files hold them.

    Args:
        mix: The media in `span`, [channels, samples].
        targets: The stem of each name, read in samples of the media; None is silence.
        span: The range of the media.
        is_float: Whether the files hold 32-bit float.
    """
    rest = mix.astype(np.float64) if len(targets) > 1 else mix.copy(order="K")
    stems = []
    for name, target in targets.items():
        stem = (
            quantise(target.read(span.start_sample, span.end_sample), SampleFormat.WAV24)
            if target
            else np.zeros_like(mix)
        )
        rest -= stem
        stems.append((name, stem))
    residual: Block = rest.astype(np.float32, copy=False)
    return stems, residual if is_float else quantise(residual, SampleFormat.WAV24)


def _put(writer: StemWriter, meter: WaveformMeter, block: Block) -> None:
    meter.add(block)
    writer.write(block)


def measure_null(request: SetRequest, paths: list[Path], sample_format: SampleFormat) -> Null:
    """Return the largest absolute sample of mix - sum(files), with media and files decoded again.

    Integer files of integer media are added in float32, in which their sums are exact, others in float64.
    """
    peak = 0.0
    with ExitStack() as stack:
        mix = stack.enter_context(open_audio(request.source))
        parts = [stack.enter_context(open_stem(path)) for path in paths]
        start = request.range.start_sample
        for span in blocks(request.range):
            if request.cancelled():
                raise Cancelled
            whole = mix.read(span.start_sample, span.end_sample)
            exact = mix.is_on_grid and not sample_format.is_float
            rest: npt.NDArray[np.floating] = whole if exact else whole.astype(np.float64)
            for part in parts:
                np.subtract(rest, part.read(span.start_sample - start, span.end_sample - start), out=rest)
            peak = max(peak, float(rest.max()), -float(rest.min()))
    return Null.of(peak)


def _loudest(held: SampleRange, mix: Readable) -> float:
    """Return the largest absolute sample: the rounding error of float32 grows with it."""
    return max(float(np.abs(mix.read(part.start_sample, part.end_sample)).max()) for part in blocks(held))


def blocks(whole: SampleRange) -> Iterator[SampleRange]:
    """Yield `whole` in consecutive parts that are small enough for the memory."""
    for start in range(whole.start_sample, whole.end_sample, BLOCK_SAMPLES):
        yield SampleRange(start, min(start + BLOCK_SAMPLES, whole.end_sample))


def file_path(path: Path, audio_format: AudioFormat) -> Path:
    """Return the path of a file with the suffix of its format."""
    return path.with_name(path.name + audio_format.sample_format.suffix)


class _Overlap:
    """Finds stems that hold the same sound: the residual then holds it inverted and correlates negatively with them."""

    def __init__(self) -> None:
        self._against = self._of_stems = 0.0

    def add(self, mix: Block, residual: npt.NDArray[np.floating]) -> None:
        rest = residual[:, ::_OVERLAP_STRIDE].astype(np.float64)
        stems = mix[:, ::_OVERLAP_STRIDE] - rest
        self._against -= float(np.vdot(rest, stems))
        self._of_stems += float(np.vdot(stems, stems))

    @property
    def found(self) -> bool:
        return self._against > _OVERLAP_LIMIT * self._of_stems


class WaveformMeter:
    """Measures the waveform of a file: the largest sample of each column, in thousandths of full scale."""

    def __init__(self, length: int) -> None:
        """Prepare for a file of `length` samples."""
        self._columns = np.zeros(min(WAVEFORM_COLUMNS, max(1, length)), np.float32)
        self._length = max(1, length)
        self._at = 0

    def add(self, block: Block) -> None:
        """Add the next block. Of a long file only every few samples are measured, which is enough for a picture."""
        size = block.shape[1]
        stride = max(1, min(_PICTURE_STRIDE, self._length // (8 * len(self._columns))))
        heights = np.abs(block[0, ::stride])
        for channel in block[1:]:  # one by one: several times faster than a maximum across the columns of memory
            np.maximum(heights, np.abs(channel[::stride]), out=heights)
        count = len(self._columns)
        first, last = (at * count // self._length for at in (self._at, self._at + size - 1))
        begins = -(-np.arange(first, last + 1) * self._length // count) - self._at  # of the columns, in this block
        starts = np.maximum(-(-begins // stride), 0)
        starts = starts[starts < len(heights)]
        columns = self._columns[first : first + len(starts)]
        np.maximum(columns, np.maximum.reduceat(heights, starts), out=columns)
        self._at += size

    def columns(self) -> tuple[int, ...]:
        """Return the columns."""
        per_mille: list[int] = np.rint(np.minimum(self._columns, _HIGHEST_COLUMN) * 1000).astype(int).tolist()
        return tuple(per_mille)
