"""Read exact ranges of a media file's sound."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Self

import numpy as np

from stemline.clips import MediaSource, SampleRange, merge_spans
from stemline.errors import Code, MediaError
from stemline.files import printable
from stemline.media.decode.edit_list import EditedRanges, Ranges
from stemline.media.decode.exact_reader import ExactRanges
from stemline.media.decode.frame_decoder import FrameDecoder
from stemline.media.decode.pcm_cache import PcmCache
from stemline.media.decode.plain_wave import PlainWave
from stemline.media.decode.probe import chosen_channels, usable_stream
from stemline.media.decode.range_decoder import RangeDecoder
from stemline.media.decode.stream_index import StreamFacts, media_facts_of_stream
from stemline.media.samples import FloatBlock, SampleFormat, interleaved, quantise, zero_nonfinite
from stemline.paths import cache_dir

BLOCK_SAMPLES = 1 << 16
MAX_PEAK = 1000.0
"""60 dB over full scale: no recording is louder, so that the header of one that seems so is wrong."""
_UP_TO_24_BITS = ("u8", "s16", "s24")


class AudioReader:
    """The sound of a `MediaSource`, open for reading exact ranges. One reader serves one thread.

    Attributes:
        sample_rate: Samples per second.
        channels: Number of channels that are read; 1 for a fold-down.
        length_samples: Samples of each channel.
        sample_format: Grid of the samples, as in `AudioStream`.
        layout: FFmpeg's name of the channel layout, empty where only some channels are read.
        nonfinite_samples: How many NaN and infinite samples were replaced by zero so far.
    """

    def __init__(self, source: MediaSource, facts: StreamFacts, ranges: Ranges, max_peak: float | None = None) -> None:
        """Choose the channels. Raises MediaError for a channel that the stream lacks."""
        self._path = source.path
        self._max_peak = max_peak
        self._channels = chosen_channels(source, facts.stream)
        self._mono = source.mono
        self._ranges = ranges
        self._all = self._channels == tuple(range(facts.stream.channels)) and not source.mono
        self._stream_channels = facts.stream.channels
        self._float = facts.stream.sample_format.startswith("f")
        self.sample_rate = facts.stream.sample_rate
        self.channels = 1 if source.mono else len(self._channels)
        self.length_samples = facts.stream.length_samples
        self.sample_format = facts.stream.sample_format
        self.layout = facts.stream.layout if self._all else ""
        self.nonfinite_samples = 0

    def read(self, start_sample: int, end_sample: int) -> FloatBlock:
        """Read samples [start, end) as float32 [channels, n] at full scale 1.0, with zeros outside the sound.

        Raises:
            MediaError: A sample is above the accepted peak (MEDIA_PEAK_TOO_HIGH).
            ValueError: The range ends before it starts.
        """
        if end_sample < start_sample:
            raise ValueError(f"a range cannot end ({end_sample}) before it starts ({start_sample})")
        block = interleaved(self._stream_channels, end_sample - start_sample)
        first, last = max(0, start_sample), min(end_sample, self.length_samples)
        if first < last:
            block[:, : first - start_sample] = 0
            self._ranges.read(first, block[:, first - start_sample : last - start_sample])
            block[:, last - start_sample :] = 0
        else:
            block[...] = 0
        if not self._all:
            block = block[list(self._channels)]
        if self._float and block.size:
            self._check_numbers(block, start_sample)
        return self._folded(block) if self._mono else block

    def _check_numbers(self, block: FloatBlock, start_sample: int) -> None:
        """Silence what is not finite. Raises MediaError for a peak above the limit."""
        if block.min() >= -MAX_PEAK and block.max() <= MAX_PEAK:  # False where any sample is NaN
            return
        self.nonfinite_samples += zero_nonfinite(block)
        if self._max_peak is None:
            return
        heights = np.abs(block).max(axis=0)
        peak, place = float(heights.max()), int(heights.argmax())
        if peak > self._max_peak:
            raise MediaError(
                f"{printable(self._path)} has a peak of {20 * math.log10(peak):+.1f} dBFS at "
                f"{(start_sample + place) / self.sample_rate:.3f} s, more than 60 dB over full scale.",
                advice="Its header is probably wrong: export it again, or give --accept-peaks to separate it as it is.",
                code=Code.MEDIA_PEAK_TOO_HIGH,
            )

    @property
    def is_on_grid(self) -> bool:
        """Whether the samples are integers of up to 24 bits."""
        return self.sample_format in _UP_TO_24_BITS

    def on_grid(self, block: FloatBlock) -> FloatBlock:
        """Return a block that was read on the 24-bit grid: itself for integers of up to 24 bits."""
        return block if self.is_on_grid else quantise(block, SampleFormat.WAV24)

    def _folded(self, block: FloatBlock) -> FloatBlock:
        """Return the mean of the channels, on the 24-bit grid for integers, so that stems add up to it."""
        mean: FloatBlock = block.mean(axis=0, keepdims=True, dtype=np.float32)
        return quantise(mean, SampleFormat.WAV24) if self.sample_format in _UP_TO_24_BITS else mean

    def blocks(self, start_sample: int, end_sample: int, block_samples: int = BLOCK_SAMPLES) -> Iterator[FloatBlock]:
        """Yield the range in order in blocks of `block_samples`, of which the last may be shorter."""
        for start in range(start_sample, end_sample, block_samples):
            yield self.read(start, min(end_sample, start + block_samples))

    @property
    def damage(self) -> tuple[SampleRange, ...]:
        """The places read so far that do not decode, in order. They are silent, or missing."""
        return merge_spans(self._ranges.damage)

    @property
    def damaged(self) -> bool:
        """Whether any place read so far does not decode."""
        return bool(self._ranges.damage)

    def close(self) -> None:
        """Close the file."""
        self._ranges.close()

    def __enter__(self) -> Self:
        """Return the reader."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.close()


def open_audio(source: MediaSource, *, cache: PcmCache | None = None, max_peak: float | None = None) -> AudioReader:
    """Open the sound of a source for exact reads.

    Args:
        source: Which sound of which file.
        cache: Where to keep media whose decoder does not repeat itself; default is the user's cache.
        max_peak: The largest absolute sample that reading accepts, None for any.

    Raises:
        MediaError: As `media_facts` raises it; while reading, a sample above `max_peak` (MEDIA_PEAK_TOO_HIGH).
        OutputError: The cache cannot be written.
    """
    facts = usable_stream(source)
    if facts.anchor is None:
        raise AssertionError("a stream with samples has an anchor")
    plain = _open_plain(source, facts)
    if plain is not None:
        return AudioReader(source, facts, plain, max_peak)
    decoder = FrameDecoder(source.path, source.stream, facts.anchor)
    ranges = RangeDecoder(decoder, facts.stream.sample_rate)
    media = media_facts_of_stream(source.path, source.stream)
    exact: Ranges = ExactRanges(source.path, media, ranges, cache or PcmCache(cache_dir() / "pcm"))
    if facts.edits:
        exact = EditedRanges(exact, media.stream.length_samples, facts.edits, facts.stream.sample_rate)
    return AudioReader(source, facts, exact, max_peak)


def _open_plain(source: MediaSource, facts: StreamFacts) -> PlainWave | None:
    """Open a source whose samples lie in its file as they are decoded, as the measured facts confirm."""
    stream = facts.stream
    if not stream.codec.startswith("pcm_") or facts.anchor is None or facts.anchor.offset_sample or facts.cut_short:
        return None
    plain = PlainWave.open(source.path)
    if plain is not None and replace(plain.stream, layout=stream.layout) != stream:
        plain.close()
        return None
    return plain


def open_stem(path: str | Path) -> AudioReader:
    """Open a stem file for exact reads. WAVE is not measured first, because Stemline wrote it.

    Raises:
        MediaError: As `open_audio` does.
    """
    source = MediaSource(str(path))
    plain = PlainWave.open(path)
    if plain is None:
        return open_audio(source)
    return AudioReader(source, StreamFacts(plain.stream, None, "", seekable=True, claims_audio=True), plain)
