"""Read ranges of a stream that are the same whenever, and in whatever order, they are read."""

from __future__ import annotations

from enum import Enum

import numpy as np

from stemline.clips import SampleRange
from stemline.media.decode.frame_decoder import Unseekable
from stemline.media.decode.pcm_cache import DecodedSound, PcmCache
from stemline.media.decode.range_decoder import RangeDecoder
from stemline.media.decode.stream_index import StreamFacts
from stemline.media.samples import FloatBlock

_CHECKED_S = 5
_EXACT_CODECS = frozenset(("flac", "alac", "wavpack", "mp3", "mp3float", "opus"))


class Repeats(Enum):
    """Whether a decoder gives a range the same samples wherever it started; measured for each codec."""

    ALWAYS = "always"
    SOMETIMES = "sometimes"  # AAC: not where perceptual noise substitution draws random numbers
    NEVER = "never"


def repeats(facts: StreamFacts) -> Repeats:
    """Return how a stream's decoder repeats.

    HE-AAC counts as never: its noise index runs over 512 places, so that two decodes can agree by chance.
    """
    codec = facts.stream.codec
    if not facts.seekable:
        return Repeats.NEVER
    if codec.startswith("pcm_") or codec in _EXACT_CODECS:
        return Repeats.ALWAYS
    return Repeats.SOMETIMES if codec == "aac" and facts.profile == "LC" else Repeats.NEVER


class ExactRanges:
    """Any range of a stream as decoding the whole stream from its start gives it.

    Reading on from the start is exact. Elsewhere a decoder that repeats seeks; one that may not decodes the range
    twice, the second time in another state, so that equal results cannot depend on the state. All other ranges come
    from the cache, into which the stream is decoded once from its start.
    """

    def __init__(self, path: str, facts: StreamFacts, ranges: RangeDecoder, cache: PcmCache) -> None:
        """Take the stream's decoder, and the cache for what it does not repeat."""
        self._path, self._facts, self._ranges, self._cache = path, facts, ranges, cache
        self._repeats = repeats(facts)
        self._decoded: DecodedSound | None = None
        self._checked = (0, np.empty((facts.stream.channels, 0), np.float32))

    def read(self, start_sample: int, out: FloatBlock) -> None:
        """Fill `out` [channels, n] from `start_sample`; the range lies within the stream."""
        if self._decoded is None:
            try:
                self._read_decoder(start_sample, out)
                return
            except Unseekable:
                self._decoded = self._cache.open(self._path, self._facts)
        self._decoded.read(start_sample, out)

    def _read_decoder(self, start_sample: int, out: FloatBlock) -> None:
        if self._repeats is Repeats.ALWAYS or self._ranges.exact_from(start_sample):
            self._ranges.read(start_sample, out)
        elif self._repeats is Repeats.SOMETIMES:
            self._read_checked(start_sample, out)
        else:
            raise Unseekable

    def _read_checked(self, start_sample: int, out: FloatBlock) -> None:
        begin, block = self._checked
        end_sample = start_sample + out.shape[1]
        if not begin <= start_sample or end_sample > begin + block.shape[1]:
            stream = self._facts.stream
            wanted = max(out.shape[1], _CHECKED_S * stream.sample_rate)
            begin, block = start_sample, self._twice(start_sample, min(wanted, stream.length_samples - start_sample))
            self._checked = begin, block
        out[...] = block[:, start_sample - begin : end_sample - begin]

    def _twice(self, start_sample: int, length_samples: int) -> FloatBlock:
        first = np.empty((self._facts.stream.channels, length_samples), np.float32)
        again = np.empty_like(first)
        self._ranges.read(start_sample, first)
        self._ranges.read_again(start_sample, again)
        if not np.array_equal(first.view(np.uint32), again.view(np.uint32)):
            raise Unseekable
        return first

    @property
    def damage(self) -> list[SampleRange]:
        """The places read so far that do not decode; of a cached stream, all of them."""
        return self._ranges.damage if self._decoded is None else self._decoded.damage

    def close(self) -> None:
        """Close the file and the cached sound."""
        self._ranges.close()
        if self._decoded is not None:
            self._decoded.close()
