# SPDX-License-Identifier: GPL-3.0-or-later
"""A clip whose media is open: times of the timeline as samples of the media and back."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from stemline.clips import ClipRange, MediaFacts, SampleRange
from stemline.media import media_facts
from stemline.timebase import round_half_up


@dataclass(frozen=True, slots=True)
class OpenedClip:
    """A clip with the facts of its media. `played` is what it plays of the media, in samples."""

    clip: ClipRange
    facts: MediaFacts

    @property
    def played(self) -> SampleRange:
        rate = self.facts.sample_rate
        source = self.clip.source_range
        return SampleRange(round_half_up(source.start * rate), round_half_up(source.end * rate))

    @property
    def slack(self) -> Fraction:
        """Half a sample: as far a time that was rounded to a sample can lie from what was meant."""
        return Fraction(1, 2 * self.facts.sample_rate)

    def sample_at(self, time: Fraction) -> int:
        """The sample of the media that plays at a time of the timeline."""
        offset = time - self.clip.record_range.start
        return round_half_up((self.clip.source_range.start + offset) * self.facts.sample_rate)

    def time_of(self, sample: int) -> Fraction:
        """The time of the timeline at which a sample of the media plays."""
        offset = Fraction(sample, self.facts.sample_rate) - self.clip.source_range.start
        return self.clip.record_range.start + offset


def open_clip(clip: ClipRange) -> OpenedClip:
    """Raises MediaError for media that cannot be read."""
    return OpenedClip(clip, media_facts(clip.source))
