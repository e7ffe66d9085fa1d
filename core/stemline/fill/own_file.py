"""A file of the user's in the place of a removed sound: an effect on each event, or ambience under each span."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from stemline.clips import MediaSource, SampleRange
from stemline.errors import Code, MediaError
from stemline.fill.activity import merge_spans
from stemline.fill.room_tone import RoomTone, RoomToneMethod
from stemline.fill.texture import SoundReader, read_blocks, read_whole
from stemline.media import AudioFormat, SampleFormat, measure_loudness, open_audio, open_writer
from stemline.media.samples import FloatBlock

EFFECT_S = 3.0
"""Files shorter than this are effects: they are played once, from onset to onset. Longer ones are ambience."""

_MOST_S = 600.0  # no fill needs more of a file
_GRAIN_SOURCE_S = 30.0
_EVENT_S = 30.0  # of a longer event, the onset and the level are taken from its start
_BLOCK_SAMPLES = 1 << 16
_EFFECT_FADE_S = 0.01
_AMBIENCE_FADE_S = 0.5
_JOIN_S = 1.0
_MAX_GAIN_DB = 24.0
_STEP_S = 0.001
_BELOW_PEAK_DB = 20.0
_ABOVE_BEFORE_DB = 10.0
_BEFORE_STEPS = 10


@dataclass(frozen=True, slots=True)
class FillFile:
    """A file that takes the place of a removed sound, converted to the rate and the channels of the media.

    Attributes:
        sha256: SHA-256 of the file that the user named.
        path: The converted sound. Mono becomes all channels at equal power; several channels become mono as their mean.
        sample_rate: Samples per second.
        channels: Channels of the media.
        length_samples: Length, at most ten minutes.
        lufs: Integrated loudness, for ambience.
        loudest_db: Level of the loudest 50 ms, for effects: integrated loudness needs 400 ms.
        onset_sample: Where its first event begins.
    """

    sha256: str
    path: Path
    sample_rate: int
    channels: int
    length_samples: int
    lufs: float
    loudest_db: float
    onset_sample: int

    @property
    def is_effect(self) -> bool:
        """Whether it is played once on each event."""
        return self.length_samples < EFFECT_S * self.sample_rate


def convert_fill_file(path: str | Path, sample_rate: int, channels: int, folder: Path) -> FillFile:
    """Convert a file for fills.

    Args:
        path: Any file with audio.
        sample_rate: Samples per second of the media.
        channels: Channels of the media.
        folder: Where to put the converted sound.

    Raises:
        MediaError: The file cannot be read, or its channels do not fit the media.
        OutputError: The converted sound cannot be written.
    """
    with open_audio(MediaSource(str(Path(path).absolute()))) as original, Path(path).open("rb") as file:
        check_channels(original.channels, channels, Path(path).name)
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        length = min(original.length_samples, round(_MOST_S * original.sample_rate))
        fitting = folder / f"{sha256[:16]}-{sample_rate}-{channels}.wav"
        with open_writer(fitting, AudioFormat(SampleFormat.WAV32F, sample_rate, channels)) as writer:
            for block in _resampled(original.blocks(0, length), original.sample_rate, sample_rate):
                writer.write(_with_channels(block, channels))
    with open_audio(MediaSource(str(fitting))) as sound:
        loudness = measure_loudness(sound.blocks(0, sound.length_samples), sample_rate)
        first = sound.read(0, min(sound.length_samples, round(EFFECT_S * sample_rate)))
        start = onset(first, sample_rate)
        return FillFile(
            sha256,
            fitting,
            sample_rate,
            channels,
            sound.length_samples,
            loudness.lufs,
            loudest_db(first, sample_rate),
            start,
        )


def file_fill(
    file: FillFile, stem: SoundReader, spans: Sequence[SampleRange], length_samples: int, *, gain_db: float, seed: int
) -> Iterator[FloatBlock]:
    """Yield exactly `length_samples` of fill in blocks [channels, samples].

    An effect is placed on each span so that its onset meets the onset of the removed sound, at the level of that
    event. Ambience covers spans that lie within a second of each other, at the loudness of the removed sound; a file
    that is too short is extended by grains, never looped.

    Args:
        file: The file, from `convert_fill_file`.
        stem: The removed sound.
        spans: Where it is active, in its samples.
        length_samples: Length of the fill.
        gain_db: Gain beyond the match of loudness.
        seed: Seed of the grains.
    """
    with open_audio(MediaSource(str(file.path))) as sound:
        if file.is_effect:
            layers = list(_effects(file, sound, _Wanted(stem, spans, gain_db)))
        else:
            layers = list(_ambience(file, sound, _Wanted(stem, spans, gain_db), seed))
        for start in range(0, length_samples, _BLOCK_SAMPLES):
            end = min(start + _BLOCK_SAMPLES, length_samples)
            block = np.zeros((file.channels, end - start), np.float32)
            for layer in layers:
                layer.add_to(block, start)
            yield block


def loudest_db(sound: FloatBlock, sample_rate: int) -> float:
    """Return the level in dB of the loudest 50 ms of a sound [channels, samples], in steps of 10 ms."""
    step = max(1, round(0.01 * sample_rate))
    padded = np.pad(sound, ((0, 0), (0, -sound.shape[1] % step + 5 * step))).astype(np.float64)
    energies = np.square(padded).reshape(sound.shape[0], -1, step).mean(axis=(0, 2))
    return float(10 * np.log10(np.convolve(energies, np.ones(5) / 5, "valid").max() + 1e-12))


def onset(sound: FloatBlock, sample_rate: int) -> int:
    """Return the sample where the first event of a sound [channels, samples] begins; 0 where there is none.

    It is the first step of 1 ms within 20 dB of the loudest one that is 10 dB over the 10 ms before it.
    """
    step = max(1, round(_STEP_S * sample_rate))
    count = sound.shape[1] // step
    if count == 0:
        return 0
    squares = np.square(sound[:, : count * step].astype(np.float64)).reshape(sound.shape[0], count, step)
    energies = squares.mean(axis=(0, 2)) + 1e-12
    before = np.convolve(energies, np.ones(_BEFORE_STEPS) / _BEFORE_STEPS)[: count - 1]
    before = np.concatenate(([1e-12], before))
    near_peak = energies >= energies.max() * 10 ** (-_BELOW_PEAK_DB / 10)
    rises = energies >= before * 10 ** (_ABOVE_BEFORE_DB / 10)
    found = np.flatnonzero(near_peak & rises)
    return int(found[0]) * step if found.size else 0


class _Layer:
    """One use of the file: blocks that begin at a sample of the fill, faded at both ends."""

    def __init__(self, blocks: Iterator[FloatBlock], at: SampleRange, gain: float, fade_samples: int) -> None:
        self._blocks = blocks
        self._at = at
        self._gain = np.float32(gain)
        self._fade = max(1, min(fade_samples, at.length // 2))
        self._held: FloatBlock | None = None

    def add_to(self, block: FloatBlock, start_sample: int) -> None:
        """Add what falls into the block; blocks are asked for in order."""
        end_sample = start_sample + block.shape[1]
        first, last = max(self._at.start_sample, start_sample), min(self._at.end_sample, end_sample)
        if first >= last:
            return
        if first == start_sample == 0 and self._at.start_sample < 0:
            self._take(-self._at.start_sample)  # the part before the fill begins is not heard
        sound = self._take(last - first)
        ramp = np.minimum(
            np.arange(first, last) + 1 - self._at.start_sample, self._at.end_sample - np.arange(first, last)
        )
        envelope = np.sin(np.minimum(ramp / self._fade, 1) * (np.pi / 2)).astype(np.float32)
        at = first - start_sample
        block[:, at : at + sound.shape[1]] += sound * (envelope[: sound.shape[1]] * self._gain)
        if last == self._at.end_sample:
            self._held = None

    def _take(self, count: int) -> FloatBlock:
        parts = [] if self._held is None else [self._held]
        while sum(part.shape[1] for part in parts) < count:
            following = next(self._blocks, None)
            if following is None:
                break
            parts.append(following)
        whole = np.concatenate(parts, axis=1) if parts else np.zeros((1, 0), np.float32)
        self._held = whole[:, max(count, 0) :]
        return whole[:, : max(count, 0)]


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The removed sound, where it is active, and the gain beyond the match of loudness."""

    stem: SoundReader
    spans: Sequence[SampleRange]
    gain_db: float


def _effects(file: FillFile, sound: SoundReader, wanted: _Wanted) -> Iterator[_Layer]:
    rate = file.sample_rate
    for span in wanted.spans:
        start_sample = span.start_sample
        event = read_whole(
            wanted.stem, span.intersect(SampleRange(start_sample, start_sample + round(_EVENT_S * rate)))
        )
        start = start_sample + onset(event, rate) - file.onset_sample
        gain = _gain(loudest_db(event, rate), file.loudest_db, wanted.gain_db)
        at = SampleRange(start, start + file.length_samples)
        yield _Layer(read_blocks(sound, SampleRange(0, file.length_samples)), at, gain, round(_EFFECT_FADE_S * rate))


def _ambience(file: FillFile, sound: SoundReader, wanted: _Wanted, seed: int) -> Iterator[_Layer]:
    rate, position = file.sample_rate, 0
    fade = round(_AMBIENCE_FADE_S * rate)
    removed = (block for span in wanted.spans for block in read_blocks(wanted.stem, span))
    gain = _gain(measure_loudness(removed, rate).lufs, file.lufs, wanted.gain_db)
    texture: RoomTone | None = None  # shared by all spans: it holds half a minute of sound
    for number, span in enumerate(merge_spans(wanted.spans, round(_JOIN_S * rate))):
        at = SampleRange(span.start_sample - fade, span.end_sample + fade)
        if at.length > file.length_samples:
            texture = texture or _texture(file, sound)
            blocks = texture.blocks(at.length, seed=seed + number)
        else:
            position = 0 if position + at.length > file.length_samples else position
            blocks = read_blocks(sound, SampleRange(position, position + at.length))
            position += at.length
        yield _Layer(blocks, at, gain, fade)


def _texture(file: FillFile, sound: SoundReader) -> RoomTone:
    """Return the grains that extend ambience: those of its first half minute."""
    piece = SampleRange(0, min(file.length_samples, round(_GRAIN_SOURCE_S * file.sample_rate)))
    return RoomTone(RoomToneMethod.GRAINS, (piece,), file.sample_rate, (read_whole(sound, piece),))


def _gain(wanted_db: float, level_db: float, gain_db: float) -> float:
    return float(10 ** (min(wanted_db - level_db + gain_db, _MAX_GAIN_DB) / 20))


def _resampled(blocks: Iterator[FloatBlock], from_rate: int, to_rate: int) -> Iterator[FloatBlock]:
    """Yield the blocks at another sample rate, by FFmpeg's resampler."""
    if from_rate == to_rate:
        yield from blocks
        return
    resampler: av.AudioResampler | None = None
    for block in blocks:
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), format="fltp", layout=f"{block.shape[0]}C")
        frame.sample_rate = from_rate
        if resampler is None:
            resampler = av.AudioResampler(format="fltp", layout=frame.layout, rate=to_rate)
        yield from (out.to_ndarray().astype(np.float32, copy=False) for out in resampler.resample(frame))
    if resampler is not None:
        yield from (out.to_ndarray().astype(np.float32, copy=False) for out in resampler.resample(None))


def check_channels(have: int, channels: int, name: str) -> None:
    """Raise MediaError for a file whose channels cannot become those of the media."""
    if have != channels and 1 not in (have, channels):
        raise MediaError(
            f"{name} has {have} channels, but the media has {channels}.",
            code=Code.MEDIA_UNSUPPORTED,
            advice="Use a mono file, or one with the channels of the media.",
        )


def _with_channels(block: FloatBlock, channels: int) -> FloatBlock:
    have = block.shape[0]
    if have == channels:
        return block
    if channels == 1:
        mean: FloatBlock = block.mean(axis=0, keepdims=True, dtype=np.float32)
        return mean
    spread: npt.NDArray[np.float32] = np.repeat(block / np.float32(np.sqrt(channels)), channels, axis=0)
    return spread
