"""A sound in the place of a removed one: an effect on each event, or ambience under each span."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stemline.clips import MediaSource, SampleRange, merge_spans
from stemline.errors import Code, MediaError
from stemline.files import printable
from stemline.fill.onsets import event_onsets, loudest_db, onset
from stemline.fill.room_tone import RoomTone, RoomToneMethod
from stemline.fill.shaping import EQ_TAPS, filtered, matching_filter, room_impulse, third_octave_levels
from stemline.fill.texture import SoundReader, read_blocks, read_whole, resampled_blocks
from stemline.media import AudioFormat, SampleFormat, measure_loudness, open_audio, open_writer
from stemline.media.samples import FloatBlock

EFFECT_S = 3.0
"""Files shorter than this are effects: they are played once, from onset to onset. Longer ones are ambience."""

MOST_FILE_S = 600.0
"""Seconds of a file that are used at most: no fill needs more."""

_SHORTEST_S = 0.001
_GRAIN_SOURCE_S = 30.0
_EVENT_S = 30.0  # of a longer span, onsets and levels are taken from its start
_BLOCK_SAMPLES = 1 << 16
_EFFECT_FADE_S = 0.01
_AMBIENCE_FADE_S = 0.5
_JOIN_S = 1.0
_MAX_GAIN_DB = 24.0


@dataclass(frozen=True, slots=True)
class FillFile:
    """A sound that takes the place of a removed one, converted to the rate and the channels of the media.

    Attributes:
        sha256: SHA-256 of the file that the user named; empty for a generated sound.
        path: The converted sound. Mono becomes all channels at equal power; several channels become mono as their mean.
        sample_rate: Samples per second.
        channels: Channels of the media.
        length_samples: Length, at most ten minutes of a file.
        lufs: Integrated loudness, for ambience.
        loudest_db: Level of the loudest 50 ms, for effects: integrated loudness needs 400 ms.
        onset_sample: Where its first event begins.
        is_effect: Whether it is shorter than three seconds, without the reverberation of a room.
        aligned: Whether it is as long as the clip and varies the removed sound, so that it stays at its place.
    """

    sha256: str
    path: Path
    sample_rate: int
    channels: int
    length_samples: int = 0
    lufs: float = 0.0
    loudest_db: float = 0.0
    onset_sample: int = 0
    is_effect: bool = False
    aligned: bool = False


@dataclass(frozen=True, slots=True)
class FillPlacement:
    """How a sound takes the place of a removed one.

    Attributes:
        at: "onset" plays it once on each event; "span" covers the spans of the removed sound; "clip" the whole clip;
            "auto" is "onset" for an effect, else "span".
        gain_db: Gain beyond the match of loudness.
        nudge_s: Seconds by which it is late; negative for early.
        match_eq: How much of the removed sound's equalisation it takes, 0 to 1.
    """

    at: str = "auto"
    gain_db: float = 0.0
    nudge_s: float = 0.0
    match_eq: float = 0.0


@dataclass(frozen=True, slots=True)
class RemovedSound:
    """The sound whose place is filled.

    Attributes:
        stem: The removed stem.
        residual: The residual of the same range.
        spans: Where the stem is active, in its samples.
        length_samples: Length of both.
    """

    stem: SoundReader
    residual: SoundReader
    spans: Sequence[SampleRange]
    length_samples: int


def convert_fill_file(path: str | Path, sample_rate: int, channels: int, folder: Path, room: str = "") -> FillFile:
    """Convert a file for fills.

    Args:
        path: Any file with audio.
        sample_rate: Samples per second of the media.
        channels: Channels of the media.
        folder: Where to put the converted sound.
        room: Name of a room, or path of an impulse response; empty for none.

    Raises:
        MediaError: The file cannot be read, or its channels do not fit the media.
        OutputError: The converted sound cannot be written.
    """
    with open_audio(MediaSource(str(Path(path).absolute()))) as original, Path(path).open("rb") as file:
        check_channels(original.channels, channels, Path(path).name)
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        length = min(original.length_samples, round(MOST_FILE_S * original.sample_rate))
        if length < _SHORTEST_S * original.sample_rate:
            raise MediaError(
                f"{printable(Path(path).name)} is shorter than a millisecond.",
                code=Code.MEDIA_EMPTY,
                advice="Choose a longer sound.",
            )
        name = hashlib.sha256(f"{sha256} {sample_rate} {channels} {room}".encode()).hexdigest()[:32]
        blocks = resampled_blocks(original.blocks(0, length), original.sample_rate, sample_rate)
        is_effect = length < EFFECT_S * original.sample_rate
        return write_fill_file(
            blocks,
            FillFile(sha256, folder / f"{name}.wav", sample_rate, channels, is_effect=is_effect),
            room,
        )


def write_fill_file(blocks: Iterable[FloatBlock], wanted: FillFile, room: str = "") -> FillFile:
    """Write a sound for fills, and return `wanted` with its length and levels.

    Args:
        blocks: The sound at the rate of `wanted`, with any channels that `check_channels` accepts.
        wanted: Path, rate and channels.
        room: Name of a room, or path of an impulse response; empty for none.

    Raises:
        OutputError: It cannot be written.
        MediaError: The impulse response cannot be used.
    """
    rate, channels = wanted.sample_rate, wanted.channels
    fitting: Iterable[FloatBlock] = (_with_channels(block, channels) for block in blocks)
    if room:
        fitting = filtered(fitting, room_impulse(room, rate, channels))
    with open_writer(wanted.path, AudioFormat(SampleFormat.WAV32F, rate, channels)) as writer:
        for block in fitting:
            writer.write(block)
    with open_audio(MediaSource(str(wanted.path))) as sound:
        loudness = measure_loudness(sound.blocks(0, sound.length_samples), rate)
        first = sound.read(0, min(sound.length_samples, round(EFFECT_S * rate)))
        return replace(
            wanted,
            length_samples=sound.length_samples,
            lufs=loudness.lufs,
            loudest_db=loudest_db(first, rate),
            onset_sample=onset(first, rate),
        )


def file_fill(file: FillFile, removed: RemovedSound, placement: FillPlacement, *, seed: int) -> Iterator[FloatBlock]:
    """Yield a fill of exactly the length of the removed sound in blocks [channels, samples].

    On each event, the onset of the file meets the onset of the removed sound, at the level of that event. Ambience
    covers spans that lie within a second of each other, at the loudness of the removed sound; a file that is too short
    is extended by grains, never looped.

    Args:
        file: The file, from `convert_fill_file` or `write_fill_file`.
        removed: The removed sound.
        placement: Where and how loud.
        seed: Seed of the grains.
    """
    with open_audio(MediaSource(str(file.path))) as sound:
        taps = _matching_taps(sound, removed, placement.match_eq) if placement.match_eq else None
        source = _Source(file, sound, taps)
        if placement.at == "onset" or (placement.at == "auto" and file.is_effect):
            layers = list(_effects(source, removed, placement))
        else:
            layers = list(_ambience(source, removed, placement, seed))
        for start in range(0, removed.length_samples, _BLOCK_SAMPLES):
            end = min(start + _BLOCK_SAMPLES, removed.length_samples)
            block = np.zeros((file.channels, end - start), np.float32)
            for layer in layers:
                layer.add_to(block, start)
            yield block


def ambience_ranges(spans: Sequence[SampleRange], length_samples: int, at: str, sample_rate: int) -> list[SampleRange]:
    """Return the ranges that ambience covers, fades included; they may begin before the fill and end after it.

    Args:
        spans: Where the removed sound is active.
        length_samples: Length of the fill.
        at: As in `FillPlacement`.
        sample_rate: Samples per second.
    """
    fade = round(_AMBIENCE_FADE_S * sample_rate)
    spans = merge_spans(spans, round(_JOIN_S * sample_rate))
    if at == "clip":
        spans = (SampleRange(0, length_samples),)
    return [SampleRange(span.start_sample - fade, span.end_sample + fade) for span in spans]


@dataclass(frozen=True, slots=True)
class _Source:
    """The file as it is read for layers: its blocks, equalised if there is a filter."""

    file: FillFile
    sound: SoundReader
    taps: npt.NDArray[np.float32] | None

    def blocks(self, start_sample: int, end_sample: int) -> Iterator[FloatBlock]:
        return self.equalised(read_blocks(self.sound, SampleRange(start_sample, end_sample)))

    def equalised(self, blocks: Iterator[FloatBlock]) -> Iterator[FloatBlock]:
        return blocks if self.taps is None else filtered(blocks, self.taps, EQ_TAPS // 2)

    def aligned(self, covered: SampleRange) -> Iterator[FloatBlock]:
        """Yield a range that may begin before the file and end after it."""
        yield np.zeros((self.file.channels, max(0, -covered.start_sample)), np.float32)
        first = min(max(covered.start_sample, 0), self.file.length_samples)
        yield from self.blocks(first, max(first, min(covered.end_sample, self.file.length_samples)))

    def change_db(self) -> float:
        """Return by how much the filter makes the first half minute louder."""
        if self.taps is None:
            return 0.0
        end = min(self.file.length_samples, round(_GRAIN_SOURCE_S * self.file.sample_rate))
        plain = measure_loudness(read_blocks(self.sound, SampleRange(0, end)), self.file.sample_rate).lufs
        return measure_loudness(self.blocks(0, end), self.file.sample_rate).lufs - plain


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


def _effects(source: _Source, removed: RemovedSound, placement: FillPlacement) -> Iterator[_Layer]:
    file, rate = source.file, source.file.sample_rate
    nudge, fade = round(placement.nudge_s * rate), round(_EFFECT_FADE_S * rate)
    change_db = source.change_db()
    for span in removed.spans:
        first = span.start_sample
        event = read_whole(removed.stem, span.intersect(SampleRange(first, first + round(_EVENT_S * rate))))
        onsets = event_onsets(event, rate)
        for begin, end in zip(onsets, [*onsets[1:], event.shape[1]], strict=True):
            start = first + begin - file.onset_sample + nudge
            level_db = loudest_db(event[:, begin:end], rate)
            gain = _gain(level_db, file.loudest_db + change_db, placement.gain_db)
            at = SampleRange(start, start + file.length_samples)
            yield _Layer(source.blocks(0, file.length_samples), at, gain, fade)


def _ambience(source: _Source, removed: RemovedSound, placement: FillPlacement, seed: int) -> Iterator[_Layer]:
    file, rate, position = source.file, source.file.sample_rate, 0
    fade, nudge = round(_AMBIENCE_FADE_S * rate), round(placement.nudge_s * rate)
    heard = (block for span in removed.spans for block in read_blocks(removed.stem, span))
    lufs = measure_loudness(heard, rate).lufs
    gain = _gain(lufs, file.lufs + source.change_db(), placement.gain_db)
    texture: RoomTone | None = None  # shared by all spans: it holds half a minute of sound
    if not removed.spans:
        return
    ranges = ambience_ranges(removed.spans, removed.length_samples, placement.at, rate)
    for number, covered in enumerate(ranges):
        at = SampleRange(covered.start_sample + nudge, covered.end_sample + nudge)
        if file.aligned:
            blocks = source.aligned(covered)
        elif at.length > file.length_samples:
            texture = texture or _texture(file, source.sound)
            blocks = source.equalised(texture.blocks(at.length, seed=seed + number))
        else:
            position = 0 if position + at.length > file.length_samples else position
            blocks = source.blocks(position, position + at.length)
            position += at.length
        yield _Layer(blocks, at, gain, fade)


def _matching_taps(sound: SoundReader, removed: RemovedSound, share: float) -> npt.NDArray[np.float32]:
    """Return the filter that gives the file the equalisation of the removed sound."""
    rate = sound.sample_rate
    spans = list(_first(removed.spans, round(_GRAIN_SOURCE_S * rate)))
    end = min(getattr(sound, "length_samples", 0), round(_GRAIN_SOURCE_S * rate))
    wanted, residual = (
        third_octave_levels((read_whole(reader, span) for span in spans), rate)
        for reader in (removed.stem, removed.residual)
    )
    have = third_octave_levels([read_whole(sound, SampleRange(0, end))], rate)
    return matching_filter(wanted, have, residual, rate, share)


def _first(spans: Sequence[SampleRange], samples: int) -> Iterator[SampleRange]:
    """Yield the spans up to a total length."""
    for span in spans:
        if samples <= 0:
            return
        yield SampleRange(span.start_sample, min(span.end_sample, span.start_sample + samples))
        samples -= span.length


def _texture(file: FillFile, sound: SoundReader) -> RoomTone:
    """Return the grains that extend ambience: those of its first half minute."""
    piece = SampleRange(0, min(file.length_samples, round(_GRAIN_SOURCE_S * file.sample_rate)))
    return RoomTone(RoomToneMethod.GRAINS, (piece,), file.sample_rate, (read_whole(sound, piece),))


def _gain(wanted_db: float, level_db: float, gain_db: float) -> float:
    return float(10 ** (min(wanted_db - level_db + gain_db, _MAX_GAIN_DB) / 20))


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
    if have > 1:  # generated stereo in media with more channels: the first ones are the front pair
        return np.pad(block, ((0, channels - have), (0, 0)))
    spread: npt.NDArray[np.float32] = np.repeat(block / np.float32(np.sqrt(channels)), channels, axis=0)
    return spread
