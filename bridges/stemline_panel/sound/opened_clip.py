# SPDX-License-Identifier: GPL-3.0-or-later
"""A clip with open media, which converts between times of the timeline and samples of the media."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from stemline.clips import ClipRange, MediaFacts, SampleRange
from stemline.media import media_facts
from stemline.timebase import round_half_up


@dataclass(frozen=True, slots=True)
class OpenedClip:
    """A clip and the facts of its media."""

    clip: ClipRange
    facts: MediaFacts

    @property
    def played(self) -> SampleRange:
        """The samples of the media that the clip plays."""
        rate = self.facts.sample_rate
        source = self.clip.source_range
        return SampleRange(round_half_up(source.start * rate), round_half_up(source.end * rate))

    @property
    def slack(self) -> Fraction:
        """Half a sample in seconds: the largest error of a time that was rounded to a sample."""
        return Fraction(1, 2 * self.facts.sample_rate)

    def sample_at(self, time: Fraction) -> int:
        """Return the sample of the media that plays at a time of the timeline (seconds)."""
        offset = time - self.clip.record_range.start
        return round_half_up((self.clip.source_range.start + offset) * self.facts.sample_rate)

    def time_of(self, sample: int) -> Fraction:
        """Return the time of the timeline (seconds) at which a sample of the media plays."""
        offset = Fraction(sample, self.facts.sample_rate) - self.clip.source_range.start
        return self.clip.record_range.start + offset


def open_clip(clip: ClipRange) -> OpenedClip:
    """Return the clip with the facts of its media. Raises MediaError if the media cannot be read."""
    return OpenedClip(clip, media_facts(clip.source))
